"""A comparison as text for a terminal, and several as one table."""

from __future__ import annotations

import math
import os
import time
from typing import Sequence

import mxnet as mx
import torch

from ..measure.tables import markdown
from ..pytorch.architecture import Layer
from ..system import machine
from ..system.ownership import SOFTWARE
from . import curves
from .comparison import Comparison, num_parameters
from .curves import CONVENTIONS, parted_at
from .numbers import FLOAT32_TOLERANCE, FLOAT64_TOLERANCE, START_FROM

#: What a net that has learnt nothing gets right of Fashion-MNIST's ten classes.
GUESSING = 0.1
_NOTHING_LEARNT = (
    f". Guessing reaches {GUESSING:g}: so few steps say little of accuracy, --steps asks for more"
)
_ACTIVATIONS = {"relu": "ReLU", "sigmoid": "sigmoid", "tanh": "tanh"}


def text(one: Comparison) -> str:
    """The whole comparison, for a terminal."""
    parts = [
        f"# {one.title}: Gluon ({one.edition} edition) and PyTorch\n",
        _architecture(one),
        numbers_text(one),
        _training(one),
        _speed(one),
        _verdict(one),
    ]
    return "\n".join(part for part in parts if part)


def _architecture(one: Comparison) -> str:
    rows = [("PyTorch", "Gluon", "operation", "output", "parameters", "")]
    for layer, activation in _folded(one.layers):
        op = layer.either
        count = num_parameters(op)
        rows.append(
            (
                layer.torch.name if layer.torch else "-",
                layer.gluon.name if layer.gluon else "-",
                f"{op} + {activation}" if activation else str(op),
                "×".join(map(str, op.shape or ())),
                f"{count:,}" if count else "",
                "≠ " + "; ".join(layer.differences) if layer.differences else "",
            )
        )
    ours, theirs = one.parameters
    differing = sum(bool(layer.differences) for layer in one.layers)
    same = "the same in both nets" if not differing else f"{differing} of them differ (≠)"
    counts = f"{ours:,} parameters" if ours == theirs else f"{ours:,} and {theirs:,} parameters"
    operations = f"{len(one.layers)} operations, {same}; {counts}."
    return f"## Architecture\n\n{columns(rows)}\n{operations}\n"


def numbers_text(one: Comparison) -> str:
    if one.numbers is None:
        return ""
    rows = [
        ("quantity", "difference", "relative", "allowed", "Gluon's float32", "allowed")
        + ("PyTorch's float32", "where")
    ]
    for row in one.numbers:
        judged = row.quantity != "gradients"
        rows.append(
            (
                row.quantity,
                f"{row.absolute:.1e}",
                f"{row.relative:.1e}",
                f"{FLOAT64_TOLERANCE:.0e}" + ("" if row.within else "  EXCEEDED"),
                f"{row.gluon_error:.1e}",
                (f"{FLOAT32_TOLERANCE:.0e}" if judged else "-")
                + ("" if row.within_in_float32 else "  EXCEEDED"),
                f"{row.torch_error:.1e}",
                row.where,
            )
        )
    return (
        "## Numbers: one training step from the same weights on the same images\n\n"
        f"{columns(rows)}\n"
        "Greatest difference of Gluon and PyTorch, both in float64; then the greatest relative "
        "error of each in float32, against PyTorch in float64. Gradients are not judged in "
        "float32: they jump where rounding flips a ReLU or the maximum of a pooling.\n"
    )


def _training(one: Comparison) -> str:
    if one.curves is None or one.exact is None:
        return ""
    rows: list[tuple[str, ...]] = [
        ("step", "float64: Gluon loss", "PyTorch loss", "relative")
        + ("float32: Gluon loss", "PyTorch loss", "relative", "PyTorch's own rounding")
    ]
    differences, exact = one.curves.differences(), one.exact.differences()
    own = one.own_rounding()
    steps = max(len(differences), len(exact))
    for i in range(steps):
        if i in _shown(steps):
            cells = [str(i + 1)]
            for run, apart in ((one.exact, exact), (one.curves, differences)):
                cells += (
                    [f"{run.gluon_loss[i]:.5f}", f"{run.torch_loss[i]:.5f}", f"{apart[i]:.1e}"]
                    if i < len(apart)
                    else [""] * 3
                )
            rows.append((*cells, f"{own[i]:.1e}" if i < len(own) else ""))
    lines = [
        f"## Training: the same batches of {one.options['batch_size']}, "
        f"learning rate {one.options['lr']:g}\n",
        columns(rows),
        f"Start: {START_FROM[one.options['start_from']]}. "
        f"Conventions: {CONVENTIONS[one.options['conventions']]}. Dropout is off in both.",
        f"In float64, which is judged, the losses of {_steps(len(exact))} differ by at most "
        f"{max(exact):.0e} (allowed {curves.TOLERANCE:.0e}).",
        _float32_sentence(one, differences),
    ]
    if one.test_accuracies and one.alike:
        ours, theirs = one.test_accuracies
        lines.append(
            f"After those of float64 the nets put {one.alike[0]} of {one.alike[1]} test images "
            f"into the same class. Test accuracy: Gluon {ours:.3f}, PyTorch {theirs:.3f}"
            + (_NOTHING_LEARNT if max(ours, theirs) < 2 * GUESSING else "")
            + "."
        )
    return "\n".join(lines) + "\n"


def _steps(number: int) -> str:
    return "the first step" if number == 1 else f"the first {number} steps"


def _float32_sentence(one: Comparison, differences: list[float]) -> str:
    limit, step = curves.TOLERANCE, parted_at(differences)
    if step is None:
        return f"In float32 they stay within {limit:.0e} over all {len(differences)} steps."
    told = f"In float32, which is not judged, they part by more than {limit:.0e} at step {step}"
    own = parted_at(one.own_rounding())
    if own is None:
        return told + "."
    return (
        f"{told}, as PyTorch's float32 parts from its own float64 at step {own}: rounding grows "
        "from step to step."
    )


def _speed(one: Comparison) -> str:
    if one.speeds is None:
        return ""
    base = one.speeds[0]
    rows: list[tuple[str, ...]] = [
        ("", "training, images/s", "Gluon is", "inference, images/s", "Gluon is")
        + ("s per epoch", "with loading", "peak memory")
    ]
    for speed in one.speeds:
        if speed.fault:
            rows.append((speed.form, "did not run: " + speed.fault, *[""] * 6))
            continue
        memory = f"{speed.peak_memory / 2**20:,.0f} MiB" if speed.peak_memory else ""
        rows.append(
            (
                speed.form,
                f"{speed.training:.1f}",
                f"{base.training / speed.training:.2f}×",
                f"{speed.inference:.1f}",
                f"{base.inference / speed.inference:.2f}×",
                f"{speed.epoch_seconds:.0f}",
                f"{speed.epoch_seconds_with_loading:.0f}",
                memory,
            )
        )
    return (
        f"## Speed: batches of {one.options['speed_batch_size']}, float32, medians of "
        f"{one.options['rounds']} interleaved rounds\n\n{columns(rows)}\n{_where()}"
        + (f"{one.disturbance[0].upper()}{one.disturbance[1:]}.\n" if one.disturbance else "")
    )


def _verdict(one: Comparison) -> str:
    faults = one.faults()
    if not faults:
        return "The nets are the same within all tolerances.\n"
    return "The nets differ:\n" + "".join(f"- {fault}\n" for fault in faults)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows as text whose columns line up."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() + "\n"
        for row in rows
    )


def overview(comparisons: list[Comparison], command: str) -> str:
    """One Markdown table over all sections, and the command that made it."""
    header = [
        "section", "operations", "parameters",
        "outputs, float64", "gradients, float64", f"{_num_steps(comparisons)}, float64",
        "training, images/s: Gluon", "PyTorch as written", "fastest PyTorch",
        "inference: Gluon", "fastest PyTorch", "memory: Gluon", "PyTorch as written",
    ]  # fmt: skip
    lines = []
    for one in comparisons:
        differing = sum(bool(layer.differences) for layer in one.layers)
        row = [
            one.title,
            f"{len(one.layers)}, same" if not differing else f"{differing} differ",
            f"{one.parameters[0]:,}",
        ]
        worst = {row.quantity: row.relative for row in one.numbers or []}
        row += [f"{worst[q]:.0e}" if q in worst else "–" for q in ("outputs", "gradients")]
        row.append(f"{max(one.exact.differences()):.0e}" if one.exact else "–")
        if one.speeds:
            ours, written = one.speeds[0], one.speeds[1]
            rivals = [speed for speed in one.speeds[1:] if not speed.fault]
            row += [
                f"{ours.training:.0f}",
                f"{written.training:.0f}",
                f"{max(speed.training for speed in rivals):.0f}",
                f"{ours.inference:.0f}",
                f"{max(speed.inference for speed in rivals):.0f}",
                *(f"{(s.peak_memory or math.nan) / 2**20:,.0f} MiB" for s in (ours, written)),
            ]
        else:
            row += ["–"] * 7
        lines.append(row)
    table = markdown(header, lines)
    options = comparisons[0].options
    remarks = [f"{one.title}: {one.disturbance}.\n" for one in comparisons if one.disturbance]
    return (
        f"{table}\n{''.join(remarks)}"
        f"`{command}`, {time.strftime('%Y-%m-%d')}. Speed and memory: batches of "
        f"{options['speed_batch_size']}, medians of {options['rounds']} interleaved rounds, "
        f"{SOFTWARE}, {_where()}"
    )


def _num_steps(comparisons: list[Comparison]) -> str:
    """How many steps of training were compared in float64."""
    numbers = [len(one.exact.gluon_loss) for one in comparisons if one.exact]
    return f"{numbers[0]} steps" if numbers else "training"


def _where() -> str:
    """The machine and the versions, in one line."""
    about = machine.describe()
    return (
        f"{about['processor']}, {about['cores']} cores, {os.environ.get('OMP_NUM_THREADS')} "
        f"threads on either side; MXNet {mx.__version__}, PyTorch {torch.__version__}.\n"
    )


def _folded(layers: list[Layer]) -> list[tuple[Layer, str]]:
    """Layers, each with the activation that follows it if that is the same in both nets."""
    folded: list[tuple[Layer, str]] = []
    for layer in layers:
        op = layer.either
        if op.kind in _ACTIVATIONS and not layer.differences and folded and not folded[-1][1]:
            folded[-1] = (folded[-1][0], _ACTIVATIONS[op.kind])
        else:
            folded.append((layer, ""))
    return folded


def _shown(steps: int) -> set[int]:
    """Steps worth a line: the first ten, then ever fewer, and the last."""
    return set(range(min(10, steps))) | {2**k * 10 - 1 for k in range(12)} | {steps - 1}

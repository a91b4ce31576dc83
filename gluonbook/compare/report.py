"""A comparison as text, JSON, CSV and a picture."""

from __future__ import annotations

import csv
from dataclasses import dataclass
import json
import math
import os
from pathlib import Path
import time
from typing import Any, Sequence

from matplotlib.figure import Figure
import mxnet as mx
import torch

from ..operations import Op
from ..pytorch.architecture import Layer
from ..system import machine
from .numbers import (
    CONVENTIONS,
    FLOAT32_TOLERANCE,
    START_FROM,
    TOLERANCES,
    Curves,
    Difference,
    parted_at,
    relative,
)
from .speed import Speed

_ACTIVATIONS = {"relu": "ReLU", "sigmoid": "sigmoid", "tanh": "tanh"}


@dataclass
class Comparison:
    """All that was compared of one section."""

    section: str
    title: str
    edition: str
    options: dict[str, Any]
    layers: list[Layer]
    mismatch: str | None = None
    numbers: list[Difference] | None = None
    curves: Curves | None = None
    exact: Curves | None = None
    """The first steps once more in float64."""
    test_accuracies: tuple[float, float] | None = None
    speeds: list[Speed] | None = None
    disturbance: str | None = None
    """A remark if other processes held the cores while speed was measured."""

    # --- verdict --------------------------------------------------------------------------

    @property
    def parameters(self) -> tuple[int, int]:
        """Numbers that training changes, in the Gluon and in the PyTorch net."""
        return (
            sum(_parameters(layer.gluon) for layer in self.layers),
            sum(_parameters(layer.torch) for layer in self.layers),
        )

    def faults(self) -> list[str]:
        """Each difference beyond its tolerance, in a few words."""
        found = [
            f"{_names(layer)}: {difference}"
            for layer in self.layers
            for difference in layer.differences
        ]
        if self.mismatch:
            found.append(self.mismatch)
        for row in self.numbers or []:
            if not row.within:
                found.append(
                    f"{row.quantity} {row.where}: relative difference {row.relative:.1e}, allowed "
                    f"{TOLERANCES[row.quantity]:.0e}"
                )
            if not row.within_in_float32:
                found.append(
                    f"{row.quantity} in float32: Gluon's relative error {row.gluon_error:.1e}, "
                    f"allowed {FLOAT32_TOLERANCE:.0e}"
                )
        if self.exact and parted_at(self.exact.differences()):
            found.append(
                f"training in float64: the losses part by more than "
                f"{TOLERANCES['training loss']:.0e} at step {parted_at(self.exact.differences())}"
            )
        return found

    # --- text -----------------------------------------------------------------------------

    def text(self) -> str:
        """The whole comparison, for a terminal."""
        parts = [
            f"# {self.title}: Gluon ({self.edition} edition) and PyTorch\n",
            self._architecture_text(),
            self._numbers_text(),
            self._training_text(),
            self._speed_text(),
            self._verdict_text(),
        ]
        return "\n".join(part for part in parts if part)

    def _architecture_text(self) -> str:
        rows = [("PyTorch", "Gluon", "operation", "output", "parameters", "")]
        for layer, activation in _folded(self.layers):
            op = layer.either
            count = _parameters(op)
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
        ours, theirs = self.parameters
        differing = sum(bool(layer.differences) for layer in self.layers)
        same = "the same in both nets" if not differing else f"{differing} of them differ (≠)"
        counts = f"{ours:,} parameters" if ours == theirs else f"{ours:,} and {theirs:,} parameters"
        operations = f"{len(self.layers)} operations, {same}; {counts}."
        return f"## Architecture\n\n{columns(rows)}\n{operations}\n"

    def _numbers_text(self) -> str:
        if self.numbers is None:
            return ""
        rows = [
            (
                "quantity",
                "difference",
                "relative",
                "allowed",
                "Gluon's float32",
                "allowed",
                "PyTorch's float32",
                "where",
            )
        ]
        for row in self.numbers:
            judged = row.quantity != "gradients"
            rows.append(
                (
                    row.quantity,
                    f"{row.absolute:.1e}",
                    f"{row.relative:.1e}",
                    f"{TOLERANCES[row.quantity]:.0e}" + ("" if row.within else "  EXCEEDED"),
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

    def _training_text(self) -> str:
        if self.curves is None or self.exact is None:
            return ""
        rows = [("step", "Gluon loss", "PyTorch loss", "relative", "in float64")]
        differences, exact = self.curves.differences(), self.exact.differences()
        for i, difference in enumerate(differences):
            if i in _shown(len(differences)):
                rows.append(
                    (
                        str(i + 1),
                        f"{self.curves.gluon_loss[i]:.5f}",
                        f"{self.curves.torch_loss[i]:.5f}",
                        f"{difference:.1e}",
                        f"{exact[i]:.1e}" if i < len(exact) else "",
                    )
                )
        lines = [
            f"## Training: the same batches of {self.options['batch_size']}, "
            f"learning rate {self.options['lr']:g}\n",
            columns(rows),
            f"Start: {START_FROM[self.options['start_from']]}. "
            f"Conventions: {CONVENTIONS[self.options['conventions']]}. Dropout is off in both.",
            f"In float64 the losses of the first {len(exact)} steps differ by at most "
            f"{max(exact):.0e} (allowed {TOLERANCES['training loss']:.0e}).",
            self._float32_sentence(differences),
        ]
        if self.test_accuracies:
            ours, theirs = self.test_accuracies
            lines.append(
                f"Test accuracy after the last step: Gluon {ours:.3f}, PyTorch {theirs:.3f}."
            )
        return "\n".join(lines) + "\n"

    def _yardstick(self) -> list[float]:
        """PyTorch's float32 against its own float64, at the steps that were run in both."""
        assert self.curves is not None and self.exact is not None
        return relative(self.curves.torch_loss, self.exact.torch_loss)

    def _float32_sentence(self, differences: list[float]) -> str:
        limit, step = TOLERANCES["training loss"], parted_at(differences)
        if step is None:
            return f"In float32 they stay within {limit:.0e} over all {len(differences)} steps."
        own = parted_at(self._yardstick())
        if own is None:
            return f"In float32 they part by more than {limit:.0e} at step {step}."
        return (
            f"In float32 they part by more than {limit:.0e} at step {step}, as PyTorch's float32 "
            f"parts from its own float64 at step {own}: rounding grows from step to step."
        )

    def _speed_text(self) -> str:
        if self.speeds is None:
            return ""
        base = self.speeds[0]
        rows: list[tuple[str, ...]] = [
            ("", "training, images/s", "Gluon is", "inference, images/s", "Gluon is")
            + ("s per epoch", "with loading", "peak memory")
        ]
        for speed in self.speeds:
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
            f"## Speed: batches of {self.options['speed_batch_size']}, float32, medians of "
            f"{self.options['rounds']} interleaved rounds\n\n{columns(rows)}\n{_where()}"
            + (f"{self.disturbance}\n" if self.disturbance else "")
        )

    def _verdict_text(self) -> str:
        faults = self.faults()
        if not faults:
            return "The nets are the same within all tolerances.\n"
        return "The nets differ:\n" + "".join(f"- {fault}\n" for fault in faults)

    # --- files ----------------------------------------------------------------------------

    def write(self, folder: Path) -> None:
        """Write ``compare.txt``, ``compare.json``, ``compare.png`` and two CSV files."""
        (folder / "compare.txt").write_text(self.text(), encoding="utf-8")
        (folder / "compare.json").write_text(
            json.dumps(self.as_json(), indent=2) + "\n", encoding="utf-8"
        )
        rows = [["torch", "gluon", "operation", "output", "parameters", "differences"]]
        for layer in self.layers:
            op = layer.either
            rows.append(
                [
                    layer.torch.name if layer.torch else "",
                    layer.gluon.name if layer.gluon else "",
                    str(op),
                    "×".join(map(str, op.shape or ())),
                    str(_parameters(op)),
                    "; ".join(layer.differences),
                ]
            )
        _write_csv(folder / "layers.csv", rows)
        if self.curves is not None:
            header = ["step", "gluon_loss", "torch_loss", "gluon_acc", "torch_acc"]
            _write_csv(
                folder / "training.csv",
                [header, *([i, *row] for i, row in enumerate(zip(*self.curves), 1))],
            )
        self.draw(folder / "compare.png")

    def as_json(self) -> dict[str, Any]:
        """The comparison as plain values."""
        return {
            "section": self.section,
            "edition": self.edition,
            "options": self.options,
            "machine": machine.describe(),
            "versions": {"mxnet": mx.__version__, "torch": torch.__version__},
            "parameters": dict(zip(("gluon", "torch"), self.parameters)),
            "operations": len(self.layers),
            "numbers": self.numbers and [row._asdict() for row in self.numbers],
            "training": self.curves and self.curves._asdict(),
            "training_float64": self.exact and self.exact._asdict(),
            "test_accuracies": self.test_accuracies,
            "speed": self.speeds and [speed._asdict() for speed in self.speeds],
            "disturbance": self.disturbance,
            "faults": self.faults(),
        }

    def draw(self, path: Path) -> None:
        """Draw curves, differences and speeds."""
        figure = Figure(figsize=(11, 7), layout="constrained")
        (loss_axes, apart_axes), (numbers_axes, speed_axes) = figure.subplots(2, 2)
        figure.suptitle(f"{self.title}: Gluon ({self.edition} edition) and PyTorch")
        if self.curves is not None and self.exact is not None:
            steps = range(1, len(self.curves.gluon_loss) + 1)
            loss_axes.plot(steps, self.curves.torch_loss, "-", lw=4, alpha=0.4, label="PyTorch")
            loss_axes.plot(steps, self.curves.gluon_loss, "-", lw=1.3, label="Gluon")
            apart_axes.axhline(TOLERANCES["training loss"], color="k", ls=":", label="tolerance")
            for label, values in (
                ("Gluon and PyTorch, float32", self.curves.differences()),
                ("PyTorch float32 and float64", self._yardstick()),
                ("Gluon and PyTorch, float64", self.exact.differences()),
            ):
                values = [max(value, 1e-16) for value in values]
                apart_axes.plot(range(1, len(values) + 1), values, ".-", label=label)
            apart_axes.set_yscale("log")
            accuracy_axes = loss_axes.twinx()
            accuracy_axes.plot(steps, _smoothed(self.curves.torch_acc), "--", lw=4, alpha=0.4)
            accuracy_axes.plot(steps, _smoothed(self.curves.gluon_acc), "--", lw=1.3)
            accuracy_axes.set(ylim=(0, 1), ylabel="accuracy, dashed, mean of five steps")
            loss_axes.legend()
            apart_axes.legend(fontsize="small")
        loss_axes.set(title="training on the same batches", xlabel="step", ylabel="loss, nats")
        apart_axes.set(title="relative difference of the losses", xlabel="step")
        if self.numbers is not None:
            rows = self.numbers
            places = range(len(rows))
            for shift, label, values in (
                (-0.27, "Gluon and PyTorch, float64", [row.relative for row in rows]),
                (0.0, "Gluon float32 and PyTorch float64", [row.gluon_error for row in rows]),
                (0.27, "PyTorch float32 and float64", [row.torch_error for row in rows]),
            ):
                values = [max(value, 1e-16) for value in values]
                numbers_axes.bar([p + shift for p in places], values, 0.27, label=label)
            judged = [p for p in places if rows[p].quantity != "gradients"]
            for at, limits, style, label in (
                (places, [TOLERANCES[row.quantity] for row in rows], "-", "tolerance, float64"),
                (judged, [FLOAT32_TOLERANCE] * len(judged), ":", "tolerance, float32"),
            ):
                edges = [p - 0.45 for p in at], [p + 0.45 for p in at]
                numbers_axes.hlines(limits, *edges, colors="k", ls=style, label=label)
            numbers_axes.set_xticks(places, [row.quantity for row in rows], fontsize="small")
            numbers_axes.set_yscale("log")
            numbers_axes.set_ylim(1e-17, 1e9)
            numbers_axes.legend(fontsize="small", loc="upper left")
        numbers_axes.set(title="greatest relative difference, one step")
        if self.speeds is not None:
            ran = [speed for speed in self.speeds if not speed.fault]
            for shift, label, values in (
                (-0.2, "training", [speed.training for speed in ran]),
                (0.2, "inference", [speed.inference for speed in ran]),
            ):
                speed_axes.bar([p + shift for p in range(len(ran))], values, 0.4, label=label)
            names = [speed.form.replace(", ", ",\n") for speed in ran]
            speed_axes.set_xticks(range(len(ran)), names, fontsize="small")
            speed_axes.set_ylim(top=1.2 * max((speed.inference for speed in ran), default=1))
            speed_axes.legend(ncols=2, loc="upper left", fontsize="small")
        speed_axes.set(title="images a second")
        figure.savefig(path, dpi=110)


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
        "outputs, float64", "gradients, float64", "ten steps, float64",
        "training, images/s: Gluon", "PyTorch as written", "fastest PyTorch",
        "inference: Gluon", "fastest PyTorch", "memory: Gluon", "PyTorch as written",
    ]  # fmt: skip
    lines = [header, ["---", *["---:"] * (len(header) - 1)]]
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
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    options = comparisons[0].options
    remarks = [f"{one.title}: {one.disturbance}.\n" for one in comparisons if one.disturbance]
    return (
        f"{table}\n{''.join(remarks)}"
        f"`{command}`, {time.strftime('%Y-%m-%d')}. Speed and memory: batches of "
        f"{options['speed_batch_size']}, medians of {options['rounds']} interleaved rounds, "
        f"{_where()}"
    )


def _where() -> str:
    """The machine and the versions, in one line."""
    about = machine.describe()
    return (
        f"{about['processor']}, {about['cores']} cores, {os.environ.get('OMP_NUM_THREADS')} "
        f"threads on either side; MXNet {mx.__version__}, PyTorch {torch.__version__}.\n"
    )


def _parameters(op: Op | None) -> int:
    return sum(
        math.prod(op.weights[role].shape)
        for role in ("weight", "bias")
        if op and role in op.weights
    )


def _names(layer: Layer) -> str:
    names = {op.name for op in (layer.torch, layer.gluon) if op is not None}
    return " · ".join(sorted(names))


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


def _smoothed(values: list[float]) -> list[float]:
    """At each step the mean of it and up to four before."""
    return [
        sum(part) / len(part) for i in range(len(values)) if (part := values[max(0, i - 4) : i + 1])
    ]


def _write_csv(path: Path, rows: list[Any]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)

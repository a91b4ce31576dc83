"""A comparison as a picture: curves, differences and speeds."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from . import curves
from .comparison import Comparison
from .numbers import FLOAT32_TOLERANCE, TOLERANCES


def draw(one: Comparison, path: Path) -> None:
    """Draw curves, differences and speeds."""
    figure = Figure(figsize=(11, 7), layout="constrained")
    (loss_axes, apart_axes), (numbers_axes, speed_axes) = figure.subplots(2, 2)
    figure.suptitle(f"{one.title}: Gluon ({one.edition} edition) and PyTorch")
    if one.curves is not None and one.exact is not None:
        steps = range(1, len(one.curves.gluon_loss) + 1)
        loss_axes.plot(steps, one.curves.torch_loss, "-", lw=4, alpha=0.4, label="PyTorch")
        loss_axes.plot(steps, one.curves.gluon_loss, "-", lw=1.3, label="Gluon")
        apart_axes.axhline(curves.TOLERANCE, color="k", ls=":", label="tolerance")
        for label, values in (
            ("Gluon and PyTorch, float32", one.curves.differences()),
            ("PyTorch float32 and float64", one.own_rounding()),
            ("Gluon and PyTorch, float64", one.exact.differences()),
        ):
            values = [max(value, 1e-16) for value in values]
            apart_axes.plot(range(1, len(values) + 1), values, ".-", label=label)
        apart_axes.set_yscale("log")
        accuracy_axes = loss_axes.twinx()
        accuracy_axes.plot(steps, _smoothed(one.curves.torch_acc), "--", lw=4, alpha=0.4)
        accuracy_axes.plot(steps, _smoothed(one.curves.gluon_acc), "--", lw=1.3)
        accuracy_axes.set(ylim=(0, 1), ylabel="accuracy, dashed, mean of five steps")
        loss_axes.legend()
        apart_axes.legend(fontsize="small")
    loss_axes.set(title="training on the same batches", xlabel="step", ylabel="loss, nats")
    apart_axes.set(title="relative difference of the losses", xlabel="step")
    if one.numbers is not None:
        rows = one.numbers
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
    if one.speeds is not None:
        ran = [speed for speed in one.speeds if not speed.fault]
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


def _smoothed(values: list[float]) -> list[float]:
    """At each step the mean of it and up to four before."""
    return [
        sum(part) / len(part) for i in range(len(values)) if (part := values[max(0, i - 4) : i + 1])
    ]

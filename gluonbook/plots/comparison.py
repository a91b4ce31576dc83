"""A comparison of two nets: training, differences and speeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Mapping, Sequence

import numpy as np

from .figure import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Differences are on a logarithmic axis that ends in a linear piece from here down to 0, since one
#: may be 0. Of two losses in float64 no other is smaller.
_LEAST = 1e-16
_TICKS = (0, *(10.0**exponent for exponent in range(-16, 1, 4)))
#: By label, and in each by name.
Table = Mapping[str, Mapping[str, float]]


def draw_comparison(
    title: str,
    *,
    training: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    differences: Mapping[str, Sequence[float]],
    tolerance: tuple[str, float],
    errors: Table,
    tolerances: Table,
    speeds: Table,
    precision: str = "float64",
    speed_title: str = "speed",
) -> Figure:
    """Draw four panels. One that is given nothing says so.

    `training` has the losses and the accuracies of two nets, step by step, computed in `precision`;
    `differences`, how far losses differ at each step, those first that `tolerance` judges, which is
    a label and the greatest difference; `errors`, how far each quantity differs; `speeds`, images a
    second of each form.
    """
    figure = new_figure(11, 7)
    (loss_axes, apart_axes), (errors_axes, speed_axes) = figure.subplots(2, 2)
    figure.suptitle(title)
    loss_axes.set(title=f"training on the same batches, {precision}")
    apart_axes.set(title="how far the losses differ")
    errors_axes.set(title="one training step: greatest differences")
    speed_axes.set(title=speed_title)
    if training:
        loss_axes.set(xlabel="step", ylabel="loss of the batch, nats (solid)")
        loss_axes.locator_params(axis="x", integer=True)
        accuracy_axes = loss_axes.twinx()
        # The first is broad and pale, so that the second is seen upon it.
        for (label, (loss, accuracy)), lw, alpha in zip(training.items(), (4, 1.3), (0.4, 1)):
            steps = range(1, len(loss) + 1)
            smoothed = [np.mean(accuracy[max(0, step - 5) : step]) for step in steps]
            loss_axes.plot(steps, loss, "-", label=label, lw=lw, alpha=alpha)
            accuracy_axes.plot(steps, smoothed, "--", lw=lw, alpha=alpha)
        accuracy_axes.set(ylim=(0, 1), ylabel="accuracy, mean of five steps (dashed)")
        loss_axes.legend()
    else:
        _say(loss_axes, "not compared")
    if differences:
        limit_label, limit = tolerance
        apart_axes.axhline(limit, color="C0", ls=":", label=limit_label)
        for i, (label, values) in enumerate(differences.items()):
            steps = range(1, len(values) + 1)
            line, width = (".-", 1.5) if i == 0 else (".--", 1)
            apart_axes.plot(steps, values, line, lw=width, label=label, clip_on=False)
        apart_axes.set(xlabel="step", ylabel="relative difference")
        apart_axes.locator_params(axis="x", integer=True)
        _from_zero(apart_axes, max(max(values, default=0.0) for values in differences.values()))
        apart_axes.legend(fontsize="small", loc="upper left")
    else:
        _say(apart_axes, "not compared")
    if any(errors.values()):
        names = _draw_bars(errors_axes, errors, 0.27)
        for (label, limits), style in zip(tolerances.items(), "-:"):
            edges = ([names.index(name) + side for name in limits] for side in (-0.45, 0.45))
            errors_axes.hlines(list(limits.values()), *edges, colors="k", ls=style, label=label)
        errors_axes.set(ylabel="difference / greatest value")
        _from_zero(errors_axes, max(max(values.values()) for values in errors.values()))
        errors_axes.legend(fontsize="small", loc="upper left")
    else:
        _say(errors_axes, "not compared")
    if any(speeds.values()):
        _draw_bars(speed_axes, speeds, 0.4)
        highest = max(value for values in speeds.values() for value in values.values())
        speed_axes.set_ylim(top=1.2 * highest)  # which leaves room for the legend
        speed_axes.legend(ncols=2, loc="upper left", fontsize="small")
        speed_axes.set(ylabel="images a second")
    else:
        _say(speed_axes, "not measured")
    return figure


def _say(axes: Axes, why: str) -> None:
    """Say why a panel is empty, in its place."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, why, ha="center", va="center", transform=axes.transAxes)


def _from_zero(axes: Axes, greatest: float) -> None:
    """A logarithmic axis on which 0 has its place, with room for the legend above `greatest`."""
    axes.set_yscale("symlog", linthresh=_LEAST, linscale=1)
    axes.set_yticks(_TICKS)
    axes.set_yticks([], minor=True)
    axes.set_ylim(0, max(1.0, greatest if np.isfinite(greatest) else 1.0) * 1e8)


def _draw_bars(axes: Axes, bars: Table, width: float) -> list[str]:
    """A group of bars for each name, and in it one of each label; the names, from left to right."""
    names = list(next(iter(bars.values())))
    for i, (label, values) in enumerate(bars.items()):
        places = np.arange(len(names)) + (i - (len(bars) - 1) / 2) * width
        drawn = axes.bar(places, [*values.values()], width, label=label)
        axes.bar_label(drawn, ["" if value else "0" for value in values.values()])
    axes.set_xticks(range(len(names)), names, fontsize="small")
    return names

"""A comparison of two nets: training, differences and speeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Mapping, Sequence

import numpy as np

from .figure import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The least value that is drawn where differences are on a logarithmic axis: one may be 0.
_LEAST = 1e-16
#: By label, and in each by name.
Table = Mapping[str, Mapping[str, float]]


def draw_comparison(
    title: str,
    *,
    training: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    differences: Mapping[str, Sequence[float]],
    tolerance: float,
    errors: Table,
    tolerances: Table,
    speeds: Table,
) -> Figure:
    """Draw four panels. One that is given nothing stays empty.

    `training` has the losses and the accuracies of two nets, step by step; `differences`, how far
    losses differ at each step; `errors`, how far each quantity differs; `speeds`, images a second
    of each form.
    """
    figure = new_figure(11, 7)
    (loss_axes, apart_axes), (errors_axes, speed_axes) = figure.subplots(2, 2)
    figure.suptitle(title)
    loss_axes.set(title="training on the same batches", xlabel="step", ylabel="loss, nats")
    apart_axes.set(title="relative difference of the losses", xlabel="step")
    errors_axes.set(title="greatest relative difference, one step")
    speed_axes.set(title="images a second")
    if training:
        accuracy_axes = loss_axes.twinx()
        # The first is broad and pale, so that the second is seen upon it.
        for (label, (loss, accuracy)), lw, alpha in zip(training.items(), (4, 1.3), (0.4, 1)):
            steps = range(1, len(loss) + 1)
            smoothed = [np.mean(accuracy[max(0, step - 5) : step]) for step in steps]
            loss_axes.plot(steps, loss, "-", label=label, lw=lw, alpha=alpha)
            accuracy_axes.plot(steps, smoothed, "--", lw=lw, alpha=alpha)
        accuracy_axes.set(ylim=(0, 1), ylabel="accuracy, dashed, mean of five steps")
        loss_axes.legend()
    if differences:
        apart_axes.axhline(tolerance, color="k", ls=":", label="tolerance")
        for label, values in differences.items():
            steps = range(1, len(values) + 1)
            apart_axes.plot(steps, np.maximum(values, _LEAST), ".-", label=label)
        apart_axes.set_yscale("log")
        apart_axes.legend(fontsize="small")
    if any(errors.values()):
        names = _draw_bars(errors_axes, errors, 0.27)
        for (label, limits), style in zip(tolerances.items(), "-:"):
            edges = ([names.index(name) + side for name in limits] for side in (-0.45, 0.45))
            errors_axes.hlines(list(limits.values()), *edges, colors="k", ls=style, label=label)
        errors_axes.set_yscale("log")
        errors_axes.set_ylim(1e-17, 1e9)
        errors_axes.legend(fontsize="small", loc="upper left")
    if any(speeds.values()):
        _draw_bars(speed_axes, speeds, 0.4)
        highest = max(value for values in speeds.values() for value in values.values())
        speed_axes.set_ylim(top=1.2 * highest)  # which leaves room for the legend
        speed_axes.legend(ncols=2, loc="upper left", fontsize="small")
    return figure


def _draw_bars(axes: Axes, bars: Table, width: float) -> list[str]:
    """A group of bars for each name, and in it one of each label; the names, from left to right."""
    names = list(next(iter(bars.values())))
    for i, (label, values) in enumerate(bars.items()):
        places = np.arange(len(names)) + (i - (len(bars) - 1) / 2) * width
        axes.bar(places, np.maximum([*values.values()], _LEAST), width, label=label)
    axes.set_xticks(range(len(names)), names, fontsize="small")
    return names

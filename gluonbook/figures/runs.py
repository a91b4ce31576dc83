"""Several runs together: their curves in one picture, and the mean of their last epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Mapping, Sequence

from ..training.history import Epoch, History

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_runs(runs: Mapping[str, Sequence[History]]) -> Figure:
    """Draw training loss and test accuracy over the epochs, in one color for each name.

    Several histories of one name are runs of the same net from different seeds.
    """
    from matplotlib.figure import Figure  # slow to import, and not every program draws

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    loss_axes, accuracy_axes = figure.subplots(1, 2)
    for i, (name, histories) in enumerate(runs.items()):
        for j, history in enumerate(histories):
            x = [epoch.epoch for epoch in history]
            label = name if j == 0 else None
            for axes, y in (
                (loss_axes, [epoch.loss for epoch in history]),
                (accuracy_axes, [epoch.test_acc for epoch in history]),
            ):
                axes.plot(x, y, "o-", markersize=3, color=f"C{i}", label=label)
    loss_axes.set(xlabel="epoch", ylabel="training loss, nats")
    accuracy_axes.set(xlabel="epoch", ylabel="test accuracy")
    for axes in (loss_axes, accuracy_axes):
        axes.locator_params(axis="x", integer=True)
    accuracy_axes.legend(fontsize="small")
    return figure


def mean_last(histories: Sequence[History]) -> Epoch:
    """The mean of the last epochs of several runs."""
    last = [history[-1] for history in histories]
    means = [sum(values) / len(last) for values in zip(*last)]
    return Epoch(last[0].epoch, *means[1:])

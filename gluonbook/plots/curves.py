"""Loss and accuracy over the epochs, of one run or of several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterable, Mapping, Sequence, Tuple

import numpy as np

from .figure import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The rows of a history: epoch, loss, accuracy on training and on test images, seconds.
Epochs = Iterable[Tuple[int, float, float, float, float]]


def draw_history(epochs: Epochs, title: str = "") -> Figure:
    """Draw the training loss and both accuracies of one run."""
    from matplotlib.ticker import MaxNLocator

    figure, loss_axes, accuracy_axes = _axes(8, 3.2, "cross-entropy (nats)", "accuracy")
    x, loss, train_acc, test_acc = _columns(epochs)
    loss_axes.plot(x, loss, "o-", label="training loss")
    loss_axes.set_ylim(bottom=0)
    accuracy_axes.plot(x, train_acc, "o--", label="training")
    accuracy_axes.plot(x, test_acc, "o-", label="test")
    for axes in (loss_axes, accuracy_axes):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title)
    return figure


def draw_runs(runs: Mapping[str, Sequence[Epochs]]) -> Figure:
    """Draw training loss and test accuracy of several runs, in one color for each name.

    Several histories of one name are runs of the same net from different seeds.
    """
    figure, loss_axes, accuracy_axes = _axes(9, 3.4, "training loss, nats", "test accuracy")
    for i, (name, histories) in enumerate(runs.items()):
        for j, epochs in enumerate(histories):
            x, loss, _, test_acc = _columns(epochs)
            label = name if j == 0 else None
            for axes, y in ((loss_axes, loss), (accuracy_axes, test_acc)):
                axes.plot(x, y, "o-", markersize=3, color=f"C{i}", label=label)
    for axes in (loss_axes, accuracy_axes):
        axes.locator_params(axis="x", integer=True)
    accuracy_axes.legend(fontsize="small")
    return figure


def _axes(width: float, height: float, loss: str, accuracy: str) -> tuple[Figure, Axes, Axes]:
    """A figure with axes for the loss and for the accuracy, side by side."""
    figure = new_figure(width, height)
    loss_axes, accuracy_axes = figure.subplots(1, 2)
    loss_axes.set(xlabel="epoch", ylabel=loss)
    accuracy_axes.set(xlabel="epoch", ylabel=accuracy)
    return figure, loss_axes, accuracy_axes


def _columns(epochs: Epochs) -> np.ndarray:
    """Epochs, losses and both accuracies, (4, epochs)."""
    return np.reshape(list(epochs), (-1, 5)).T[:4]

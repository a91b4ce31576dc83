"""Pictures of a classifier: predictions, the confusion matrix, the filters of its first layer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Sequence

from mxnet import gluon, nd
import numpy as np

from .figure import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 9
#: Inches: a cell of a page is one wide. Its picture has a margin, and two lines of text above it.
_MARGIN, _TEXT = 0.04, 0.42


def draw_images(
    images: np.ndarray,
    probabilities: np.ndarray,
    names: Sequence[str],
    labels: np.ndarray | None = None,
) -> Figure:
    """Draw images (N, 1, H, W), each with the predicted class and its probability.

    With `labels`, the title of a wrong prediction is red and names the true class too.
    """
    figure, axes, corners = _page(len(images), _COLUMNS, _TEXT + 1.0)
    predicted = probabilities.argmax(axis=1)
    for i, (left, top) in enumerate(corners):
        _put(axes, images[i].reshape(images.shape[-2:]), left, top + _TEXT, cmap="gray_r")
        title = f"{names[predicted[i]]} {probabilities[i].max():.0%}"
        wrong = labels is not None and labels[i] != predicted[i]
        if wrong:
            title += f"\n({names[labels[i]]})"  # type: ignore[index]
        color = "red" if wrong else "black"
        place = (left + 0.5, top + _TEXT)
        axes.text(*place, title, fontsize=7, color=color, ha="center", va="bottom")
    return figure


def draw_confusion(
    matrix: np.ndarray, names: Sequence[str], precision: np.ndarray, recall: np.ndarray
) -> Figure:
    """Draw a confusion matrix with the precision and the recall of each class."""
    n = len(names)
    figure = new_figure(8.5, 7)
    axes = figure.subplots()
    shares = np.nan_to_num(matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True)))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, j in np.ndindex(n, n):
        if matrix[i, j]:
            color = "white" if shares[i, j] > 0.5 else "black"
            axes.text(j, i, f"{matrix[i, j]:,}", ha="center", va="center", color=color, fontsize=8)
    columns = [f"{name}\n{_percent(value)}" for name, value in zip(names, precision)]
    rows = [f"{name}  {_percent(value)}" for name, value in zip(names, recall)]
    axes.set_xticks(range(n), columns, rotation=60, fontsize=8)
    axes.set_yticks(range(n), rows, fontsize=8)
    axes.set(xlabel="predicted class, precision", ylabel="true class, recall")
    return figure


def draw_filters(net: gluon.Block) -> Figure:
    """Draw the weights of the first convolution, (filters, channels, h, w), one picture a filter.

    Of several channels the mean is drawn. White is positive, black negative, gray 0.

    Raises
    ------
    ValueError
        If the net has no convolution.
    """
    nd.waitall()  # oneDNN may still be rearranging weights after the last inference
    weights = [p for p in net.collect_params().values() if p.shape and len(p.shape) == 4]
    if not weights:
        raise ValueError("the net has no convolution to draw")
    first = weights[0].data(weights[0].list_ctx()[0]).copy().asnumpy().mean(axis=1)
    figure, axes, corners = _page(len(first), min(12, len(first)), 1.0)
    limit = np.abs(first).max() or 1.0
    for weight, (left, top) in zip(first, corners):
        _put(axes, weight, left, top, cmap="gray", vmin=-limit, vmax=limit)
    return figure


def _percent(share: float) -> str:
    return "–" if np.isnan(share) else f"{share:.0%}"


def _page(
    number: int, columns: int, height: float
) -> tuple[Figure, Axes, list[tuple[float, float]]]:
    """A figure with one panel, measured in inches, and the upper left corner of each cell in it.

    A panel for each cell would take matplotlib a second to lay out.
    """
    num_rows = math.ceil(number / columns)
    figure = new_figure(columns, height * num_rows)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, columns), ylim=(height * num_rows, 0))
    axes.axis("off")
    return figure, axes, [(i % columns, height * (i // columns)) for i in range(number)]


def _put(axes: Axes, picture: np.ndarray, left: float, top: float, **colors: Any) -> None:
    sides = (left + _MARGIN, left + 1 - _MARGIN)
    extent = (*sides, top + 1 - _MARGIN, top + _MARGIN)
    axes.imshow(picture, extent=extent, aspect="auto", **colors)

"""Pictures of a classifier: predictions, the confusion matrix, the filters of its first layer."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Sequence

from mxnet import gluon, nd
import numpy as np

from ..system import files
from .measures import precision, recall

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 9


def draw_images(
    path: str | os.PathLike[str],
    images: np.ndarray,
    probabilities: np.ndarray,
    names: Sequence[str],
    labels: np.ndarray | None = None,
) -> None:
    """Draw images (N, 1, H, W), each with the predicted class and its probability.

    With `labels`, the title of a wrong prediction is red and names the true class too.

    Raises
    ------
    FileFailure
        If the file cannot be written; it is then as it was.
    """
    num_rows = math.ceil(len(images) / _COLUMNS)
    figure = _figure(_COLUMNS, 1.45 * num_rows)
    panels = figure.subplots(num_rows, _COLUMNS, squeeze=False).flat
    for panel in panels:
        panel.axis("off")
    predicted = probabilities.argmax(axis=1)
    for i, panel in zip(range(len(images)), figure.axes):
        panel.imshow(images[i].reshape(images.shape[-2:]), cmap="gray_r")
        title = f"{names[predicted[i]]} {probabilities[i].max():.0%}"
        wrong = labels is not None and labels[i] != predicted[i]
        if wrong:
            title += f"\n({names[labels[i]]})"  # type: ignore[index]
        panel.set_title(title, fontsize=7, color="red" if wrong else "black")
    _save(figure, path)


def draw_confusion(path: str | os.PathLike[str], matrix: np.ndarray, names: Sequence[str]) -> None:
    """Draw a confusion matrix with the precision and the recall of each class.

    Raises
    ------
    FileFailure
        If the file cannot be written; it is then as it was.
    """
    n = len(names)
    figure = _figure(8.5, 7)
    axes = figure.subplots()
    shares = np.nan_to_num(matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True)))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, j in np.ndindex(n, n):
        if matrix[i, j]:
            color = "white" if shares[i, j] > 0.5 else "black"
            axes.text(j, i, f"{matrix[i, j]:,}", ha="center", va="center", color=color, fontsize=8)
    columns = [f"{name}\n{_percent(value)}" for name, value in zip(names, precision(matrix))]
    rows = [f"{name}  {_percent(value)}" for name, value in zip(names, recall(matrix))]
    axes.set_xticks(range(n), columns, rotation=60, fontsize=8)
    axes.set_yticks(range(n), rows, fontsize=8)
    axes.set(xlabel="predicted class, precision", ylabel="true class, recall")
    _save(figure, path)


def draw_filters(path: str | os.PathLike[str], net: gluon.Block) -> None:
    """Draw the weights of the first convolution, (filters, channels, h, w), one panel a filter.

    Of several channels the mean is drawn. White is positive, black negative, gray 0.

    Raises
    ------
    ValueError
        If the net has no convolution.
    FileFailure
        If the file cannot be written; it is then as it was.
    """
    nd.waitall()  # oneDNN may still be rearranging weights after the last inference
    weights = [p for p in net.collect_params().values() if p.shape and len(p.shape) == 4]
    if not weights:
        raise ValueError("the net has no convolution to draw")
    first = weights[0].data(weights[0].list_ctx()[0]).copy().asnumpy().mean(axis=1)
    columns = min(12, len(first))
    num_rows = math.ceil(len(first) / columns)
    figure = _figure(0.7 * columns, 0.7 * num_rows)
    figure.subplots(num_rows, columns, squeeze=False)
    limit = np.abs(first).max() or 1.0
    for panel in figure.axes:
        panel.axis("off")
    for panel, weight in zip(figure.axes, first):
        panel.imshow(weight, cmap="gray", vmin=-limit, vmax=limit)
    _save(figure, path)


def _percent(share: float) -> str:
    return "–" if np.isnan(share) else f"{share:.0%}"


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure  # slow to import, and not every program draws

    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Figure, path: str | os.PathLike[str]) -> None:
    with files.replacing(path) as scratch:
        figure.savefig(scratch, dpi=120, format="png")

"""A picture of what a trained net predicts for single images."""

from __future__ import annotations

import os

from mxnet import gluon
import numpy as np

from ..data.batches import split_batches
from ..data.fashion_mnist import CLASSES, Split
from ..data.image_batches import ImageBatches
from ..nets.auxiliary import answer_of
from ..system import files

_ROWS, _COLUMNS = 3, 9


def draw_predictions(
    net: gluon.Block, test: Split, size: int, path: str | os.PathLike[str]
) -> None:
    """Draw the first test images with the class that `net` predicts for each, on its own device.

    The title of a wrong prediction is red and names the true class too.

    Parameters
    ----------
    net
        Initialized, for images (N, 1, size, size).

    Raises
    ------
    FileFailure
        If the file cannot be written; it is then as it was.
    """
    from matplotlib.figure import Figure  # slow to import, and not every program draws

    images, labels = (array[: _ROWS * _COLUMNS] for array in test)
    batches = ImageBatches(images, labels, len(images), size=size)
    [ctx, *_] = next(iter(net.collect_params().values())).list_ctx()
    [[(X, _)]] = split_batches(batches, [ctx])
    predicted = answer_of(net(X)).argmax(axis=1).asnumpy().astype(np.int64)
    figure = Figure(figsize=(_COLUMNS, 1.35 * _ROWS), layout="constrained")
    panels = figure.subplots(_ROWS, _COLUMNS)
    for panel in panels.flat:
        panel.axis("off")
    for panel, image, label, answer in zip(panels.flat, images, labels, predicted):
        panel.imshow(image.reshape(image.shape[-2:]), cmap="gray_r")
        title = CLASSES[answer]
        if answer != label:
            title += f"\n({CLASSES[label]})"
        panel.set_title(title, fontsize=8, color="black" if answer == label else "red")
    with files.replacing(path) as scratch:
        figure.savefig(scratch, dpi=120)

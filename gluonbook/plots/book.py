"""The book's plots: images with their labels, and curves over the training.

Importing this module imports matplotlib's pyplot; nothing else in this package does.
"""

from __future__ import annotations

import math
from typing import Any, Iterable, Sequence

from matplotlib import pyplot as plt
import numpy as np

from ..data.fashion_mnist import CLASSES
from ..system.output import in_notebook


def use_svg_display() -> None:
    """Show figures as vector graphics in a notebook; elsewhere this does nothing."""
    if in_notebook():
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("svg")


def set_figsize(figsize: tuple[float, float] = (3.5, 2.5)) -> None:
    """Set the width and height, in inches, of the figures that follow."""
    use_svg_display()
    plt.rcParams["figure.figsize"] = figsize


def get_fashion_mnist_labels(labels: Iterable[Any]) -> list[str]:
    """The names of these class numbers, for example 0 as ``"t-shirt"``."""
    return [CLASSES[int(label)] for label in labels]


def show_fashion_mnist(images: Sequence[Any], labels: Sequence[str]) -> None:
    """Draw the images in a row, each with its label above it.

    Parameters
    ----------
    images
        Each of any size, gray, (H, W), (1, H, W) or (H, W, 1), or in colors, (H, W, 3); or the
        H × H values of a square one.
    """
    use_svg_display()
    _, panels = plt.subplots(1, len(images), figsize=(12, 12), squeeze=False)
    for panel, image, label in zip(panels.flat, images, labels):
        panel.imshow(_picture(image))
        panel.set_title(label)
        panel.axis("off")


def _picture(image: Any) -> np.ndarray:
    """An image as matplotlib takes it, (H, W) or (H, W, 3)."""
    values = image.asnumpy() if hasattr(image, "asnumpy") else np.asarray(image)
    if values.ndim == 3 and 1 in (values.shape[0], values.shape[2]):
        return values[0] if values.shape[0] == 1 else values[:, :, 0]
    side = math.isqrt(values.size)
    return values.reshape(side, side) if values.ndim == 1 and side**2 == values.size else values


def semilogy(
    x_vals: Sequence[float],
    y_vals: Sequence[float],
    x_label: str,
    y_label: str,
    x2_vals: Sequence[float] | None = None,
    y2_vals: Sequence[float] | None = None,
    legend: Sequence[str] | None = None,
    figsize: tuple[float, float] = (3.5, 2.5),
) -> None:
    """Draw one curve, or two, over a logarithmic y axis. The second is dotted."""
    set_figsize(figsize)
    plt.xlabel(x_label)
    plt.ylabel(y_label)
    plt.semilogy(x_vals, y_vals)
    if x2_vals is not None and y2_vals is not None:
        plt.semilogy(x2_vals, y2_vals, linestyle=":")
    if legend is not None:
        plt.legend(legend)

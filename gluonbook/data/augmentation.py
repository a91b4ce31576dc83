"""Random flips and shifts of images."""

from __future__ import annotations

import numpy as np

#: The greatest shift, as a share of the image: 2 of 28 pixels, 6 of 96.
GREATEST_SHIFT = 1 / 14


def draw_moves(
    shape: tuple[int, ...], random: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The moves of images of this shape (N, C, H, W): flips (0 or 1), down and right, each (N,).

    Down and right are whole numbers of pixels, up to `GREATEST_SHIFT` of H and of W to either side,
    each as likely as the others.
    """
    n, _, height, width = shape
    flips = random.randint(2, size=n)
    down, right = (
        random.randint(-most, most + 1, size=n)
        for most in (int(GREATEST_SHIFT * length) for length in (height, width))
    )
    return flips, down, right


def flip_and_shift(images: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """Each image flipped left to right or not, and moved by a few pixels, with zeros behind it.

    Images (N, C, H, W) of any type, moved as `draw_moves` draws it; the result is a new array.
    """
    height, width = images.shape[2:]
    moved = np.zeros_like(images)
    moves = draw_moves(images.shape, random)
    for image, target, flip, y, x in zip(images, moved, *moves):
        if flip:
            image = image[:, :, ::-1]
        kept = image[:, max(0, -y) : height - y, max(0, -x) : width - x]
        top, left = max(0, y), max(0, x)
        target[:, top : top + kept.shape[1], left : left + kept.shape[2]] = kept
    return moved

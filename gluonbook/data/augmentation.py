"""Random flips and shifts of images."""

from __future__ import annotations

import numpy as np

#: The greatest shift, as a share of the image: 2 of 28 pixels, 7 of 96.
GREATEST_SHIFT = 1 / 14


def flip_and_shift(images: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """Each image flipped left to right or not, and moved by a few pixels, with zeros behind it.

    Images (N, C, H, W) of any type; the result is a new array. The moves are whole numbers of
    pixels, up to `GREATEST_SHIFT` of H up and down and of W left and right, each as likely as the
    others.
    """
    n, _, height, width = images.shape
    flips = random.randint(2, size=n)
    most = [int(GREATEST_SHIFT * length) for length in (height, width)]
    down, right = (random.randint(-m, m + 1, size=n) for m in most)
    moved = np.zeros_like(images)
    for image, target, flip, y, x in zip(images, moved, flips, down, right):
        if flip:
            image = image[:, :, ::-1]
        kept = image[:, max(0, -y) : height - y, max(0, -x) : width - x]
        top, left = max(0, y), max(0, x)
        target[:, top : top + kept.shape[1], left : left + kept.shape[2]] = kept
    return moved

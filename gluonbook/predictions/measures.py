"""What a classifier gets right and wrong, class by class."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..data.fashion_mnist import CLASSES


def confusion(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """How many images of class i were taken for class j: int64 (num_classes, num_classes)."""
    pairs = num_classes * labels.astype(np.int64) + predicted.astype(np.int64)
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def precision(matrix: np.ndarray) -> np.ndarray:
    """For each class, the share of the images taken for it that are of it; NaN if none was."""
    with np.errstate(invalid="ignore"):
        return matrix.diagonal() / matrix.sum(axis=0)


def recall(matrix: np.ndarray) -> np.ndarray:
    """For each class, the share of its images that were taken for it; NaN if it has none."""
    with np.errstate(invalid="ignore"):
        return matrix.diagonal() / matrix.sum(axis=1)


def worst_mistakes(labels: np.ndarray, probabilities: np.ndarray, most: int) -> np.ndarray:
    """Indices of the wrong answers, the most confident first, and at most so many."""
    predicted = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    return wrong[np.argsort(-probabilities[wrong, predicted[wrong]], kind="stable")][:most]


def report(matrix: np.ndarray) -> dict[str, Any]:
    """What ``predict --json`` prints of the `confusion` of images of Fashion-MNIST.

    Precision or recall of a class that no image was taken for, or that no image is of, is None.
    """
    num_images = int(matrix.sum())
    of_classes = zip(CLASSES, precision(matrix), recall(matrix))
    return {
        "test_images": num_images,
        "accuracy": float(matrix.trace() / num_images),
        "classes": {
            name: {"precision": _number(precision), "recall": _number(recall)}
            for name, precision, recall in of_classes
        },
        "confusion": matrix.tolist(),
    }


def _number(value: float) -> float | None:
    """For JSON, which has no NaN."""
    return None if np.isnan(value) else float(value)

"""What a classifier gets right and wrong, class by class."""

from __future__ import annotations

import numpy as np


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

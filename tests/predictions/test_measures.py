"""What is right and wrong, against counting by hand."""

from __future__ import annotations

from gluonbook.predictions.measures import confusion, precision, recall, worst_mistakes
import numpy as np

LABELS = np.array([0, 0, 0, 1, 1, 2], np.int32)
PROBABILITIES = np.array(
    [
        [0.8, 0.1, 0.1, 0.0],  # right
        [0.3, 0.6, 0.1, 0.0],  # 0 taken for 1
        [0.1, 0.9, 0.0, 0.0],  # 0 taken for 1, with more confidence
        [0.1, 0.9, 0.0, 0.0],  # right
        [0.5, 0.4, 0.1, 0.0],  # 1 taken for 0
        [0.1, 0.0, 0.9, 0.0],  # right
    ],
    np.float32,
)


def test_the_confusion_matrix_counts_each_pair():
    matrix = confusion(LABELS, PROBABILITIES.argmax(axis=1), 4)
    assert matrix.tolist() == [[1, 2, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(precision(matrix), [1 / 2, 1 / 3, 1, np.nan])
    np.testing.assert_allclose(recall(matrix), [1 / 3, 1 / 2, 1, np.nan])


def test_the_most_confident_mistakes_come_first():
    assert worst_mistakes(LABELS, PROBABILITIES, 10).tolist() == [2, 1, 4]
    assert worst_mistakes(LABELS, PROBABILITIES, 1).tolist() == [2]

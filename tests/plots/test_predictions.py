"""Pictures of a classifier show what it answered, by hand-made answers."""

from __future__ import annotations

from gluonbook.plots.predictions import draw_confusion, draw_filters, draw_images
from mxnet import gluon, nd
import numpy as np
import pytest


def test_a_wrong_prediction_is_red_and_names_the_true_class():
    images = np.arange(2 * 16, dtype=np.uint8).reshape(2, 1, 4, 4)
    probabilities = np.array([[0.25, 0.75], [0.9, 0.1]])
    for labels, told in (
        (None, [("boot 75%", "black"), ("bag 90%", "black")]),
        (np.array([1, 1]), [("boot 75%", "black"), ("bag 90%\n(boot)", "red")]),
    ):
        [axes] = draw_images(images, probabilities, ["bag", "boot"], labels).axes
        assert [(text.get_text(), text.get_color()) for text in axes.texts] == told
        for drawn, image in zip(axes.images, images):
            np.testing.assert_array_equal(drawn.get_array(), image[0])


def test_a_confusion_matrix_counts_and_says_precision_and_recall():
    matrix = np.array([[1500, 500], [0, 0]])
    [axes] = draw_confusion(matrix, ["bag", "boot"], [1.0, 0.0], [0.75, np.nan]).axes
    assert [text.get_text() for text in axes.texts] == ["1,500", "500"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["bag\n100%", "boot\n0%"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["bag  75%", "boot  –"]
    np.testing.assert_array_equal(axes.images[0].get_array(), [[0.75, 0.25], [0, 0]])


def test_filters_are_the_first_convolutions_weights():
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Conv2D(3, 2, in_channels=2), gluon.nn.Conv2D(5, 2, in_channels=3))
    net.initialize()
    weights = np.arange(24, dtype=np.float32).reshape(3, 2, 2, 2)
    net[0].weight.set_data(nd.array(weights))
    [axes] = draw_filters(net).axes
    np.testing.assert_array_equal([i.get_array() for i in axes.images], weights.mean(axis=1))
    with pytest.raises(ValueError, match="no convolution"):
        draw_filters(gluon.nn.Dense(2, in_units=2))

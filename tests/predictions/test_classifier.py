"""Probabilities, against the net itself and NumPy's softmax."""

from __future__ import annotations

import gluonbook as gb
from gluonbook.predictions.classifier import Classifier
from mxnet import nd
import numpy as np
import pytest

from ..conftest import initialized


@pytest.mark.parametrize("size", [28, 40])
def test_probabilities_are_the_softmax_of_the_nets_answer(dataset, size):
    images = dataset.test.images[:300]  # two batches
    net = initialized(gb.lenet(), size)
    net.hybridize()
    pixels = nd.array(images.transpose(0, 2, 3, 1), dtype=np.uint8)
    resized = nd.image.resize(pixels, size) if size != 28 else pixels
    scores = net(nd.image.to_tensor(resized)).asnumpy().astype(np.float64)
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    found = Classifier(net, size).probabilities(images)
    assert found.dtype == np.float32 and found.shape == (300, 10)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_one_image(dataset):
    net = initialized(gb.lenet(), 28)
    assert Classifier(net, 28).probabilities(dataset.test.images[:1]).shape == (1, 10)


@pytest.mark.parametrize("hybridize", [True, False])
def test_the_answer_of_a_net_with_auxiliary_classifiers(dataset, hybridize):
    net = initialized(gb.googlenet(auxiliary=True), 96)
    net.hybridize(hybridize)
    images = dataset.test.images[:2]
    found = Classifier(net, 96).probabilities(images)
    np.testing.assert_allclose(found, Classifier(net.net, 96).probabilities(images), rtol=1e-3)

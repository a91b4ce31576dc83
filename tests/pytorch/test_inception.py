"""Inception v3 against torchvision's, its weights moved across by the structure of both nets."""

from __future__ import annotations

import gluonbook as gb
from gluonbook.pytorch import torchvision
from gluonbook.pytorch.architecture import architecture
from gluonbook.pytorch.transfer import to_gluon
from mxnet import nd
import numpy as np
import pytest
import torch
from torch import nn

from .test_transfer import randomized


@pytest.fixture(scope="module")
def theirs():
    """Its weights keep the signal's size; its running statistics are as after training."""
    net = torchvision.models().inception_v3(
        num_classes=10, transform_input=False, init_weights=False, aux_logits=True
    )
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
    return randomized(net)


def two_images(size):
    """The second with three times the contrast."""
    images = np.random.normal(size=(2, 3, size, size)) * [[[[1]]], [[[3]]]]
    return images.astype(np.float32)


def close(found, expected):
    """Within 1e-4 of the greatest output, where the outputs depend on the image."""
    found, expected = found.asnumpy(), expected.numpy()
    assert np.abs(expected[0] - expected[1]).max() > 0.03 * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_inceptionv3_is_torchvisions(theirs):
    """In every setting of every layer, and in its outputs, whatever the size of the image."""
    ours = gb.get_model("inceptionv3", 10)
    assert not any(layer.differences for layer in architecture(ours, theirs))
    to_gluon(theirs, ours)
    X = two_images(107)
    with torch.no_grad():
        close(ours(nd.array(X)), theirs(torch.from_numpy(X)))


def test_inceptionv3s_classifier_is_torchvisions(theirs, monkeypatch):
    ours = gb.get_model("inceptionv3", 10, auxiliary=True)
    [head] = ours.heads
    assert not any(layer.differences for layer in architecture(head, theirs.AuxLogits))
    to_gluon(theirs, ours)
    to_gluon(theirs.AuxLogits, head)
    X = two_images(299)
    # It answers so only in training, of which this is all that is wanted here.
    monkeypatch.setattr(theirs, "training", True)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(X))
    found = ours(nd.array(X))
    assert len(found) == len(expected) == 2
    for a, b in zip(found, expected):
        close(a, b)

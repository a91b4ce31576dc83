"""One image's inference in parts: what they give is the net's answer, and each has its figures."""

from __future__ import annotations

import functools
from pathlib import Path

from gluonbook.recipes import RECIPES
from mxnet import nd
import numpy as np
import pytest

from ..conftest import needs_onnx

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
IMAGE = np.random.RandomState(0).uniform(size=(1, 1, 28, 28)).astype(np.float32)


@pytest.fixture
def single_images(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import single_images

    return single_images


@pytest.fixture
def net(single_images, monkeypatch):
    """Both libraries get this one, instead of one that is initialized anew."""
    net = RECIPES["lenet"].net("pytorch")
    net.initialize()
    monkeypatch.setattr(single_images, "untrained", lambda recipe, edition: net)
    return net


def answer(parts):
    return functools.reduce(lambda value, work: work(value), parts.values(), None)


def test_the_parts_together_are_the_net(single_images, net):
    found = answer(single_images.by_gluonbook("lenet", IMAGE))
    np.testing.assert_allclose(found, net(nd.array(IMAGE)).asnumpy(), atol=1e-6)


@needs_onnx
def test_onnxruntime_computes_the_same_net(single_images, net, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    [found] = answer(single_images.by_onnxruntime("lenet", IMAGE))
    np.testing.assert_allclose(found, net(nd.array(IMAGE)).asnumpy(), atol=1e-5)


def test_each_part_has_its_median_and_its_percentile(single_images, monkeypatch):
    clock = iter(range(10**6))  # each part seems to take a second more than the one before
    monkeypatch.setattr(single_images.time, "perf_counter", lambda: next(clock) ** 2 / 2)
    monkeypatch.setattr(single_images, "CALLS", 3)
    figures = single_images.milliseconds({"computed": lambda value: value})
    # From 0² / 2 to 1² / 2, from 2² / 2 to 3² / 2 and from 4² / 2 to 5² / 2 seconds.
    assert figures["computed"] == pytest.approx([2500, np.percentile([500, 2500, 4500], 99)])
    assert figures["copied in"] == figures["copied out"] == [0, 0]

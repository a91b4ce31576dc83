"""What `benchmarks/gpu.py` finds out, with a second CPU context in place of a GPU."""

from __future__ import annotations

import importlib
from pathlib import Path

from gluonbook.recipes import RECIPES
import mxnet as mx
import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("gpu")


def test_a_section_is_compared_timed_and_trained(gpu, dataset):
    row = gpu.measure("lenet", mx.cpu(1), 256)
    assert row["differences"] == {"outputs": 0, "gradients": 0}
    assert row["images_per_second"]["gluonbook"] > 0 and row["training"]["epoch"] == 1
    assert gpu.table_of([row]).count("| LeNet | 256 | 28 | 0.0e+00 | 0.0e+00 |") == 1


def test_a_device_that_computes_wrongly_is_seen(gpu, dataset, monkeypatch):
    """One that loses a thousandth of each output."""
    right = gpu.step_on

    def step_on(net, ctx, X, y):
        outputs, gradients = right(net, ctx, X, y)
        return outputs * (0.999 if ctx == mx.cpu(1) else 1), gradients

    monkeypatch.setattr(gpu, "step_on", step_on)
    X, y = np.ones((2, 1, 28, 28), np.float32), np.zeros(2)
    found = gpu.differences(RECIPES["lenet"], mx.cpu(1), X, y)
    assert found["outputs"] == pytest.approx(1e-3, rel=1e-3) and found["gradients"] == 0

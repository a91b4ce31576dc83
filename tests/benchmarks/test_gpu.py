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


def test_a_section_is_compared(gpu, dataset):
    row = gpu.measure("lenet", mx.cpu(1))
    assert row["differences"] == {"outputs": 0, "loss": 0, "gradients": 0}
    row["speed"] = {
        "gluonbook": {"gluonbook": 3000.0, "memory": 2**30},
        "PyTorch": {"PyTorch": 1000.0, "PyTorch, compiled": 1500.0, "memory": 2**31},
    }
    table = gpu.table_of([row])
    assert table.count("| LeNet | 256 | 28 | 0.0e+00 | 0.0e+00 | 0.0e+00 |") == 1
    assert "| 3,000 | 1,000 | — | 1,500 | 2.00 | 1.0 | 2.0 |" in table


def test_a_section_that_is_not_computed_is_told(gpu, dataset, monkeypatch, capsys):
    def differences(*given):
        raise gpu.Failure("the output of conv0 differs")

    monkeypatch.setattr(gpu, "differences", differences)
    row = gpu.measure("nin", mx.cpu(1))
    assert row["failed"] == "the output of conv0 differs"
    assert capsys.readouterr().out == "nin: the output of conv0 differs\n"
    assert "| NiN | 128 | 224 | — | — | — |" in gpu.table_of([row])


def test_a_device_that_computes_wrongly_is_seen(gpu, dataset, monkeypatch):
    """One that loses a thousandth of each output."""
    right = gpu.step_on

    def step_on(net, ctx, X, y):
        outputs, loss, gradients = right(net, ctx, X, y)
        return outputs * (0.999 if ctx == mx.cpu(1) else 1), loss, gradients

    monkeypatch.setattr(gpu, "step_on", step_on)
    X, y = np.ones((2, 1, 28, 28), np.float32), np.zeros(2)
    found = gpu.differences(RECIPES["lenet"], mx.cpu(1), X, y)
    assert found["outputs"] == pytest.approx(1e-3, rel=1e-3)
    assert found["loss"] == found["gradients"] == 0

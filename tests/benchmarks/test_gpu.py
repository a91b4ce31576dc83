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


@pytest.mark.parametrize("section", ["lenet", "densenet"])  # without and with batch norm
def test_devices_that_compute_alike_do_not_differ(gpu, dataset, monkeypatch, section):
    monkeypatch.setattr(gpu, "COMPARED", 2)
    row = gpu.measure(section, mx.cpu(1))
    assert row["differences"] == {"outputs": 0, "loss": 0, "gradients": 0}


def test_a_section_is_compared(gpu, dataset):
    row = gpu.measure("lenet", mx.cpu(1))
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
    row = gpu.measure("lenet", mx.cpu(1))
    assert row["failed"] == "the output of conv0 differs"
    assert capsys.readouterr().out == "lenet: the output of conv0 differs\n"
    assert "| LeNet | 256 | 28 | — | — | — |" in gpu.table_of([row])


def test_a_device_that_computes_wrongly_is_seen(gpu, monkeypatch):
    """One that loses a thousandth of each output."""
    right = gpu.outputs_on

    def outputs_on(net, ctx, X):
        return right(net, ctx, X) * (0.999 if ctx == mx.cpu(1) else 1)

    monkeypatch.setattr(gpu, "outputs_on", outputs_on)
    X, y = np.ones((2, 1, 28, 28), np.float32), np.zeros(2)
    found = gpu.differences(RECIPES["lenet"], mx.cpu(1), X, y)
    assert found["outputs"] == pytest.approx(1e-3, rel=1e-3)
    assert found["loss"] == found["gradients"] == 0


def test_a_device_whose_net_went_to_the_cpu_has_no_figures(gpu, monkeypatch):
    """Else the CPU would be compared with itself, and agree."""

    class MovesAway:
        def __init__(self, net, loss, ctxs):
            self._net, self._right = net, right(net, loss, ctxs)

        def __getattr__(self, name):
            return getattr(self._right, name)

        def train(self, parts, trainer):
            outcomes = self._right.train(parts, trainer)
            self._net.collect_params().reset_ctx(mx.cpu())
            return outcomes

    right = gpu.computation_of
    monkeypatch.setattr(gpu, "computation_of", MovesAway)
    X, y = np.ones((2, 1, 28, 28), np.float32), np.zeros(2)
    with pytest.raises(gpu.Failure, match=r"cpu\(1\) computes otherwise than the CPU in training"):
        gpu.differences(RECIPES["lenet"], mx.cpu(1), X, y)

"""oneDNN and PyTorch tell of the same layers of a training step by the same names."""

from __future__ import annotations

from pathlib import Path
import re

import pytest

from ..conftest import NO_TORCH

pytestmark = pytest.mark.pytorch
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize("isa", ["all", "AVX2"])
def test_the_libraries_tell_of_lenets_layers(monkeypatch, isa):
    pytest.importorskip("torch", reason=NO_TORCH)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import training_layers as layers

    ours, *theirs = (layers.measured(form, "lenet", 2, isa) for form in layers.SIDES)
    # The widths of figure 2 of LeNet's paper; here six channels become eight or sixteen.
    expected = {
        f"convolution, {direction}, 5×5, {channels}"
        for direction in ("forward", "backward")
        for channels in ("1 to 6, of 28", "6 to 16, of 14")
    }
    kinds = {"convolution, forward", "convolution, backward", "dense", "pooling", "activation"}
    for times in (ours, *theirs):
        sizes = {re.sub("(1 to|5×5,) (8|16)(, of 28| to)", r"\1 6\3", name) for name in times}
        assert {name for name in sizes if "×" in name} == expected
        assert kinds | {layers.REST, layers.CLOCK} <= times.keys()
        known = sum(times.get(kind, 0.0) for kind in layers.TORCH)
        assert times[layers.CLOCK] == pytest.approx(known + times[layers.REST])
        for direction in ("forward", "backward"):
            parts = [times[name] for name in times if name.startswith(f"convolution, {direction},")]
            assert sum(parts) == pytest.approx(times[f"convolution, {direction}"])

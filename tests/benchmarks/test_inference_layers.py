"""oneDNN and onnxruntime tell of the same layers by the same names."""

from __future__ import annotations

from pathlib import Path
import re

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_both_libraries_tell_of_lenets_layers(monkeypatch):
    pytest.importorskip("onnxruntime", reason="needs the extra onnx: pip install -e '.[onnx]'")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import inference_layers

    layers = {
        *("convolution 5×5, 1 to 6, at 28", "convolution 5×5, 6 to 16, at 10"),
        *("pooling to 14, 6 channels", "pooling to 5, 16 channels"),
        *("dense, 400 to 120", "dense, 120 to 84", "dense, 84 to 10"),
    }
    others = {inference_layers.REST, inference_layers.CLOCK}
    ours = inference_layers.by_onednn("lenet", 2)
    assert ours.keys() - others == layers
    theirs = inference_layers.by_onnxruntime("lenet", 2)
    # On some processors it pads six channels to eight or sixteen.
    found = {re.sub("to (8|16), at 28", "to 6, at 28", layer) for layer in theirs}
    found = {re.sub("5×5, (8|16) to 16", "5×5, 6 to 16", layer) for layer in found}
    found = {re.sub("to 14, (8|16)", "to 14, 6", layer) for layer in found}
    assert found - others == layers
    for times in (ours, theirs):
        assert all(milliseconds >= 0 for milliseconds in times.values())
        assert inference_layers.by_kind(times)["outside the layers"] > 0

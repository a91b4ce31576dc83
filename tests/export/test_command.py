"""``python -m gluonbook.export``, on the folder of a run that this test trains."""

from __future__ import annotations

import json

from gluonbook import predict
from gluonbook.export import __main__ as command
import numpy as np

from ..conftest import needs_onnx

pytestmark = needs_onnx


def test_the_net_of_a_run_is_written(lenet_run, tiny, tmp_path, capsys):
    from onnxruntime import InferenceSession

    assert command.main([str(lenet_run)]) == 0
    written = lenet_run / "lenet.onnx"
    assert capsys.readouterr().err.endswith(f"the net is in {written}\n")
    session = InferenceSession(str(written), providers=["CPUExecutionProvider"])
    images = tiny.test.images.astype(np.float32) / 255
    [logits] = session.run(["logits"], {"images": images})
    exponentials = np.exp(logits)
    np.testing.assert_allclose(
        exponentials / exponentials.sum(axis=1, keepdims=True),
        predict.load_run(lenet_run).probabilities(tiny.test.images),
        rtol=1e-4,
    )
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata["name"] == "lenet" and len(json.loads(metadata["classes"])) == 10

    assert command.main([str(lenet_run), "--out", str(tmp_path / "x.onnx")]) == 0
    assert (tmp_path / "x.onnx").stat().st_size == written.stat().st_size

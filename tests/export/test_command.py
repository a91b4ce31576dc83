"""``python -m gluonbook.export``, on the folder of a run that this test trains."""

from __future__ import annotations

import json

from gluonbook import predict
from gluonbook.export import __main__ as command
from gluonbook.system.ownership import NotOurs
import numpy as np
import pytest

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


def test_no_file_of_a_users_is_written_over(lenet_run, tmp_path):
    out = tmp_path / "x.onnx"
    out.write_text("mine")
    for run in (lenet_run, tmp_path / "nowhere"):  # before anything else is done
        with pytest.raises(NotOurs, match="x.onnx is there already, and does not say"):
            command.main([str(run), "--out", str(out)])
    assert out.read_text() == "mine"
    out.unlink()
    assert command.main([str(lenet_run), "--out", str(out)]) == 0
    assert command.main([str(lenet_run), "--out", str(out)]) == 0

"""The forms that only infer can be made, and give logits of the right kind."""

from __future__ import annotations

from gluonbook.compare import inference, speed
import mxnet as mx
import numpy as np
import pytest
import torch

X = np.random.RandomState(1).rand(8, 1, 28, 28).astype(np.float32)


def test_onnxruntime_and_int8_answer_as_float32_does(monkeypatch):
    pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install -e '.[onnx]'")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    net = inference.untrained(inference.recipe_of("lenet"), "pytorch")
    expected = net(mx.nd.array(X)).asnumpy()
    monkeypatch.setattr(inference, "untrained", lambda recipe, edition: net)
    [logits] = inference.FORMS[inference.ONNXRUNTIME]("lenet", "pytorch", X)(X)
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)
    in_int8 = inference.FORMS[inference.INT8]("lenet", "pytorch", X)(X).asnumpy()
    assert 0 < np.abs(in_int8 - expected).max() < 0.05 * np.abs(expected).max()


def test_pytorch_in_int8_answers_as_its_float32_does(monkeypatch):
    net = inference.torch_net("lenet").eval()
    monkeypatch.setattr(inference, "torch_net", lambda section: net)
    with torch.no_grad():
        expected = net(torch.from_numpy(X)).numpy()
    in_int8 = inference.FORMS[inference.TORCH_INT8]("lenet", "pytorch", X)(X).numpy()
    assert 0 < np.abs(in_int8 - expected).max() < 0.05 * np.abs(expected).max()


@pytest.mark.parametrize("form", inference.FORMS)
def test_such_a_form_has_a_worker_of_its_own(form, monkeypatch):
    monkeypatch.setattr(speed, "Worker", lambda module, *arguments: (module, *arguments))
    worker = speed.worker_of(form, "lenet", "pytorch", 8)
    assert worker == ("gluonbook.compare.inference", form, "lenet", "pytorch", 8, None)
    with pytest.raises(NotImplementedError):
        inference.InferenceForm(form, "lenet", "pytorch").train(X, X)

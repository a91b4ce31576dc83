"""The forms that only benchmarks measure answer from processes of their own, and rightly."""

from __future__ import annotations

import importlib
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest

from ..conftest import NO_TORCH

pytestmark = pytest.mark.pytorch
X = np.random.RandomState(1).rand(8, 1, 28, 28).astype(np.float32)


@pytest.fixture
def forms(monkeypatch):
    pytest.importorskip("torch", reason=NO_TORCH)
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module("forms")


def test_onnxruntime_and_int8_answer_as_float32_does(forms, monkeypatch):
    pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install -e '.[onnx]'")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    net = forms.untrained(forms.recipe_of("lenet"), "pytorch")
    expected = net(mx.nd.array(X)).asnumpy()
    monkeypatch.setattr(forms, "untrained", lambda recipe, edition: net)
    [logits] = forms.FORMS[forms.ONNXRUNTIME]("lenet", "pytorch", X)(X)
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)
    in_int8 = forms.FORMS[forms.INT8]("lenet", "pytorch", X)(X).asnumpy()
    assert 0 < np.abs(in_int8 - expected).max() < 0.05 * np.abs(expected).max()


def test_pytorch_in_int8_answers_as_its_float32_does(forms, monkeypatch):
    import torch

    net = forms.torch_net("lenet").eval()
    monkeypatch.setattr(forms, "torch_net", lambda section: net)
    with torch.no_grad():
        expected = net(torch.from_numpy(X)).numpy()
    in_int8 = forms.FORMS[forms.TORCH_INT8]("lenet", "pytorch", X)(X).numpy()
    assert 0 < np.abs(in_int8 - expected).max() < 0.05 * np.abs(expected).max()


@pytest.mark.parametrize("form", ["gluonbook, int8", "PyTorch, int8"])
def test_a_form_that_only_infers_has_a_worker_of_its_own(forms, form):
    worker = forms.worker_of(form, "lenet", "pytorch", 8)
    assert worker.ask("infer") > 0
    with pytest.raises(RuntimeError, match="this form does not train"):
        worker.ask("train")
    worker.close()


def test_the_form_of_the_book_and_those_of_the_comparison_have_workers(forms):
    for form in (forms.AS_THE_BOOK, "Gluon, hybridized"):
        worker = forms.worker_of(form, "lenet", "gluon", 64)
        assert min(worker.ask(question) for question in ("train", "infer")) > 0
        # Six planes of 24 × 24 numbers for each image, and their gradient, are the least it needs.
        assert 2 * 64 * 6 * 24 * 24 * 4 < worker.ask("memory") < 2**28
        worker.close()

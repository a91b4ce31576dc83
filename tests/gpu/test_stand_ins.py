"""MXNet's functions on a GPU that it has no code for, which a second context of the CPU plays."""

from __future__ import annotations

from gluonbook.gpu import stand_ins
from gluonbook.system import mxnet_private
import mxnet as mx
from mxnet import gluon, nd
import numpy as np
import pytest

STRANGE = mx.cpu(1)


@pytest.fixture
def lacks_code(monkeypatch, launcher):
    monkeypatch.setattr(stand_ins, "lacks_code", lambda ctx: ctx == STRANGE)
    monkeypatch.setattr(stand_ins, "kernels_on", lambda ctx: launcher)


def test_zeros_come_from_the_cpu(lacks_code):
    asked = []

    def original(shape, ctx, dtype):
        asked.append(ctx)
        return nd.zeros(shape, ctx, dtype)

    zeros = stand_ins.zeros(original)
    for ctx in (STRANGE, mx.cpu(0), None):
        made = zeros((2, 3), ctx, "int32")
        assert made.context == (ctx or mx.cpu(0)) and made.dtype == np.int32
        assert not made.asnumpy().any()
    assert asked == [mx.cpu(0)] * 3


def test_a_parameter_is_initialized_there_with_its_gradient(lacks_code, monkeypatch):
    zeros = nd.utils._zeros_ndarray
    monkeypatch.setattr(nd.utils, "_zeros_ndarray", stand_ins.zeros(zeros))
    layer = gluon.nn.Dense(2, in_units=3)
    layer.initialize(ctx=STRANGE)
    assert layer.weight.grad(STRANGE).context == STRANGE


UPDATES = [
    ("sgd", {"learning_rate": 0.1, "wd": 0.1}, "sgd"),
    ("sgd", {"learning_rate": 0.1, "momentum": 0.5, "clip_gradient": 0.2}, "sgd_momentum"),
    ("adam", {"learning_rate": 0.1, "wd": 0.1, "clip_gradient": 0.2}, "adam"),
]


@pytest.mark.parametrize(("name", "settings", "kernel"), UPDATES)
def test_an_optimizer_updates_as_on_the_cpu(
    name, settings, kernel, lacks_code, launcher, monkeypatch
):
    for function in ("multi_sgd_update", "multi_sgd_mom_update", "adam_update"):
        original = getattr(mx.optimizer.optimizer, function)
        stand_in = getattr(stand_ins, function)(original)
        monkeypatch.setattr(mx.optimizer.optimizer, function, stand_in)
    random = np.random.RandomState(5)
    shapes = [(3, 4), (7,), (2, 2, 2), (1,), (5,)]  # more than MXNet updates in one call
    values = [random.randn(*shape) for shape in shapes]
    gradients = [[random.randn(*shape) for shape in shapes] for _ in range(3)]
    found = {}
    for ctx in (mx.cpu(0), STRANGE):
        params = []
        for i, value in enumerate(values):
            param = gluon.Parameter(f"p{i}", shape=value.shape)
            param.initialize(mx.init.Constant(nd.array(value)), ctx=ctx)
            params.append(param)
        pairs = {param.name: param for param in params}
        trainer = gluon.Trainer(pairs, name, dict(settings))
        for step in gradients:
            for param, gradient in zip(params, step):
                param.grad()[:] = gradient
                mxnet_private.announce_gradient(param.data())
            trainer.step(2)
        found[ctx] = [param.data().asnumpy() for param in params]
    assert kernel in launcher.launched
    for ours, theirs in zip(found[STRANGE], found[mx.cpu(0)]):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)

"""Training on a GPU that MXNet has no code for, which the CPU and compiled kernels stand in for."""

from __future__ import annotations

import gluonbook as gb
from gluonbook.data.batches import BatchError
from gluonbook.gpu import check, functions, stand_ins
from gluonbook.gpu.functions import Unsupported
from gluonbook.system.interrupts import Interrupted
from gluonbook.training import by_operations, computation, graphs, tally
import mxnet as mx
from mxnet import gluon, nd
from mxnet.gluon import nn
import numpy as np
import pytest

from ..runs.conftest import fit, images, stopping


@pytest.fixture
def without_code(monkeypatch, launcher):
    """Let the CPU be taken for a GPU that MXNet has no code for."""
    for module in (computation, stand_ins):
        monkeypatch.setattr(module, "lacks_code", lambda ctx: True)
    for module in (by_operations, stand_ins):
        monkeypatch.setattr(module, "kernels_on", lambda ctx: launcher)
    for name in ("multi_sgd_update", "multi_sgd_mom_update", "adam_update"):
        function = getattr(mx.optimizer.optimizer, name)
        stand_in = getattr(stand_ins, name)(function)
        monkeypatch.setattr(mx.optimizer.optimizer, name, stand_in)
    return launcher


class Joined(nn.HybridBlock):
    """Adds its input to a convolution of it, and keeps it beside the sum."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2D(4, 3, padding=1, use_bias=False)  # before a batch norm it is noise
        self.norm = nn.BatchNorm()

    def hybrid_forward(self, F, x):
        return F.concat(x + F.Activation(self.norm(self.conv(x)), "relu"), x, dim=1)


def small_net(dropout=0.0):
    net = nn.HybridSequential()
    net.add(nn.Conv2D(4, 3, activation="relu"), nn.MaxPool2D(2, 2), Joined(), nn.Dropout(dropout))
    net.add(nn.Dense(16, activation="sigmoid"), nn.Dense(5))
    return net


def batches(number=5):
    random = np.random.RandomState(2)
    return [
        (
            nd.array(random.uniform(size=(8, 1, 12, 12))),
            nd.array(random.randint(5, size=8), dtype="int32"),
        )
        for _ in range(number)
    ]


def trained(optimizer="sgd", settings=None, net=None, loss=None):
    mx.random.seed(3)
    net = net or small_net()
    net.initialize(mx.init.Xavier(), force_reinit=True)
    trainer = gluon.Trainer(net.collect_params(), optimizer, settings or {"learning_rate": 0.1})
    data = batches()
    if loss is None:
        history = gb.train_ch5(net, data, data, 8, trainer, mx.cpu(), 1)
    else:
        history = gb.train(data, data, net, loss, trainer, mx.cpu(), 1)
    return [param.data().asnumpy() for param in net.collect_params().values()], history[0]


OPTIMIZERS = [
    ("sgd", {"learning_rate": 0.1}),
    ("sgd", {"learning_rate": 0.1, "wd": 0.01, "clip_gradient": 0.05}),
    ("sgd", {"learning_rate": 0.1, "momentum": 0.9, "wd": 0.01}),
    ("adam", {"learning_rate": 0.01, "wd": 0.01}),
]


@pytest.mark.parametrize(("optimizer", "settings"), OPTIMIZERS)
def test_five_steps_are_the_usual_ones(optimizer, settings, monkeypatch, request, capsys):
    expected, row = trained(optimizer, settings)
    launcher = request.getfixturevalue("without_code")
    found, same_row = trained(optimizer, settings)
    for ours, theirs in zip(found, expected):
        # Adam divides by the size of a gradient, and with it by that of its rounding.
        allowed = (1e-3 if optimizer == "adam" else 1e-5) * max(np.linalg.norm(theirs), 0.1)
        assert np.linalg.norm(ours - theirs) < allowed
    assert same_row.loss == pytest.approx(row.loss, rel=1e-5)
    assert same_row.train_acc == row.train_acc and same_row.test_acc == row.test_acc
    assert {"max_pool", "add_bias", "add", "join", "split", "cross_entropy"} <= launcher.launched


def test_five_steps_with_convolutions_as_products(monkeypatch, request, capsys):
    expected, row = trained()
    launcher = request.getfixturevalue("without_code")
    ways = functions._convolutions
    monkeypatch.setattr(functions, "_convolutions", lambda *given: list(ways(*given))[-1:])
    found, same_row = trained()
    for ours, theirs in zip(found, expected):
        assert np.linalg.norm(ours - theirs) < 1e-5 * max(np.linalg.norm(theirs), 0.1)
    assert same_row.loss == pytest.approx(row.loss, rel=1e-5)
    assert {"unfold", "fold", "swap"} <= launcher.launched


def test_dropout_leaves_out_by_mxnets_own_seed(without_code):
    first, _ = trained(net=small_net(dropout=0.5))
    again, _ = trained(net=small_net(dropout=0.5))
    without, _ = trained(net=small_net())
    assert all(map(np.array_equal, first, again))
    assert not np.array_equal(first[-2], without[-2])
    assert "dropout" in without_code.launched


def test_each_size_of_batch_is_checked_once(without_code, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(
        by_operations,
        "check",
        lambda o, f, k, X, y, exactly: seen.append((len(X), y is not None, id(exactly))),
    )
    net = small_net()
    net.initialize()
    trainer = gluon.Trainer(net.collect_params(), "sgd")
    whole = batches(3)
    last, other = ((X[:n], y[:n]) for (X, y), n in zip(whole, (3, 2)))
    gb.train_ch5(net, [*whole, last], [*whole, other], 8, trainer, mx.cpu(), 2)
    assert [each[:2] for each in seen] == [(8, True), (3, True), (8, False), (2, False)]
    assert seen[0][2] == seen[1][2]  # what was learned of the CPU's rounding holds for all sizes


def test_a_size_is_checked_anew_where_another_size_has_changed_an_operation(
    without_code, monkeypatch
):
    seen = []

    def check(ops, functions, kernels, X, y, exactly):
        seen.append((len(X), y is not None))
        return len(seen) == 2  # on the smaller batch a convolution went on in another way

    monkeypatch.setattr(by_operations, "check", check)
    net = small_net()
    net.initialize()
    trainer = gluon.Trainer(net.collect_params(), "sgd")
    [whole, (X, y)] = batches(2)
    gb.train_ch5(net, [whole, (X[:3], y[:3])], [whole], 8, trainer, mx.cpu(), 2)
    assert seen == [(8, True), (3, True), (8, False), (8, True)]


def test_a_run_that_is_resumed_ends_with_the_same_bits(without_code, tmp_path, terminal_signals):
    """The check of the first batch, which only a resumed run makes there, draws nothing."""
    whole, _ = fit(tmp_path / "whole")
    with pytest.raises(Interrupted):
        fit(tmp_path / "stopped", train_iter=stopping(images(), at=7))
    resumed, _ = fit(tmp_path / "stopped")
    assert all(map(np.array_equal, resumed, whole))


STRANGE = mx.cpu(1)


@pytest.fixture
def strange_gpu(without_code, monkeypatch):
    """Let one context of the CPU be taken for such a GPU."""
    for module in (computation, graphs, stand_ins, tally):
        monkeypatch.setattr(module, "lacks_code", lambda ctx: ctx == STRANGE)


@pytest.mark.parametrize("in_training", [True, False])
def test_a_run_ends_on_the_cpu_where_a_gpu_goes_wrong(
    in_training, strange_gpu, monkeypatch, caplog
):
    expected, row = trained("sgd", {"learning_rate": 0.1, "momentum": 0.9})

    def wrong(ops, functions, kernels, X, labels, exactly):
        if (labels is not None) == in_training:
            raise check.Differs("the output of conv0 differs")

    monkeypatch.setattr(by_operations, "check", wrong)
    mx.random.seed(3)
    net = small_net()
    net.initialize(mx.init.Xavier(), ctx=STRANGE)
    settings = {"learning_rate": 0.1, "momentum": 0.9}
    trainer = gluon.Trainer(net.collect_params(), "sgd", settings)
    [same_row] = gb.train_ch5(net, batches(), batches(), 8, trainer, STRANGE, 1)
    assert "the output of conv0 differs on cpu(1): the CPU trains" in caplog.text
    for ours, theirs in zip(net.collect_params().values(), expected):
        np.testing.assert_allclose(ours.data(mx.cpu(0)).asnumpy(), theirs, rtol=0, atol=1e-5)
    assert same_row.test_acc == row.test_acc


def test_an_evaluation_that_a_gpu_gets_wrong_says_what_to_do(without_code, monkeypatch):
    def wrong(*given):
        raise check.Differs("the output of conv0 differs")

    monkeypatch.setattr(by_operations, "check", wrong)
    net = small_net()
    net.initialize()
    with pytest.raises(check.Differs, match=r"differs on cpu\(0\): .* on the CPU, with ctx=mx.cpu"):
        gb.evaluate_accuracy(batches(), net, mx.cpu())


def test_a_net_that_a_gpu_computes_wrongly_goes_on_on_the_cpu(without_code, monkeypatch, caplog):
    expected, row = trained("sgd", {"learning_rate": 0.1, "momentum": 0.9})

    def wrong(ops, functions, kernels, X, labels, exactly):
        raise check.Differs("the output of conv0 differs from the CPU's by 0.1 (of 1)")

    monkeypatch.setattr(by_operations, "check", wrong)
    found, same_row = trained("sgd", {"learning_rate": 0.1, "momentum": 0.9})
    assert "the output of conv0 differs from the CPU's by 0.1 (of 1) on cpu(0): the CPU trains" in (
        caplog.text
    )
    for ours, theirs in zip(found, expected):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    assert same_row.test_acc == row.test_acc


REFUSED = [
    (lambda net: net.add(nn.LeakyReLU(0.1)), "leaky relu"),
    (lambda net: net.add(nn.BatchNorm(scale=False)), "without scale or center"),
    (lambda net: net.add(net[-1]), "the weights of another layer"),
    (lambda net: net.add(nn.HybridLambda(lambda F, x: x * 2)), "mul"),
    (lambda net: net.add(OfParameter(lambda F, x, p: x + F.relu(p))), "relu, of other param"),
    (lambda net: net.add(OfParameter(lambda F, x, p: F.broadcast_add(x, p))), "add, of other par"),
    (lambda net: net.add(nn.HybridLambda(broadcast)), "add, of arrays of different sizes"),
    (lambda net: net.add(nn.HybridLambda(interleaved)), r"concat, .* of shape \(16, 10\)"),
]


class OfParameter(nn.HybridBlock):
    def __init__(self, function):
        super().__init__()
        self._function = function
        self.p = self.params.get("p", shape=(8, 5))

    def hybrid_forward(self, F, x, p):
        return self._function(F, x, p)


def broadcast(F, x):
    return F.broadcast_add(x, F.Pooling(x, global_pool=True, kernel=(1, 1), pool_type="avg"))


def interleaved(F, x):
    x = F.reshape(x, (-1, 5))
    return F.concat(x, x, dim=1)


@pytest.mark.parametrize(("change", "told"), REFUSED)
def test_an_operation_that_is_not_computed_there_is_named(change, told, without_code):
    net = nn.HybridSequential()
    net.add(nn.Conv2D(2, 3) if "different" in told else nn.Dense(10 if "16" in told else 5))
    change(net)
    with pytest.raises(Unsupported, match=f"{told}.* train on the CPU, with --device cpu"):
        trained(net=net)


class Twice(nn.HybridBlock):
    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Dense(5), nn.Dense(5)

    def hybrid_forward(self, F, x):
        return self.one(x), self.other(x)


class OnlyInTraining(nn.HybridBlock):
    def hybrid_forward(self, F, x):
        return F.relu(x) if mx.autograd.is_training() else x


def test_trainings_that_are_not_computed_there(without_code):
    with pytest.raises(BatchError, match="2 outputs and SoftmaxCrossEntropyLoss takes one"):
        trained(net=Twice())
    net = small_net()
    net.collect_params().setattr("grad_req", "add")
    with pytest.raises(Unsupported, match="weight adds up its gradients .* to 'write', or"):
        trained(net=net)
    net = small_net()
    net.add(OnlyInTraining())
    with pytest.raises(Unsupported, match="other operations in training .* with --device cpu"):
        trained(net=net)


def test_outputs_keep_the_shape_that_the_net_gives_them(without_code):
    net = nn.HybridSequential()
    net.add(nn.Conv2D(5, 11))  # (N, 5, 2, 2): four answers for each image
    net.initialize(mx.init.Xavier())
    data = [(X, nd.array(np.arange(32).reshape(8, 2, 2) % 5)) for X, _ in batches()]
    X, y = data[0]
    expected = float((net(X).argmax(axis=1) == y).mean().asscalar())
    assert gb.evaluate_accuracy(data[:1], net, mx.cpu()) == pytest.approx(expected)
    trainer = gluon.Trainer(net.collect_params(), "sgd")
    with pytest.raises(
        BatchError, match=r"labels of shape \(8,\) .* outputs of shape \(8, 5, 2, 2"
    ):
        gb.train_ch5(net, batches(), data, 8, trainer, mx.cpu(), 1)


def test_what_else_is_not_computed_there(without_code):
    net = small_net()
    net[0].register_forward_hook(print)
    with pytest.raises(Unsupported, match="hooks of the layer conv.* detach them, or train on"):
        trained(net=net)
    with pytest.raises(Unsupported, match="L2Loss"):
        trained(loss=gluon.loss.L2Loss())
    with pytest.raises(Unsupported, match="SoftmaxCrossEntropyLoss as it is given"):
        trained(loss=gluon.loss.SoftmaxCrossEntropyLoss(axis=2))
    with pytest.raises(Unsupported, match="optimizer RMSProp .* there are SGD and Adam"):
        trained("rmsprop", {"learning_rate": 0.1})
    net = small_net()
    net.initialize(ctx=[mx.cpu(0), mx.cpu(1)])
    trainer = gluon.Trainer(net.collect_params(), "sgd")
    with pytest.raises(Unsupported, match="cannot share a batch"):
        gb.train_ch5(net, batches(), batches(), 8, trainer, [mx.cpu(0), mx.cpu(1)], 1)


@pytest.mark.parametrize(
    ("X", "y", "told"),
    [
        (np.ones((4, 1, 12, 12), np.float32), [0, 1, 2], "4 examples and 3 labels"),
        (np.ones((4, 1, 12, 12), np.float32), [[0, 1]] * 4, r"labels of shape \(4, 2\)"),
        (np.ones((4, 1, 12, 12), np.float32), [0, 1, 2, 9], "labels from 0 to 9"),
        (np.ones((4, 1, 12, 12), np.float32), [0, 1, 2, 2.5], "not whole numbers"),
        (np.full((4, 1, 12, 12), np.nan, np.float32), [0, 1, 2, 3], "holds infinity or NaN"),
    ],
)
def test_batches_that_cannot_be_trained_on(X, y, told, without_code, caplog):
    net = small_net()
    net.initialize()
    trainer = gluon.Trainer(net.collect_params(), "sgd")
    data = [(nd.array(X, dtype=X.dtype), nd.array(y))]
    with pytest.raises(BatchError, match=told):
        gb.train_ch5(net, data, data, 4, trainer, mx.cpu(), 1)
    assert "differs" not in caplog.text  # it is the batch that is wrong, not the GPU


def test_the_type_of_each_batch_is_looked_at(without_code):
    """Not of the first of its size alone: a kernel believes what it is told."""
    net = nn.HybridSequential()
    net.add(nn.MaxPool2D(2, 2), nn.Dense(5))
    net.initialize()
    trainer = gluon.Trainer(net.collect_params(), "sgd")
    computation = by_operations.ByOperations(net, gluon.loss.SoftmaxCrossEntropyLoss(), [mx.cpu()])
    [(X, y), whole] = batches(2)
    computation.train([whole], trainer)
    with pytest.raises(BatchError, match="images of float64"):
        computation.train([(X.astype("float64"), y)], trainer)


@pytest.mark.parametrize("resumed", [False, True])
def test_adam_goes_on_counting_its_steps_on_another_device(
    resumed, strange_gpu, monkeypatch, tmp_path, terminal_signals
):
    """MXNet counts them for each number of a device, and the CPU's may be another."""

    def train(ctx, num_epochs, **kept):
        mx.random.seed(3)
        net = small_net()
        net.initialize(mx.init.Xavier(), ctx=ctx)
        net(batches()[0][0].as_in_context(ctx))  # each run seeds what is drawn later otherwise
        trainer = gluon.Trainer(net.collect_params(), "adam", {"learning_rate": 0.01})
        gb.train_ch5(net, batches(), batches(), 8, trainer, ctx, num_epochs, **kept)
        params = net.collect_params().values()
        return [param.data(param.list_ctx()[0]).asnumpy() for param in params]

    def wrong_in_an_evaluation(ops, functions, kernels, X, labels, exactly):
        if labels is None and not resumed:
            raise check.Differs("the output of conv0 differs")

    expected = train(mx.cpu(0), 3, run=tmp_path / "expected")
    monkeypatch.setattr(by_operations, "check", wrong_in_an_evaluation)
    run = tmp_path / "run"
    if resumed:
        train(mx.cpu(0), 1, run=run)
    for ours, theirs in zip(train(STRANGE, 3, run=run), expected):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


def test_a_net_in_float64_is_refused(without_code):
    net = small_net()
    net.cast("float64")
    net.initialize()
    trainer = gluon.Trainer(net.collect_params(), "sgd")
    with pytest.raises(BatchError, match=r'images of float64 .* net.cast\("float32"\)'):
        gb.train_ch5(net, batches(), batches(), 8, trainer, mx.cpu(), 1)


def test_images_in_float64_are_converted(without_code):
    def losses(dtype):
        data = [(X.astype(dtype), y) for X, y in batches()]
        mx.random.seed(1)
        net = small_net()
        net.initialize()
        trainer = gluon.Trainer(net.collect_params(), "sgd")
        return [row[:-1] for row in gb.train_ch5(net, data, data, 8, trainer, mx.cpu(), 1)]

    assert losses("float64") == losses("float32")

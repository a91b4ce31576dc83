"""The loop against NumPy's arithmetic, one device against two, and the book's printed lines."""

from __future__ import annotations

import io
import itertools
import re
from types import SimpleNamespace

import gluonbook as gb
from gluonbook.data.batches import BatchError
from gluonbook.system import contention
from gluonbook.training import tally
import mxnet as mx
from mxnet import gluon, nd
from mxnet.gluon import nn
import numpy as np
import pytest

CLASSES = 3


@pytest.fixture
def points():
    """Ten points in the plane with classes, as NumPy arrays."""
    X = np.random.normal(size=(10, 2)).astype(np.float32)
    return X, np.arange(10).astype(np.int32) % CLASSES


def batches(points, batch_size=4):
    X, y = points
    return gluon.data.DataLoader(gluon.data.ArrayDataset(X, y), batch_size)


def linear_net(ctx, hybridize=True):
    net = nn.HybridSequential()
    net.add(nn.Dense(CLASSES, in_units=2))
    net.initialize(mx.init.Constant(0.1), ctx=ctx)
    if hybridize:
        net.hybridize()
    return net


def softmax_regression(points, lr, num_epochs, batch_size=4, divide_by=None):
    """The same training in float64 NumPy: losses, accuracies and final weights."""
    X, y = points
    W, b = np.full((CLASSES, 2), 0.1), np.zeros(CLASSES)
    epochs = []
    for _ in range(num_epochs):
        loss_sum, right = 0.0, 0
        for start in range(0, len(X), batch_size):
            x, t = X[start : start + batch_size], y[start : start + batch_size]
            scores = x @ W.T + b
            p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
            loss_sum -= np.log(p[np.arange(len(t)), t]).sum()
            right += (scores.argmax(axis=1) == t).sum()
            p[np.arange(len(t)), t] -= 1
            W -= lr / (divide_by or len(t)) * p.T @ x
            b -= lr / (divide_by or len(t)) * p.sum(axis=0)
        test_acc = ((X @ W.T + b).argmax(axis=1) == y).mean()
        epochs.append((loss_sum / len(X), right / len(X), test_acc))
    return epochs, W


def check(history, net, expected, W):
    figures = [(row.loss, row.train_acc, row.test_acc) for row in history]
    np.testing.assert_allclose(figures, expected, rtol=1e-5)
    for ctx in net[0].weight.list_ctx():
        np.testing.assert_allclose(net[0].weight.data(ctx).asnumpy(), W, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("hybridize", [True, False])
def test_train_ch5_is_sgd_by_the_nominal_batch_size(points, hybridize, capsys):
    net = linear_net(mx.cpu(), hybridize)
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.5})
    history = gb.train_ch5(net, batches(points), batches(points), 4, trainer, mx.cpu(), 3)
    check(history, net, *softmax_regression(points, 0.5, 3, divide_by=4))

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "training on cpu(0)"
    assert len(lines) == 4
    for i, line in enumerate(lines[1:], 1):
        assert re.fullmatch(
            rf"epoch {i}, loss \d\.\d{{4}}, train acc \d\.\d{{3}}, test acc \d\.\d{{3}}, "
            r"time \d+\.\d sec",
            line,
        )


@pytest.mark.parametrize("ctx", [mx.cpu(), [mx.cpu(0)], [mx.cpu(0), mx.cpu(1)]])
def test_train_divides_by_the_actual_batch_on_one_device_or_two(points, ctx, capsys):
    net = linear_net(ctx)
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.5})
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    history = gb.train(batches(points), batches(points), net, loss, trainer, ctx, 2)
    check(history, net, *softmax_regression(points, 0.5, 2))
    assert capsys.readouterr().out.startswith(f"training on {ctx}\n")


def test_a_last_batch_smaller_than_the_devices(points):
    X, y = points
    ctx = [mx.cpu(0), mx.cpu(1)]
    net = linear_net(ctx)
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.5})
    nine = batches((X[:9], y[:9]), batch_size=4)
    assert 0 <= gb.evaluate_accuracy(nine, net, ctx) <= 1
    with pytest.raises(ValueError, match="a batch of 1 cannot train on 2 devices"):
        gb.train(nine, nine, net, gluon.loss.SoftmaxCrossEntropyLoss(), trainer, ctx, 1)


def test_static_graphs_on_two_devices_end_as_operators_one_by_one():
    """Running statistics too, which the trainer copies while the first batch is being computed."""
    ctx = [mx.cpu(0), mx.cpu(1)]
    random = np.random.RandomState(0)
    batch = (random.rand(8, 1, 32, 32).astype(np.float32), random.randint(10, size=8))

    def run(hybridize):
        mx.random.seed(1)
        net = gb.resnet()
        net.initialize(mx.init.Xavier(), ctx=ctx)
        for each in ctx:
            net(nd.zeros((1, 1, 32, 32), ctx=each))
        net.hybridize(hybridize, static_alloc=True, static_shape=True)
        trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.05})
        data = [tuple(map(nd.array, batch))]
        gb.train(data, data, net, gluon.loss.SoftmaxCrossEntropyLoss(), trainer, ctx, 2)
        return [value.asnumpy() for p in net.collect_params().values() for value in p.list_data()]

    for found, expected in zip(run(True), run(False)):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_a_plain_block_trains(points):
    net = nn.Sequential()
    net.add(nn.Dense(CLASSES, in_units=2))
    net.initialize()
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.5})
    history = gb.train_ch5(net, batches(points), batches(points), 4, trainer, mx.cpu(), 2)
    assert history[1].loss < history[0].loss


def test_mxnets_own_iterators_are_reset(points):
    X, y = points
    data = mx.io.NDArrayIter(X[:8], y[:8], batch_size=4)
    net = linear_net(mx.cpu())
    assert gb.evaluate_accuracy(data, net) == gb.evaluate_accuracy(data, net)


def test_evaluate_accuracy_counts(points):
    X, y = points
    net = linear_net([mx.cpu(0), mx.cpu(1)])
    W = np.array([[1, 0], [0, 1], [-1, -1]], np.float32)
    net[0].weight.set_data(nd.array(W))
    expected = ((X @ W.T).argmax(axis=1) == y).mean()
    for ctx in (None, mx.cpu(), [mx.cpu(0), mx.cpu(1)]):
        assert gb.evaluate_accuracy(batches(points), net, ctx) == pytest.approx(expected)


def test_accuracy():
    assert gb.accuracy(nd.array([[0.1, 0.9], [0.8, 0.2]]), nd.array([1, 1])) == 0.5


# --- figures that are right, or refused ---------------------------------------------------------


def pixelwise(num_classes=3, size=12):
    """Scores for each pixel, (N, classes, H, W), with nothing learned: all classes alike."""
    net = nn.HybridSequential()
    net.add(nn.Conv2D(num_classes, kernel_size=1, in_channels=1))
    net.initialize(mx.init.Zero())
    generator = np.random.RandomState(0)
    X = generator.rand(16, 1, size, size).astype(np.float32)
    return net, X, generator.randint(0, num_classes, (16, size, size))


class MeanLoss(gluon.loss.SoftmaxCrossEntropyLoss):
    """The mean over the batch, as one number."""

    def hybrid_forward(self, F, pred, label):
        return F.mean(super().hybrid_forward(F, pred, label))


class PixelLoss(gluon.loss.SoftmaxCrossEntropyLoss):
    """One loss for each pixel, (N, H, W)."""

    def hybrid_forward(self, F, pred, label):
        pred = F.log_softmax(pred, axis=1)
        return -F.pick(pred, label, axis=1)


def figures_of(net, batches, loss, hybridize):
    if hybridize:
        net.hybridize()
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 1e-9})
    return gb.train(batches, batches, net, loss, trainer, mx.cpu(), 1)[0]


@pytest.mark.parametrize("hybridize", [True, False])
@pytest.mark.parametrize(
    "loss", [gluon.loss.SoftmaxCrossEntropyLoss(axis=1), MeanLoss(axis=1), PixelLoss()]
)
def test_the_mean_loss_of_labels_for_each_pixel(loss, hybridize):
    """ln 3 for three classes that score alike, however the loss is reduced."""
    net, X, y = pixelwise()
    if hybridize:
        loss.hybridize()
    batches = [(nd.array(X[:10]), nd.array(y[:10])), (nd.array(X[10:]), nd.array(y[10:]))]
    row = figures_of(net, batches, loss, hybridize)
    assert row.loss == pytest.approx(np.log(3), rel=1e-5)
    assert row.train_acc == row.test_acc == pytest.approx((y == 0).mean())


@pytest.mark.parametrize("loss", [gluon.loss.SoftmaxCrossEntropyLoss(), MeanLoss()])
def test_a_smaller_last_batch_weighs_by_its_examples(points, loss):
    net = linear_net(mx.cpu())
    X, y = points
    net[0].weight.set_data(nd.array([[3, 0], [0, -2], [-1, 1]]))
    scores = X @ np.array([[3, 0], [0, -2], [-1, 1]]).T + 0.0
    scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True))
    row = figures_of(net, batches(points, 4), loss, True)
    assert row.loss == pytest.approx(-scores[np.arange(10), y].mean(), rel=1e-5)


@pytest.mark.parametrize("hybridize", [True, False])
def test_labels_in_a_column_are_counted_once(points, hybridize):
    X, y = points
    net = linear_net(mx.cpu(), hybridize=False)
    net[0].weight.set_data(nd.array([[1, 0], [0, 1], [-1, -1]]))
    right = ((X @ np.array([[1, 0], [0, 1], [-1, -1]]).T).argmax(axis=1) == y).mean()
    column = batches((X, y[:, None]))
    row = figures_of(net, column, gluon.loss.SoftmaxCrossEntropyLoss(), hybridize)
    assert row.train_acc == row.test_acc == pytest.approx(right)
    assert gb.evaluate_accuracy(column, net) == pytest.approx(right)
    assert gb.accuracy(net(nd.array(X)), nd.array(y[:, None])) == pytest.approx(right)


def test_what_fills_up_the_last_batch_is_not_counted(points):
    X, y = points
    net = linear_net(mx.cpu())
    net[0].weight.set_data(nd.array([[1, 0], [0, 1], [-1, -1]]))
    right = ((X @ np.array([[1, 0], [0, 1], [-1, -1]]).T).argmax(axis=1) == y).mean()
    data = mx.io.NDArrayIter(X, y, batch_size=8, last_batch_handle="pad")
    row = figures_of(net, data, gluon.loss.SoftmaxCrossEntropyLoss(), True)
    assert row.train_acc == row.test_acc == pytest.approx(right)


@pytest.mark.parametrize("hybridize", [True, False])
@pytest.mark.parametrize(
    ("outputs", "labels", "named"),
    [
        (3, (4, 2), r"labels of shape \(4, 2\) .* outputs of shape \(4, 3\)"),
        (3, (4, 3), r"labels of shape \(4, 3\) .* outputs of shape \(4, 3\)"),
        (1, (4,), r"labels of shape \(4,\) .* outputs of shape \(4, 1\).* two classes or more"),
        (1, (4, 1), r"outputs of shape \(4, 1\)"),
        (3, (3,), "4 examples and 3 labels"),
    ],
)
def test_shapes_that_do_not_fit_are_named(outputs, labels, named, hybridize):
    net = nn.HybridSequential()
    net.add(nn.Dense(outputs))
    net.initialize()
    data = [(nd.ones((4, 2)), nd.zeros(labels))]
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    with pytest.raises(BatchError, match=named) as failure:
        figures_of(net, data, loss, hybridize)
    assert "\n" not in str(failure.value)
    with pytest.raises(BatchError, match=named):
        gb.evaluate_accuracy(data, net)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (-1, "has labels from -1 to 1, and the net has 3 outputs: .* from 0 to 2"),
        (3, "has labels from 0 to 3, and the net has 3 outputs"),
        (0.5, "has labels that are not whole numbers"),
        (np.nan, "has labels that are not whole numbers"),
    ],
)
@pytest.mark.parametrize("hybridize", [True, False])
def test_labels_that_are_no_classes_are_named_with_their_place(points, wrong, named, hybridize):
    X, y = points
    y = y.astype(np.float32)
    y[5] = wrong
    data = batches((X, y))
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    with pytest.raises(BatchError, match=f"batch 2 of epoch 1 {named}"):
        figures_of(linear_net(mx.cpu(), hybridize), data, loss, hybridize)
    with pytest.raises(BatchError, match=f"batch 2 of the evaluation {named}"):
        gb.evaluate_accuracy(data, linear_net(mx.cpu(), hybridize))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("ctx", [[mx.cpu()], [mx.cpu(0), mx.cpu(1)]], ids=["one device", "two"])
def test_images_that_are_not_finite_are_named_though_a_relu_hides_them(bad, ctx):
    def relu_net():
        net = nn.HybridSequential()
        net.add(nn.Conv2D(3, kernel_size=3), nn.Activation("relu"), nn.Dense(2))
        net.initialize(ctx=ctx)
        return net

    X = np.random.RandomState(0).rand(12, 1, 5, 5).astype(np.float32)
    X[6, 0, 2, 2] = bad
    data = batches((X, np.arange(12) % 2))
    net, loss = relu_net(), gluon.loss.SoftmaxCrossEntropyLoss()
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1})
    told = "image 3 of batch 2 of {} holds infinity or NaN"
    with pytest.raises(BatchError, match=told.format("epoch 1")):
        gb.train(data, data, net, loss, trainer, ctx, 1)
    with pytest.raises(BatchError, match=told.format("the evaluation")):
        gb.evaluate_accuracy(data, relu_net(), ctx)


def test_images_so_great_that_only_their_sum_is_infinite():
    X = np.full((4, 1, 2, 2), 3e38, np.float32)
    net = nn.Dense(2, weight_initializer=mx.init.Constant(1e-38), in_units=4)
    net.initialize()
    assert gb.evaluate_accuracy(batches((X, np.zeros(4))), net) == 1


def test_no_batch_is_an_error(points):
    net = linear_net(mx.cpu())
    with pytest.raises(ValueError, match="gave no batch"):
        gb.evaluate_accuracy([], net)


def test_a_history_of_ones_own_is_added_to(points):
    history = gb.History()
    net = linear_net(mx.cpu())
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.5})
    data = batches(points)
    assert gb.train_ch5(net, data, data, 4, trainer, mx.cpu(), 1, history=history) is history
    assert [row.epoch for row in history] == [1] and history[0].seconds > 0


def test_python_does_not_run_far_ahead_of_the_device(points, monkeypatch):
    """Batches still in the making are bounded, so memory does not grow with the epoch."""
    alive = []

    class Tracked:
        def __iter__(self):
            for i in range(40):
                alive.append(i)
                X, y = points
                yield nd.array(np.tile(X, (2000, 1))), nd.array(np.tile(y, 2000))

    net = linear_net(mx.cpu())
    waits = []
    original = tally.Outcome.read
    monkeypatch.setattr(
        tally.Outcome, "read", lambda self: (waits.append(len(alive)), original(self))[1]
    )
    gb.evaluate_accuracy(Tracked(), net)
    ahead = tally.BATCHES_AHEAD
    assert waits == [*range(ahead + 1, 41), *[40] * ahead]


@pytest.mark.parametrize("terminal", [True, False])
def test_bars_of_training_and_testing_show_on_a_terminal_only(terminal, points, monkeypatch):
    errors = io.StringIO()
    errors.isatty = lambda: terminal
    monkeypatch.setattr("sys.stderr", errors)
    net = linear_net(mx.cpu())
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.5})
    gb.train_ch5(net, batches(points), batches(points), 4, trainer, mx.cpu(), 2, progress=True)
    bars = re.findall(r"epoch \d/\d, \w+(?=:)", errors.getvalue())
    assert (
        list(dict.fromkeys(bars))
        == [f"epoch {epoch}/2, {what}" for epoch in (1, 2) for what in ("training", "testing")]
        * terminal
    )


@pytest.mark.parametrize("others", [0, 2])
def test_an_epoch_beside_other_processes_is_told_once(others, points, monkeypatch, caplog):
    """In each second this process uses one second of a core, and the others `others`."""
    moments = itertools.count()

    def usage(*, family):
        t = next(moments)
        return contention.Usage(t, (1 + others) * t, t)

    monkeypatch.setattr(contention, "cores_to_spare", lambda: 0)
    pretended = SimpleNamespace(usage=usage, remark=contention.remark)
    monkeypatch.setattr("gluonbook.training.run.contention", pretended)  # not that of the watch
    net = linear_net(mx.cpu())
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.5})
    gb.train_ch5(net, batches(points), batches(points), 4, trainer, mx.cpu(), 3)
    assert caplog.text.count("other processes used 2.0 of the") == (others > 0)
    assert caplog.text.count("during epoch 1") == (others > 0)


def test_softmax_regression_from_scratch(points, capsys):
    """The book's section: a net and a loss that are functions, and parameters that are arrays."""
    W, b = params = [nd.full((2, CLASSES), 0.1), nd.zeros(CLASSES)]
    for param in params:
        param.attach_grad()

    def net(X):
        scores = (nd.dot(X, W) + b).exp()
        return scores / scores.sum(axis=1, keepdims=True)

    def cross_entropy(y_hat, y):
        return -nd.pick(y_hat, y).log()

    history = gb.train_ch3(net, batches(points), batches(points), cross_entropy, 3, 4, params, 0.5)
    expected, expected_W = softmax_regression(points, 0.5, 3, divide_by=4)
    np.testing.assert_allclose(W.asnumpy().T, expected_W, rtol=1e-4, atol=1e-6)
    assert [row[1:4] for row in history] == [pytest.approx(row, rel=1e-5) for row in expected]
    assert capsys.readouterr().out.splitlines() == [
        f"epoch {number}, loss {loss:.4f}, train acc {train_acc:.3f}, test acc {test_acc:.3f}"
        for number, (loss, train_acc, test_acc) in enumerate(expected, 1)
    ]


def test_softmax_regression_with_a_trainer(points, capsys):
    net = linear_net(mx.cpu())
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.5})
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    train_iter = batches(points)
    gb.train_ch3(net, train_iter, train_iter, loss, 2, 4, None, None, trainer)
    first = capsys.readouterr().out.splitlines()
    net = linear_net(mx.cpu())
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.5})
    gb.train_ch5(net, train_iter, train_iter, 4, trainer, mx.cpu(), 2)
    assert first == [
        line.rsplit(", time", 1)[0] for line in capsys.readouterr().out.splitlines()[1:]
    ]
    with pytest.raises(ValueError, match="give either a trainer, or params and lr"):
        gb.train_ch3(net, train_iter, train_iter, loss, 2, 4, lr=0.1)


def test_resnet_learns_real_images():
    """The gate on real data: three short epochs of ResNet-20 must pass 70 % on 500 test images."""
    train_iter, test_iter = gb.load_data_fashion_mnist(32, limit=1000, limit_test=500, seed=0)
    net = gb.get_model("cifar_resnet20_v1", num_classes=10)
    net.initialize(mx.init.Xavier())
    net.hybridize(static_alloc=True, static_shape=True)
    # Falling to nearly 0, as the accuracy jumps from epoch to epoch otherwise.
    schedule = mx.lr_scheduler.CosineScheduler(3 * 32, base_lr=0.1, final_lr=0.001)
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"lr_scheduler": schedule})
    history = gb.train_ch5(net, train_iter, test_iter, 32, trainer, mx.cpu(), 3)
    assert history[-1].test_acc > 0.7


def test_an_epoch_takes_no_less_than_no_time_where_the_clock_is_set_back(points, monkeypatch):
    hours = itertools.count(0.0, -3600.0)
    monkeypatch.setattr("time.time", lambda: next(hours))
    net = linear_net(mx.cpu())
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1})
    [epoch] = gb.train_ch5(net, batches(points), batches(points), 4, trainer, mx.cpu(), 1)
    assert 0 <= epoch.seconds < 3600

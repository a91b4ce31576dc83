"""The fast form of a step gives the numbers of the plain form, and leaves the net as it is."""

from __future__ import annotations

import gluonbook as gb
from gluonbook.data.image_batches import resize
from gluonbook.recipes import RECIPES
from gluonbook.system.errors import Failure
from gluonbook.training import graphs as step_module
from gluonbook.training.computation import computation_of
from gluonbook.training.graphs import _OneGraph, inference_of, step_of
import mxnet as mx
from mxnet import autograd, gluon, nd
from mxnet.gluon import nn
import numpy as np
import pytest

from ..conftest import initialized, python

LOSS = gluon.loss.SoftmaxCrossEntropyLoss()


def one_step(net, step, X, y):
    """Losses, right answers and all gradients; dropout drawn alike each time."""
    mx.random.seed(9)
    with autograd.record():
        outcome = step(X, y)
    outcome.losses.backward()
    params = net.collect_params().values()
    gradients = [param.grad().asnumpy() for param in params if param.grad_req != "null"]
    return outcome.losses.asnumpy(), outcome.read(), gradients


def relative(a, b):
    return np.abs(a - b).max() / max(np.abs(b).max(), 1e-12)


#: Smaller images than the recipes', where the net allows it.
SIZES = {"lenet": 28, "alexnet": 96, "vgg": 32, "nin": 96}


@pytest.mark.parametrize("section", RECIPES)
def test_the_fast_form_has_the_numbers_of_the_plain_one(section, dataset):
    """In float64, where rounding cannot decide which side of a kink a value falls on."""
    size = SIZES.get(section, 48)
    net = initialized(RECIPES[section].net(), size)
    net.cast("float64")
    images = resize(dataset.train.images[:4], size)
    X, y = nd.array(images / 255, dtype="float64"), nd.array(dataset.train.labels[:4])
    plain = step_of(net, LOSS)
    assert not isinstance(plain, _OneGraph)
    expected = one_step(net, plain, X, y)
    net.hybridize(static_alloc=True, static_shape=True)
    fast = step_of(net, LOSS)
    assert isinstance(fast, _OneGraph)
    found = one_step(net, fast, X, y)
    assert relative(found[0], expected[0]) < 1e-5
    assert found[1][:-1] == expected[1][:-1]
    assert found[1].loss == pytest.approx(expected[0].sum(), rel=1e-5)
    assert len(found[2]) == len(expected[2]) > 0
    for a, b in zip(found[2], expected[2]):
        assert relative(a, b) < 1e-5


@pytest.mark.parametrize("section", RECIPES)
def test_in_float32_too_where_onednn_computes(section, dataset):
    """The gradient as a whole: at a kink, rounding alone changes single entries."""
    size = SIZES.get(section, 48)
    net = initialized(RECIPES[section].net(), size)
    images = resize(dataset.train.images[:8], size)
    X, y = nd.array(images / 255), nd.array(dataset.train.labels[:8])
    expected = one_step(net, step_of(net, LOSS), X, y)
    net.hybridize(static_alloc=True, static_shape=True)
    found = one_step(net, step_of(net, LOSS), X, y)
    assert relative(found[0], expected[0]) < 1e-5
    gradients = [np.concatenate([g.ravel() for g in all_[2]]) for all_ in (found, expected)]
    apart, whole = gradients[0] - gradients[1], gradients[1]
    assert np.linalg.norm(apart) < 1e-5 * np.linalg.norm(whole)


def small(*more):
    net = nn.HybridSequential()
    net.add(nn.Dense(8, activation="relu"), nn.Dense(3), *more)
    net.initialize()
    return net


def test_the_net_keeps_its_own_form():
    net = small()
    net.hybridize(inline_limit=7)
    before = (net._active, list(net._flags), [child._active for child in net])
    step = step_of(net, LOSS)
    step(nd.ones((2, 5)), nd.array([0, 1]))
    assert before == (net._active, list(net._flags), [child._active for child in net])
    assert set(step.graph.collect_params()) == set(net.collect_params())


def test_input_sizes_may_be_unknown_and_batches_of_two_sizes():
    net = small()
    net.hybridize()
    step = step_of(net, LOSS)
    for size in (4, 2, 4):
        X, y = nd.random.uniform(shape=(size, 5)), nd.array(np.arange(size) % 3)
        outcome = step(X, y)
        np.testing.assert_allclose(outcome.losses.asnumpy(), LOSS(net(X), y).asnumpy(), rtol=1e-5)
        right = (net(X).asnumpy().argmax(axis=1) == y.asnumpy()).sum()
        assert outcome.read()[:4] == (right, 0, min(size, 3) - 1, 0)


class Unused(nn.HybridBlock):
    """Convolutions, and beside them a layer that no batch goes through."""

    def __init__(self):
        super().__init__()
        self.used = nn.HybridSequential()
        self.used.add(nn.Conv2D(6, 3, in_channels=1), nn.Conv2D(8, 3, in_channels=6))
        self.used.add(nn.Dense(3, in_units=128))
        self.unused = nn.Dense(5, in_units=128)

    def hybrid_forward(self, F, x):
        return self.used(x)


class Masked(Unused):
    """A net whose shapes MXNet cannot tell before it computes the values."""

    def hybrid_forward(self, F, x):
        return self.used(F.contrib.boolean_mask(x, F.ones((4,))))


@pytest.mark.filterwarnings("ignore:Parameter")
@pytest.mark.parametrize("kind", [Unused, Masked])
def test_what_mxnet_cannot_infer_shapes_of_trains_in_one_graph(kind):
    net = kind()
    net.initialize(mx.init.Xavier())
    net.hybridize()
    X, y = nd.random.uniform(shape=(4, 1, 8, 8)), nd.array([0, 1, 2, 0])
    step = step_of(net, LOSS)
    assert isinstance(step, _OneGraph)
    expected = LOSS(net.used(X), y).asnumpy()
    np.testing.assert_allclose(step(X, y).losses.asnumpy(), expected, rtol=1e-4)


def test_a_first_batch_that_does_not_fit_settles_no_shape():
    net = nn.HybridSequential()
    net.add(nn.Conv2D(6, 3), nn.MaxPool2D(), nn.Conv2D(8, 3), nn.Dense(3))
    net.initialize()
    net.hybridize()
    step = step_of(net, LOSS)
    with pytest.raises((mx.base.MXNetError, ValueError)):
        step(nd.ones((4, 3, 16, 16)), nd.array([0, 1]))
    X, y = nd.random.uniform(shape=(4, 1, 12, 12)), nd.array([0, 1, 2, 0])
    losses = step(X, y).losses.asnumpy()
    np.testing.assert_allclose(losses, LOSS(net(X), y).asnumpy(), rtol=1e-4)


class Drawn(nn.HybridSequential):
    """A net whose own `forward` decides anew for each batch."""

    def forward(self, x):
        return super().forward(x) * np.random.rand()


class Weighted(gluon.loss.SoftmaxCrossEntropyLoss):
    """A loss with a state of its own, which is not hybridized."""

    calls = 0

    def hybrid_forward(self, F, pred, label, sample_weight=None):
        self.calls += 1
        return super().hybrid_forward(F, pred, label, sample_weight) * self.calls


def drawn():
    net = Drawn()
    net.add(nn.Dense(3))
    net.initialize()
    return net


class WithShape(gluon.HybridBlock):
    """A block that needs its input's values, which a graph does not have as it is made."""

    def hybrid_forward(self, F, x):
        return x * float(x.shape[0])


def hooked(net, hook=lambda block, inputs, output: None):
    """MXNet warns if it is hybridized after it has hooks."""
    net.hybridize()
    net.register_forward_hook(hook)
    return net


@pytest.mark.parametrize(
    ("net", "loss", "hybridize"),
    [
        (small, LOSS, False),
        (lambda: small(WithShape()), LOSS, True),
        (lambda: hooked(small()), LOSS, True),
        (small, lambda y_hat, y: LOSS(y_hat, y), True),
        (drawn, LOSS, True),
        (small, Weighted(), True),
    ],
    ids=[
        *("not hybridized", "cannot be traced", "hooks", "a function as loss"),
        *("a forward of its own", "a loss of one's own"),
    ],
)
def test_what_cannot_be_one_graph_is_called_as_it_is(net, loss, hybridize):
    net = net()
    if hybridize and not net._active:
        net.hybridize()
    step = step_of(net, loss)
    assert not isinstance(step, _OneGraph)


def test_python_of_ones_own_runs_for_each_batch():
    X, y = nd.ones((2, 5)), nd.array([0, 1])
    net = small()
    net.hybridize()
    step = step_of(net, Weighted())
    first, second, third = (step(X, y).losses.asnumpy() for _ in range(3))
    np.testing.assert_allclose(second, 2 * first, rtol=1e-6)
    np.testing.assert_allclose(third, 3 * first, rtol=1e-6)


def test_a_hybridized_loss_of_ones_own_and_a_net_read_from_a_file_are_one_graph(tmp_path):
    net, loss = small(), Weighted()
    net.hybridize()
    net(nd.ones((2, 5)))
    net.export(str(tmp_path / "net"))
    names = [str(tmp_path / name) for name in ("net-symbol.json", "net-0000.params")]
    read = gluon.SymbolBlock.imports(names[0], ["data"], names[1])
    read.hybridize()
    loss.hybridize()
    assert isinstance(step_of(read, loss), _OneGraph)


def test_hooks_are_called_for_each_batch():
    calls = []
    net = hooked(small(), lambda block, inputs, output: calls.append(type(output)))
    step = step_of(net, LOSS)
    for _ in range(3):
        step(nd.ones((2, 5)), nd.array([0, 1]))
    assert calls == [nd.NDArray] * 3


# --- inference ------------------------------------------------------------------------------


def trained(net, size, images, labels):
    """After one step, so that batch norm has statistics of its own; hybridized."""
    net = initialized(net, size)
    net.hybridize(static_alloc=True, static_shape=True)
    X, y = nd.array(resize(images, size) / 255), nd.array(labels)
    one_step(net, step_of(net, LOSS), X, y)
    gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.01}).step(len(y))
    return net, X


@pytest.mark.parametrize("section", RECIPES)
@pytest.mark.parametrize("edition", ["gluon", "pytorch"])
def test_the_fused_net_has_the_outputs_of_the_plain_one(section, edition, dataset):
    net = RECIPES[section].net(edition)
    images, labels = dataset.train.images[:20], dataset.train.labels[:20]
    net, X = trained(net, SIZES.get(section, 48), images, labels)
    infer = inference_of(net, [mx.cpu()])
    # A convolution with a sigmoid inside would be slower than the two apart.
    assert (infer is net) == (section == "lenet")
    assert relative(infer(X).asnumpy(), net(X).asnumpy()) < 1e-5


@pytest.mark.parametrize("size", [8, 24, 33])
def test_a_fused_net_takes_batches_of_several_sizes(size):
    """Some of MXNet's fused operators fail on small images, with shapes held to be static."""
    net = initialized(gb.resnet18(10), size)
    net.hybridize(static_alloc=True, static_shape=True)
    infer = inference_of(net, [mx.cpu()])
    X = nd.random.uniform(shape=(16, 1, size, size))
    for n in (16, 16, 7, 16, 16, 7):
        assert relative(infer(X[:n]).asnumpy(), net(X[:n]).asnumpy()) < 1e-5
    assert infer is not net


THREE_INFERENCES = """
import gluonbook as gb, mxnet as mx
from gluonbook.training.graphs import inference_of
net, X = gb.resnet18(10), mx.nd.ones((4, 1, 48, 48))
net.initialize()
net(X)
net.hybridize()
infer = inference_of(net, [mx.cpu()])
for _ in range(3):
    infer(X).wait_to_read()
    print("called", flush=True)
"""


def test_weights_are_laid_out_in_the_first_call_only():
    """As oneDNN records it: one reorder or more for each of the 21 convolutions, or none."""
    result = python(THREE_INFERENCES, DNNL_VERBOSE="1")
    first, _, last, after = [part.count(",reorder,") for part in result.stdout.split("called")]
    assert first >= 21 and last < 10 and after == 0


def test_each_inference_has_the_weights_of_its_moment(dataset):
    net, X = trained(gb.resnet18(10), 48, dataset.train.images[:4], dataset.train.labels[:4])
    before = inference_of(net, [mx.cpu()])(X).asnumpy()
    nd.waitall()
    for param in net.collect_params(".*weight|.*gamma").values():
        param.set_data(2 * param.data())
    after = inference_of(net, [mx.cpu()])(X).asnumpy()
    assert relative(after, before) > 0.1
    assert relative(after, net(X).asnumpy()) < 1e-5


def test_a_fused_net_with_other_numbers_is_not_used(monkeypatch):
    net, other = small(), small()
    net.hybridize()
    X = nd.random.uniform(shape=(4, 5))
    expected = net(X).asnumpy()
    other(X)
    monkeypatch.setattr(step_module, "_fused", lambda net: other)
    for _ in range(2):
        np.testing.assert_array_equal(inference_of(net, [mx.cpu()])(X).asnumpy(), expected)


def test_outputs_that_are_not_finite_come_from_the_net_itself():
    net = small()
    net.hybridize()
    X = nd.random.uniform(shape=(4, 5))
    net(X)
    net[1].bias.set_data(nd.array([np.inf, np.nan, 0]))
    np.testing.assert_array_equal(inference_of(net, [mx.cpu()])(X).asnumpy(), net(X).asnumpy())


def in_float64():
    net = small()
    net.cast("float64")
    return net


@pytest.mark.parametrize(
    ("net", "hybridize"),
    [
        (small, False),
        (lambda: small(WithShape()), True),
        (lambda: hooked(small()), True),
        (lambda: small(nn.Activation("tanh")), True),
        (in_float64, True),
    ],
    ids=["not hybridized", "cannot be traced", "hooks", "tanh", "float64"],
)
def test_what_cannot_be_fused_is_called_as_it_is(net, hybridize):
    net = net()
    if hybridize and not net._active:
        net.hybridize()
    assert inference_of(net, [mx.cpu()]) is net


OTHER_AXES = """
import gluonbook as gb
import mxnet as mx
from mxnet import autograd, gluon, nd
from mxnet.gluon import nn

for axis in (-1, 2):
    mx.random.seed(3)
    net = nn.HybridSequential()
    net.add(nn.Conv2D(4, 3), nn.BatchNorm(axis=axis), nn.Activation("relu"), nn.Dense(3))
    net.initialize(mx.init.Xavier())
    net.hybridize()
    X, y = nd.random.uniform(shape=(30, 3, 12, 12)), nd.arange(30) % 3
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.0})
    gb.train_ch5(net, [(X, y)], [(X, y)], 30, trainer, mx.cpu(), 1)
    correct = (net(X).asnumpy().argmax(axis=1) == y.asnumpy()).sum()
    print(round(90 * gb.evaluate_accuracy([(X, y)] * 3, net)) == 3 * correct)
"""


def test_a_batch_norm_over_another_axis_is_evaluated():
    """In a process of its own, which oneDNN's fused operator would end."""
    result = python(OTHER_AXES)
    assert result.stdout.split("\n")[2::3] == ["True", "True"], result.stdout + result.stderr


def test_a_net_without_weights_says_so_in_inference():
    net = nn.HybridSequential()
    net.add(nn.Dense(3))
    net.hybridize()
    with pytest.raises(RuntimeError, match="has not been initialized"):
        gb.evaluate_accuracy([(nd.ones((2, 5)), nd.array([0, 1]))], net)


@pytest.mark.parametrize("hybridize", [False, True])
def test_a_dense_layer_that_trains_its_bias_alone_is_refused(hybridize):
    """MXNet leaves the gradient as it was, here 7, and an update would go by that."""
    net = nn.HybridSequential()
    net.add(nn.Conv2D(2, 3), nn.Dense(3))
    net.initialize()
    net(nd.ones((1, 1, 5, 5)))
    for layer in net:
        layer.weight.grad_req = "null"
    net.hybridize(hybridize)
    net[1].bias.grad()[:] = 7
    with autograd.record():
        total = net(nd.ones((1, 1, 5, 5))).sum()
    total.backward()
    assert net[1].bias.grad().asnumpy().tolist() == [7, 7, 7]  # of each it is 1
    with pytest.raises(Failure, match=f"{net[1].name} trains its bias alone.*freeze both"):
        computation_of(net, gluon.loss.SoftmaxCrossEntropyLoss(), [mx.cpu()])
    net[1].bias.grad_req = "null"  # that of a convolution is right
    computation_of(net, gluon.loss.SoftmaxCrossEntropyLoss(), [mx.cpu()])

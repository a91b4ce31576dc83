"""A GPU that computes wrongly is noticed, and the first operation that is wrong is named."""

from __future__ import annotations

from gluonbook.gpu import check, functions
from gluonbook.gpu.network import functions_of
from gluonbook.operations import gluon_ops
import mxnet as mx
from mxnet import autograd, nd
from mxnet.gluon import nn
import numpy as np
import pytest


class Faulty:
    """Launches as another does, but for one kernel, which computes otherwise or does not run."""

    def __init__(self, launcher, name, scale):
        self._launcher, self._name, self._scale = launcher, name, scale

    def launch(self, name, n, *arguments):
        if name != self._name or self._scale is not None:
            self._launcher.launch(name, n, *arguments)
        if name == self._name and self._scale is not None:
            arguments[0][:] = arguments[0] * self._scale


@pytest.fixture
def net():
    net = nn.HybridSequential(prefix="")
    net.add(nn.Conv2D(4, 3), nn.MaxPool2D(2, 2), nn.Dense(6, activation="sigmoid"), nn.Dense(3))
    net.initialize(mx.init.Xavier())
    net(nd.ones((1, 1, 8, 8)))
    for param in net.collect_params(".*bias").values():
        param.set_data(nd.random.uniform(shape=param.shape))
    return net


@pytest.fixture
def batch():
    mx.random.seed(1)
    return nd.random.uniform(shape=(5, 1, 8, 8)), nd.array([0, 1, 2, 0, 1], dtype="int32")


FAULTS = [  # kernel, factor (None: does not run), what is told
    ("add_bias", None, "the output of dense"),
    ("sum_columns", None, "the gradient of a weight of dense"),
    ("sum_columns", 1.1, "the gradient of a weight of dense"),
    ("max_pool", 1.001, "the output of pool"),
    ("max_pool_backward", 0.9, "the gradient of the input of pool"),
    ("cross_entropy", 1.001, "the softmax cross-entropy"),
    ("cross_entropy_backward", 0.99, "its gradient"),
]


@pytest.fixture(autouse=True)
def _full_float32(monkeypatch):
    monkeypatch.setenv(check.TF32, "0")


def checked(net, launcher, X, labels):
    """The functions that are left once they agree."""
    ops = gluon_ops(net)
    functions = functions_of(ops, launcher)
    check.check(ops, functions, launcher, X, labels, set())
    return functions


@pytest.mark.parametrize(("kernel", "scale", "told"), FAULTS)
def test_a_kernel_that_is_wrong(kernel, scale, told, net, batch, launcher):
    checked(net, launcher, *batch)
    with pytest.raises(check.Differs, match=f"^{told}"):
        checked(net, Faulty(launcher, kernel, scale), *batch)


def test_outputs_alone(net, batch, launcher):
    X, _ = batch
    checked(net, Faulty(launcher, "sum_columns", 1.1), X, None)
    with pytest.raises(check.Differs, match="^the output of pool"):
        checked(net, Faulty(launcher, "max_pool", 1.1), X, None)


class Convolution:
    """MXNet's, but for what cuDNN loses in some of its ways."""

    def __init__(self, is_right, kept=0.999):
        self._right, self._is_right, self._kept = nd.Convolution, is_right, kept
        self.tried = []

    def __call__(self, *arrays, cudnn_tune="", workspace=1024, **arguments):
        self.tried.append((cudnn_tune, workspace))
        kept = 1 if self._is_right(cudnn_tune) else self._kept
        return self._right(*arrays, **arguments) * kept


@pytest.mark.parametrize("kept", [0.999, np.nan])  # what is no number spreads to the loss
def test_a_convolution_is_computed_in_the_first_way_that_agrees(
    kept, net, batch, launcher, monkeypatch
):
    convolution = Convolution(lambda tune: tune == "off", kept)
    monkeypatch.setattr(functions.nd, "Convolution", convolution)
    monkeypatch.setattr(check, "by_mxnet", with_right_convolution(net))
    conv, *_ = checked(net, launcher, *batch)
    assert list(dict.fromkeys(convolution.tried)) == [("", 1024), ("off", 1)]
    conv.forward([batch[0]], [p.data() for p in net[0].collect_params().values()], False)
    assert convolution.tried[-1] == ("off", 1)
    assert launcher.launched.isdisjoint({"unfold", "fold"})


def test_where_cudnn_agrees_in_no_way_a_convolution_is_a_product(net, batch, launcher, monkeypatch):
    right = nd.Convolution
    monkeypatch.setattr(functions.nd, "Convolution", Convolution(lambda tune: False))
    monkeypatch.setattr(check, "by_mxnet", with_right_convolution(net))
    conv, *_ = checked(net, launcher, *batch)
    weights = [param.data() for param in net[0].collect_params().values()]
    found = conv.forward([batch[0]], weights, False)
    expected = right(batch[0], *weights, kernel=(3, 3), num_filter=4)
    np.testing.assert_allclose(found.asnumpy(), expected.asnumpy(), rtol=0, atol=1e-6)
    assert "unfold" in launcher.launched


def test_a_convolution_that_agrees_in_no_way(net, batch, launcher, monkeypatch):
    monkeypatch.setattr(functions.nd, "Convolution", Convolution(lambda tune: False))
    monkeypatch.setattr(check, "by_mxnet", with_right_convolution(net))
    ops, faulty = gluon_ops(net), Faulty(launcher, "unfold", 1.01)
    found = functions_of(ops, faulty)
    for _ in range(2):  # another prediction of the same net is told the same
        with pytest.raises(check.Differs, match="^the output of conv"):
            check.check(ops, found, faulty, *batch, set())


CONVOLUTIONS = [  # channels, settings, and whether the input is the net's own
    (1, {"kernel": (11, 11), "stride": (4, 4), "padding": (0, 0), "bias": True}, True),
    (3, {"kernel": (5, 3), "stride": (1, 2), "padding": (2, 1), "bias": True}, False),
    (2, {"kernel": (3, 3), "stride": (2, 1), "padding": (1, 2), "bias": False}, False),
    (3, {"kernel": (3, 2), "dilation": (2, 3), "padding": (0, 0), "bias": False}, True),
]


@pytest.mark.parametrize(("channels", "settings", "first"), CONVOLUTIONS)
def test_a_convolution_by_product_is_mxnets(channels, settings, first, launcher):
    random = np.random.RandomState(2)
    settings = {"channels": 4, "stride": (1, 1), "dilation": (1, 1), "groups": 1, **settings}
    *_, by_product = functions._convolutions(launcher, settings, first)
    x = nd.array(random.randn(3, channels, 23, 17))
    weights = [nd.array(random.randn(4, channels, *settings["kernel"]))]
    weights += [nd.array(random.randn(4))] * settings["bias"]
    for weight in weights:
        weight.attach_grad()
    y = by_product.forward([x], weights, train=True)
    gradient = nd.array(random.randn(*y.shape))
    gradients = by_product.backward(gradient)
    found = [y, *gradients, *(weight.grad.copy() for weight in weights)]

    x.attach_grad()
    with autograd.record():
        y = nd.Convolution(
            *(x, *weights),
            num_filter=4,
            kernel=settings["kernel"],
            stride=settings["stride"],
            pad=settings["padding"],
            dilate=settings["dilation"],
            no_bias=not settings["bias"],
        )
    y.backward(gradient)
    assert len(gradients) == (0 if first else 1)
    for ours, theirs in zip(found, [y, *[x.grad] * (not first), *(w.grad for w in weights)]):
        ours, theirs = ours.asnumpy(), theirs.asnumpy()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())


def test_the_cpu_is_asked_in_float64_before_a_gpu_is_blamed(net, batch, launcher, monkeypatch):
    """In float32 its own sums are rounded, by a thousandth where a batch norm adds up 590,000."""

    asked = []

    class Rounded:
        def __init__(self, kind, right):
            self._kind, self._right = kind, right

        def forward(self, inputs, weights, train):
            y = self._right.forward(inputs, weights, train)
            asked.append((self._kind, y.dtype))
            return y * 1.001 if y.dtype == np.float32 else y

        def backward(self, gradient):
            return self._right.backward(gradient)

    def by_mxnet(kind, settings, first):
        function = functions.by_mxnet(kind, settings, first)
        return Rounded(kind, function) if kind in ("conv", "max pool") else function

    monkeypatch.setattr(check, "by_mxnet", by_mxnet)
    ops, exactly = gluon_ops(net), set()
    found = functions_of(ops, launcher)
    assert not check.check(ops, found, launcher, *batch, exactly)
    assert {ops[place].kind for place in exactly} == {"conv", "max pool"}
    in_float32 = [(kind, np.float32) for kind in ("conv", "max pool")]
    in_float64 = [(kind, np.float64) for kind in ("conv", "max pool")]
    assert asked == in_float32 + in_float64
    assert not check.check(ops, found, launcher, *batch, exactly)  # from the start, then
    assert asked == in_float32 + 2 * in_float64
    with pytest.raises(check.Differs, match="^the output of pool"):
        checked(net, Faulty(launcher, "max_pool", 1.002), *batch)


def with_right_convolution(net):
    """`by_mxnet` for the CPU's side, where a wrong convolution stands in for the GPU's."""
    right = functions.nd.Convolution._right

    def by_mxnet(kind, settings, first):
        function = functions.by_mxnet(kind, settings, first)
        if kind == "conv":
            function._operator = right
        return function

    return by_mxnet


def test_tf32_is_allowed_its_rounding_where_the_user_asks_for_it(monkeypatch):
    ours, theirs = nd.array([1.0, 2.0]), nd.array([1.0, 2.002])
    told = check.difference("a product", ours, theirs)
    assert told.startswith("a product differs from the CPU's by 0.002")
    monkeypatch.setenv(check.TF32, "1")
    assert check.difference("a product", ours, theirs) is None


def test_not_a_number_is_a_difference():
    assert check.difference("a sum", nd.array([float("nan")]), nd.array([1.0]))


def test_a_sum_that_is_nearly_zero_is_measured_by_its_terms(launcher):
    """As a bias's gradient before a batch norm is: its own size is that of the rounding."""
    net = nn.HybridSequential()
    net.add(nn.Conv2D(4, 3), nn.BatchNorm(), nn.Dense(3))
    net.initialize(mx.init.Xavier())
    X = nd.random.uniform(shape=(16, 1, 12, 12))
    net(X)
    checked(net, launcher, X, nd.array(np.arange(16) % 3, dtype="int32"))


@pytest.mark.parametrize("faulty", [None, "add_bias", "sum_columns"])
def test_a_small_net_decides_whether_a_gpu_is_used(faulty, launcher, monkeypatch):
    given = launcher if faulty is None else Faulty(launcher, faulty, None)
    monkeypatch.setattr(check, "kernels_on", lambda ctx: given)
    told = check.fault(mx.cpu())
    assert (told is None) == (faulty is None)
    if faulty:
        assert "of a dense differs" in told


def test_an_error_of_the_gpus_is_its_fault(monkeypatch):
    def fail(ctx):
        raise mx.base.MXNetError("Traceback\nno such architecture")

    monkeypatch.setattr(check, "kernels_on", fail)
    assert check.fault(mx.cpu()) == "no such architecture"


def test_an_output_of_another_shape_differs():
    told = check.difference("a sum", nd.ones((2, 3)), nd.ones((4,)))
    assert told == "a sum is of shape (2, 3) and the CPU's of (4,)"


def test_an_operation_that_fails_is_named(net, batch, launcher):
    class Failing(Faulty):
        def launch(self, name, n, *arguments):
            if name == self._name:
                raise mx.base.MXNetError("Traceback\n" + self._scale)
            super().launch(name, n, *arguments)

    with pytest.raises(check.Differs, match="^pool.* fails: no kernel image is available$"):
        checked(net, Failing(launcher, "max_pool", "no kernel image is available"), *batch)
    with pytest.raises(mx.base.MXNetError, match="out of memory"):
        checked(net, Failing(launcher, "max_pool", "out of memory"), *batch)


def test_a_check_draws_no_random_number(net, batch, launcher):
    net.add(nn.Dropout(0.5))
    mx.random.seed(5)
    expected = nd.random.uniform(shape=3).asnumpy()
    mx.random.seed(5)
    checked(net, launcher, *batch)
    np.testing.assert_array_equal(nd.random.uniform(shape=3).asnumpy(), expected)
    assert "dropout" in launcher.launched


@pytest.mark.parametrize("frozen", ["weight", "bias"])
def test_half_of_each_layer_is_frozen(frozen, net, batch, launcher):
    net.collect_params(f".*{frozen}").setattr("grad_req", "null")
    checked(net, launcher, *batch)
    if frozen == "weight":
        with pytest.raises(check.Differs, match="^the gradient of a weight of dense"):
            checked(net, Faulty(launcher, "sum_columns", 1.1), *batch)

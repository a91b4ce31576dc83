"""Each layer's weights go across both ways, or the layer is named; differences are told."""

from __future__ import annotations

from gluonbook.pytorch.architecture import architecture
from gluonbook.pytorch.transfer import TransferError, pairs, to_gluon, to_torch
from mxnet import gluon, nd
from mxnet.gluon import nn as gn
import numpy as np
import pytest
import torch
from torch import nn as tn
from torch.nn import functional as F

X = np.random.RandomState(1).normal(size=(2, 4, 9, 9)).astype(np.float32)


def numbers(size):
    """As after training: none is 0 or 1, and all may be variances."""
    return np.random.uniform(0.5, 1.5, size).astype(np.float32)


def randomized(theirs):
    for value in [*theirs.parameters(), *theirs.buffers()]:
        if value.is_floating_point():
            value.data.copy_(torch.from_numpy(numbers(tuple(value.shape))))
    return theirs.eval()


def net_of(layers):
    net = gn.HybridSequential()
    net.add(*layers)
    return net


def outputs(theirs, ours, x=X):
    with torch.no_grad():
        return theirs(torch.from_numpy(x)).numpy(), ours(nd.array(x)).asnumpy()


def assert_alike(theirs, ours, x=X):
    a, b = outputs(theirs, ours, x)
    np.testing.assert_allclose(b, a, rtol=0, atol=1e-5 * np.abs(a).max())


LAYERS = {
    "conv": lambda: (tn.Conv2d(4, 6, 3, 2, 1, 1, 2), gn.Conv2D(6, 3, 2, 1, 1, 2, in_channels=4)),
    "dilated conv": lambda: (tn.Conv2d(4, 6, 3, dilation=2), gn.Conv2D(6, 3, dilation=2)),
    "same": lambda: (tn.Conv2d(4, 6, (3, 5), padding="same"), gn.Conv2D(6, (3, 5), padding=(1, 2))),
    "valid": lambda: (tn.Conv2d(4, 6, 3, padding="valid"), gn.Conv2D(6, 3)),
    "no bias": lambda: (tn.Conv2d(4, 6, 3, bias=False), gn.Conv2D(6, 3, use_bias=False)),
    "mode of no padding": lambda: (tn.Conv2d(4, 6, 3, padding_mode="reflect"), gn.Conv2D(6, 3)),
    "transposed conv": lambda: (
        tn.ConvTranspose2d(4, 6, 3, 2, 1, 1, 2, dilation=2),
        gn.Conv2DTranspose(6, 3, 2, 1, 1, 2, 2, in_channels=4),
    ),
    "dense": lambda: (tn.Linear(9, 5), gn.Dense(5, flatten=False)),
    "flattened": lambda: (tn.Sequential(tn.Flatten(), tn.Linear(324, 5)), gn.Dense(5)),
    "batch norm": lambda: (tn.BatchNorm2d(4), gn.BatchNorm()),
    "group norm": lambda: (tn.GroupNorm(4, 4), gn.GroupNorm(4)),
    "instance norm": lambda: (tn.InstanceNorm2d(4, affine=True), gn.InstanceNorm(scale=True)),
    "layer norm": lambda: (tn.LayerNorm(9), gn.LayerNorm()),
    "prelu": lambda: (tn.PReLU(4), gn.PReLU(in_channels=4)),
    "prelu of one slope": lambda: (tn.PReLU(), gn.PReLU()),
    "elu": lambda: (tn.ELU(0.7), gn.ELU(0.7)),
    "selu": lambda: (tn.SELU(), gn.SELU()),
    "gelu": lambda: (tn.GELU(), gn.GELU()),
    "leaky relu": lambda: (tn.LeakyReLU(0.1), gn.LeakyReLU(0.1)),
    "average pool": lambda: (tn.AvgPool2d(3, 2, 1), gn.AvgPool2D(3, 2, 1)),
    "average without padding": lambda: (
        tn.AvgPool2d(3, 2, 1, count_include_pad=False),
        gn.AvgPool2D(3, 2, 1, count_include_pad=False),
    ),
    "no padding to count": lambda: (tn.AvgPool2d(3, count_include_pad=False), gn.AvgPool2D(3)),
    "pool to the last pixel": lambda: (
        tn.AvgPool2d(3, 2, 1, ceil_mode=True),
        gn.AvgPool2D(3, 2, 1, ceil_mode=True),
    ),
    "global pool": lambda: (tn.AdaptiveMaxPool2d(1), gn.GlobalMaxPool2D()),
}


@pytest.mark.parametrize("name", LAYERS)
def test_the_same_layer_is_copied_both_ways_without_a_word(name, caplog):
    theirs, ours = LAYERS[name]()
    theirs, ours = randomized(tn.Sequential(theirs)), net_of([ours])
    to_gluon(theirs, ours)
    assert_alike(theirs, ours)
    for parameter in ours.collect_params().values():
        parameter.set_data(nd.array(numbers(parameter.shape)))
    to_torch(ours, theirs)
    assert_alike(theirs, ours)
    assert caplog.messages == []


@pytest.mark.parametrize("n", [1, 3])
def test_other_dimensions(n, caplog):
    x = X.reshape(2, 4, 81) if n == 1 else X.reshape(2, 4, 3, 3, 9)
    names = (f"Conv{n}", f"ConvTranspose{n}", f"AvgPool{n}", f"MaxPool{n}")
    conv, transposed, average, greatest = (getattr(tn, f"{name}d") for name in names)
    theirs = randomized(
        tn.Sequential(conv(4, 6, 3, 1, 1), transposed(6, 4, 2), average(2, 1), greatest(2))
    )
    names = (f"Conv{n}D", f"Conv{n}DTranspose", f"AvgPool{n}D", f"MaxPool{n}D")
    conv, transposed, average, greatest = (getattr(gn, name) for name in names)
    ours = net_of([conv(6, 3, padding=1), transposed(4, 2), average(2, 1), greatest(2)])
    to_gluon(theirs, ours)
    assert_alike(theirs, ours, x)
    assert caplog.messages == []


DIFFERENT = {
    "count_include_pad: PyTorch False, Gluon default": lambda: (
        tn.AvgPool2d(3, 2, 1, count_include_pad=False),
        gn.AvgPool2D(3, 2, 1),
    ),
    "count_include_pad: PyTorch default, Gluon False": lambda: (
        tn.AvgPool2d(3, 2, 1),
        gn.AvgPool2D(3, 2, 1, count_include_pad=False),
    ),
    "divisor_override: PyTorch 5, Gluon default": lambda: (
        tn.AvgPool2d(3, divisor_override=5),
        gn.AvgPool2D(3),
    ),
    "dilation: PyTorch 2, Gluon 1": lambda: (
        tn.MaxPool2d(3, 2, 1, dilation=2),
        gn.MaxPool2D(3, 2),
    ),
    "rounding: PyTorch full, no window behind the image, Gluon full": lambda: (
        tn.MaxPool2d(2, 2, 1, ceil_mode=True),
        gn.MaxPool2D(2, 2, 1, ceil_mode=True),
    ),
    "padding_mode: PyTorch reflect, Gluon default": lambda: (
        tn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        gn.Conv2D(4, 3, padding=1),
    ),
    "padding: PyTorch same, Gluon 1": lambda: (
        tn.Conv2d(4, 4, 4, padding="same"),
        gn.Conv2D(4, 4, padding=1),
    ),
    "output_padding: PyTorch 1, Gluon default": lambda: (
        tn.ConvTranspose2d(4, 4, 3, 2, output_padding=1),
        gn.Conv2DTranspose(4, 3, 2),
    ),
    "axis: PyTorch default, Gluon 2": lambda: (tn.BatchNorm2d(4), gn.BatchNorm(axis=2)),
    "slope: PyTorch 0.01, Gluon 0.2": lambda: (tn.LeakyReLU(), gn.LeakyReLU(0.2)),
    "approximate: PyTorch tanh, Gluon default": lambda: (tn.GELU("tanh"), gn.GELU()),
    "groups: PyTorch 4, Gluon 2": lambda: (
        tn.GroupNorm(4, 4, affine=False),
        gn.GroupNorm(2, center=False, scale=False),
    ),
}


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("told", DIFFERENT)
def test_a_layer_that_computes_differently_is_told(told, caplog):
    theirs, ours = DIFFERENT[told]()
    theirs, ours = randomized(tn.Sequential(theirs)), net_of([ours])
    to_gluon(theirs, ours)
    assert f"the nets compute differently at 0: {told}" in caplog.messages
    if "axis" not in told:  # as many channels as rows are wanted there
        a, b = outputs(theirs, ours)
        assert a.shape != b.shape or np.abs(a - b).max() > 5e-5 * np.abs(a).max()


class Calls(tn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function
        self.scale = tn.Parameter(torch.ones(1, 4, 1, 1))

    def forward(self, x):
        return self.function(x, self.scale)


class Joined(gn.HybridBlock):
    def __init__(self, axis):
        super().__init__()
        self.axis = axis

    def hybrid_forward(self, F, x):
        return F.concat(x, F.relu(x), dim=self.axis)


@pytest.mark.parametrize(
    ("theirs", "ours", "told", "told_without_a_shape"),
    [
        (-1, 3, [], ["axis: PyTorch -1, Gluon 3 (the same if the arrays have 4 axes)"]),
        (1, -3, [], ["axis: PyTorch 1, Gluon -3 (the same if the arrays have 4 axes)"]),
        (-1, -1, [], []),
        (-2, 3, ["axis: PyTorch 2, Gluon 3"], None),
        (2, 3, ["axis: PyTorch 2, Gluon 3"], ["axis: PyTorch 2, Gluon 3"]),
    ],
)
def test_an_axis_from_the_end_is_the_one_from_the_start(theirs, ours, told, told_without_a_shape):
    def differences(shape):
        net = Calls(lambda x, _: torch.cat([x, torch.relu(x)], dim=theirs))
        layers = architecture(Joined(ours), net, shape)
        return [difference for layer in layers for difference in layer.differences]

    assert differences((1, 4, 9, 9)) == told
    if told_without_a_shape is not None:
        assert differences(None) == told_without_a_shape


class Scaled(gn.HybridBlock):
    def __init__(self):
        super().__init__()
        self.scale = self.params.get("scale", shape=(1, 4, 1, 1))

    def hybrid_forward(self, F, x, scale):
        return F.broadcast_mul(x, scale)


def test_a_parameter_of_the_nets_own_goes_across():
    theirs, ours = randomized(Calls(lambda x, scale: scale * x)), Scaled()
    to_gluon(theirs, ours)
    assert_alike(theirs, ours)


@pytest.mark.parametrize(
    ("theirs", "ours", "told"),
    [
        (Calls(torch.mul), gn.Activation("relu"), r"mul \(mul: weight \(1, 4, 1, 1\)\)"),
        (
            Calls(lambda x, scale: F.conv2d(x, scale.expand(4, 4, 1, 1))),
            gn.Conv2D(4, 1),
            r"expand: 0.scale \(1, 4, 1, 1\)",
        ),
        (tn.LSTM(9, 3), gn.Dense(3), r"LSTM: weight ih l0 \(12, 9\), .*\(dense: weight"),
        (tn.Flatten(), gluon.rnn.LSTM(3), "Gluon has 4 layers with weights.*lstm"),
        (tn.Bilinear(9, 9, 3), gn.Dense(3), r"Bilinear: weight \(3, 9, 9\)"),
        (tn.BatchNorm2d(4, track_running_stats=False), gn.BatchNorm(), "batch norm.*running var"),
        (tn.InstanceNorm2d(4, track_running_stats=True), gn.InstanceNorm(), "running mean"),
        (
            tn.utils.parametrizations.weight_norm(tn.Conv2d(4, 6, 3)),
            gn.Conv2D(6, 3),
            r"parametrizations.weight.original0 \(6, 1, 1, 1\).*\(conv: weight",
        ),
        (tn.Conv2d(4, 6, 3), gn.Conv2D(6, 3, use_bias=False), "bias .*where Gluon has"),
        (tn.LayerNorm((9, 9)), gn.LayerNorm(in_channels=9), r"\(9, 9\).*where Gluon has"),
        (tn.GroupNorm(2, 4), gn.GroupNorm(2), "PyTorch's 0 has a weight for each channel"),
    ],
)
def test_weights_that_cannot_go_across_are_refused_by_name(theirs, ours, told):
    theirs, ours = randomized(tn.Sequential(theirs)), net_of([ours])
    ours.initialize(force_reinit=True)
    with pytest.raises(TransferError, match=told) as failure:
        to_gluon(theirs, ours)
    assert "\n" not in str(failure.value)


class Unused(tn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.unused = tn.Conv2d(4, 6, 3), tn.Conv2d(4, 6, 3)
        self.norm = tn.BatchNorm2d(4)

    def forward(self, x):
        return self.used(x)


def test_weights_on_which_the_answer_does_not_depend_are_told(caplog):
    theirs, ours = Unused(), net_of([gn.Conv2D(6, 3, in_channels=4)])
    with ours.name_scope():
        ours.params.get("spare", shape=(1,), init="zeros")
    ours.initialize()
    told = [
        "not copied: the PyTorch net's answer does not depend on unused.weight and 5 more",
        f"not copied: the Gluon net's answer does not depend on {ours.prefix}spare",
    ]
    for transfer, nets in ((to_gluon, (theirs, ours)), (to_torch, (ours, theirs))):
        caplog.clear()
        transfer(*nets)
        assert caplog.messages == told


NOT_AFFINE = {
    "batch": lambda: (tn.BatchNorm2d(4, affine=False), gn.BatchNorm(center=False, scale=False)),
    "group": lambda: (tn.GroupNorm(2, 4, affine=False), gn.GroupNorm(2, center=False, scale=False)),
    "instance": lambda: (tn.InstanceNorm2d(4), gn.InstanceNorm(center=False)),
    "layer": lambda: (
        tn.LayerNorm(9, elementwise_affine=False),
        gn.LayerNorm(center=False, scale=False),
    ),
}


@pytest.mark.parametrize("name", NOT_AFFINE)
def test_a_norm_that_is_not_affine(name, caplog):
    theirs, ours = NOT_AFFINE[name]()
    theirs, ours = randomized(tn.Sequential(theirs)), net_of([ours])
    ours.initialize()
    ours(nd.array(X))
    ours[0].beta.set_data(nd.ones(ours[0].beta.shape))
    with pytest.raises(TransferError, match="PyTorch's 0 is not affine.*bias that is not 0"):
        to_torch(ours, theirs)
    to_gluon(theirs, ours)
    assert_alike(theirs, ours)
    to_torch(ours, theirs)
    assert caplog.messages == []


def test_a_fixed_scale_is_1_whatever_the_parameter_holds(caplog):
    theirs, ours = randomized(tn.Sequential(tn.BatchNorm2d(4))), net_of([gn.BatchNorm(scale=False)])
    ours.initialize()
    ours(nd.array(X))
    ours[0].gamma.set_data(nd.array(numbers(4)))
    to_torch(ours, theirs)
    assert_alike(theirs, ours)
    assert caplog.messages == [
        "the nets compute differently at 0: scale: PyTorch True, Gluon False"
    ]


def test_a_cumulative_average_is_told(caplog):
    theirs, ours = (
        randomized(tn.Sequential(tn.BatchNorm2d(4, momentum=None))),
        net_of([gn.BatchNorm()]),
    )
    to_gluon(theirs, ours)
    assert_alike(theirs, ours)
    [told] = caplog.messages
    assert told.endswith("update rate: PyTorch cumulative average, Gluon 0.1")


def test_a_group_norm_of_gluons_goes_to_pytorch(caplog):
    theirs, ours = tn.Sequential(tn.GroupNorm(2, 4)), net_of([gn.GroupNorm(2)])
    ours.initialize()
    for parameter in ours.collect_params().values():
        parameter.set_data(nd.array(numbers(parameter.shape)))
    to_torch(ours, theirs)
    assert_alike(theirs, ours)
    to_gluon(theirs, ours)  # equal within each group
    assert_alike(theirs, ours)


def small():
    theirs = tn.Sequential(tn.Conv2d(4, 6, 3), tn.BatchNorm2d(6), tn.Flatten(), tn.Linear(294, 5))
    return randomized(theirs), net_of([gn.Conv2D(6, 3), gn.BatchNorm(), gn.Dense(5)])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_net_of_another_dtype_goes_across_and_back_exactly(dtype):
    theirs, ours = small()
    theirs = theirs.to(dtype)
    to_gluon(theirs, ours)
    for pair in pairs(theirs, ours):
        found = torch.from_numpy(pair.parameter.data().asnumpy())
        assert torch.equal(found, pair.tensor.float())
    back = small()[0].to(dtype)
    to_torch(ours, back)
    assert all(value.dtype == dtype for value in back.parameters())
    for a, b in zip(theirs.parameters(), back.parameters()):
        assert torch.equal(a.float(), b.float())


@pytest.mark.parametrize("initialized", ["not", "without its sizes", "wholly"])
def test_a_gluon_net_in_float64_stays_so_and_computes(initialized):
    theirs, ours = small()
    theirs = theirs.double()
    ours.cast("float64")
    if initialized != "not":
        ours.initialize()
    if initialized == "wholly":
        ours(nd.array(X, dtype="float64"))
    to_gluon(theirs, ours)
    assert all(p.data().dtype == np.float64 for p in ours.collect_params().values())
    found = ours(nd.array(X, dtype="float64")).asnumpy()
    with torch.no_grad():
        expected = theirs(torch.from_numpy(X).double()).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_numbers_that_the_other_net_cannot_hold_are_refused():
    theirs, ours = small()
    theirs[0].weight.data[0, 0, 0, 0] = 1e6
    to_gluon(theirs, ours)
    half, other = small()
    before = half.half()[0].weight.clone()
    with pytest.raises(TransferError, match="weight of 0 · conv.* is too large for torch.float16"):
        to_torch(ours, half)
    assert torch.equal(half[0].weight, before)
    other.cast("float16")
    with pytest.raises(TransferError, match="weight of 0 · conv.* is too large for float16"):
        to_gluon(theirs, other)
    assert other[0].weight.shape == (6, 0, 3, 3)


LAZY = [
    lambda: (tn.LazyConv2d(6, 3), gn.Conv2D(6, 3)),
    lambda: (tn.LazyConvTranspose2d(6, 3), gn.Conv2DTranspose(6, 3)),
    lambda: (tn.LazyLinear(5), gn.Dense(5, flatten=False)),
    lambda: (tn.LazyBatchNorm2d(), gn.BatchNorm()),
]


@pytest.mark.parametrize("layers", LAZY)
def test_lazy_layers_are_to_be_run_once(layers):
    theirs, ours = layers()
    theirs, ours = tn.Sequential(theirs), net_of([ours])
    ours.initialize()
    ours(nd.array(X))
    for transfer, nets in ((to_gluon, (theirs, ours)), (to_torch, (ours, theirs))):
        with pytest.raises(TransferError, match="net's 0 has no .* yet: run the net once"):
            transfer(*nets)
    theirs(torch.from_numpy(X))
    to_gluon(randomized(theirs), ours)
    assert_alike(theirs, ours)


def test_layers_that_one_net_shares_and_the_other_not():
    conv, shared = tn.Conv2d(4, 4, 1), gn.Conv2D(4, 1)
    twice, two = tn.Sequential(conv, conv), tn.Sequential(tn.Conv2d(4, 4, 1), tn.Conv2d(4, 4, 1))
    ours_twice, ours_two = net_of([shared, shared]), net_of([gn.Conv2D(4, 1), gn.Conv2D(4, 1)])
    to_gluon(randomized(twice), ours_two)  # the same numbers at two places
    assert_alike(twice, ours_two)
    to_gluon(twice, ours_twice)
    assert_alike(twice, ours_twice)
    with pytest.raises(TransferError, match="share their weight in one net and not in the other"):
        to_gluon(two, ours_twice)
    with pytest.raises(TransferError, match="share their weight in one net and not in the other"):
        to_torch(ours_two, twice)


class TwoOutputs(tn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = tn.Conv2d(4, 6, 3), tn.Conv2d(4, 6, 3)

    def forward(self, x):
        return self.first(x), self.second(x)


def test_of_several_outputs_the_first_goes_across(caplog):
    theirs, ours = TwoOutputs(), net_of([gn.Conv2D(6, 3)])
    to_gluon(theirs, ours)
    found = ours(nd.array(X)).asnumpy()
    np.testing.assert_allclose(
        found, theirs(torch.from_numpy(X))[0].detach().numpy(), rtol=0, atol=1e-5
    )
    assert caplog.messages == [
        "not copied: the PyTorch net's answer does not depend on second.weight and 1 more"
    ]

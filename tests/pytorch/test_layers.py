"""Every argument of PyTorch's layers and functions is seen, or changes no number."""

from __future__ import annotations

import inspect
import operator

from gluonbook.pytorch.layers import FUNCTIONS, LAYERS, NO_NUMBER
from gluonbook.pytorch.operations import describe_layer, torch_ops
import pytest
import torch
from torch import nn
from torch.fx.operator_schemas import get_signature_for_torch_op
from torch.nn import functional as F

#: The arguments with which a layer is made, by its name without the number of dimensions.
GIVEN = {
    "Conv": {"in_channels": 4, "out_channels": 4, "kernel_size": 3, "padding": 1},
    "ConvTranspose": {"in_channels": 4, "out_channels": 4, "kernel_size": 3, "stride": 2},
    "Linear": {"in_features": 4, "out_features": 4},
    "BatchNorm": {"num_features": 4},
    "SyncBatchNorm": {"num_features": 4},
    "InstanceNorm": {"num_features": 4, "affine": True, "track_running_stats": True},
    "GroupNorm": {"num_groups": 2, "num_channels": 4},
    "LayerNorm": {"normalized_shape": 4},
    "MaxPool": {"kernel_size": 3},
    "AvgPool": {"kernel_size": 3, "padding": 1},
    "AdaptiveMaxPool": {"output_size": 2},
    "AdaptiveAvgPool": {"output_size": 2},
}
#: Of each argument a value that is not the default, nor the one in `GIVEN`.
OTHER = {
    **{"in_channels": 8, "out_channels": 8, "kernel_size": 5, "stride": 4, "padding": 2},
    **{"dilation": 2, "groups": 2, "bias": False, "padding_mode": "reflect", "output_padding": 1},
    **{"in_features": 8, "out_features": 8, "num_features": 8, "num_channels": 8},
    **{"num_groups": 4, "normalized_shape": (2, 4), "num_parameters": 4, "eps": 0.5},
    **{"momentum": None, "affine": False, "elementwise_affine": False},
    **{"track_running_stats": False, "process_group": object(), "ceil_mode": True},
    **{"count_include_pad": False, "divisor_override": 5, "return_indices": True},
    **{"output_size": 3, "negative_slope": 0.3, "alpha": 0.3, "approximate": "tanh", "p": 0.3},
    **{"start_dim": 2, "end_dim": 2, "dtype": torch.float64, "inplace": True, "init": 0.5},
    "device": "cpu",
}
#: What shows no difference at all; the others of `NO_NUMBER` show in the weights.
NOTHING = {"device", "dtype", "inplace", "init"}


def name_of(layer):
    return layer.__name__.rstrip("123d") if layer.__name__.endswith("d") else layer.__name__


def seen(layer, arguments):
    return [
        (op.kind, op.settings, {role: (w.shape, w.requires_grad) for role, w in op.weights.items()})
        for op in torch_ops(nn.Sequential(layer(**arguments)))
    ]


@pytest.mark.parametrize(
    ("layer", "argument"),
    [
        (layer, argument)
        for layer in LAYERS
        for argument, parameter in inspect.signature(layer).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        and not (name_of(layer) == "ConvTranspose" and argument == "padding_mode")  # zeros only
    ],
)
def test_every_argument_of_a_layer_is_seen(layer, argument):
    given = GIVEN.get(name_of(layer), {})
    differs = seen(layer, {**given, argument: OTHER[argument]}) != seen(layer, given)
    assert differs != (argument in NOTHING)
    assert argument in NO_NUMBER or argument not in NOTHING


#: What these call, which have no signature themselves.
CALLED = {
    F.max_pool2d: F.max_pool2d_with_indices,
    F.adaptive_max_pool2d: F.adaptive_max_pool2d_with_indices,
}


def signatures_of(function):
    function = CALLED.get(function, function)
    if inspect.isfunction(function):
        return [inspect.signature(function)]
    found = get_signature_for_torch_op(function) or []
    return [
        one
        for one in found
        if next(iter(one.parameters)) in ("input", "tensors", "self")
        # PyTorch 2.8 has forms of flatten for tensors with named dimensions too, 2.13 has not.
        and "out_dim" not in one.parameters
    ]


@pytest.mark.parametrize(
    "function",
    [
        function
        for function in FUNCTIONS
        if not isinstance(function, str) and getattr(operator, function.__name__, 0) != function
    ],
)
def test_every_argument_of_a_function_is_taken_at_its_place(function):
    taken = list(inspect.signature(FUNCTIONS[function]).parameters)
    signatures = signatures_of(function)
    assert signatures
    for signature in signatures:
        for place, (name, parameter) in enumerate(signature.parameters.items()):
            if parameter.kind == parameter.KEYWORD_ONLY or name in NO_NUMBER:
                assert name in taken or name in NO_NUMBER
            elif FUNCTIONS[function] is not FUNCTIONS["view"] or place == 0:
                assert taken[place] == name


class Calls(nn.Module):
    """What `function` computes, called as a net's forward pass."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.relu = nn.ReLU(inplace=True)
        self.identity = nn.Identity()
        self.squeeze = nn.Sigmoid()

    def forward(self, x):
        return self.function(self, x)


def described(function):
    return [(op.kind, op.settings, op.inputs) for op in torch_ops(Calls(function))]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda _, x: F.avg_pool2d(x, 3, 2, 1), lambda _, x: F.avg_pool2d(x, 3, 2, 1, True)),
        (
            lambda _, x: F.avg_pool2d(x, 3, 2, 1),
            lambda _, x: F.avg_pool2d(x, 3, 2, 1, False, False),
        ),
        (lambda _, x: F.avg_pool2d(x, 3), lambda _, x: F.avg_pool2d(x, 3, divisor_override=2)),
        (lambda _, x: F.max_pool2d(x, 3), lambda _, x: F.max_pool2d(x, 3, dilation=2)),
        (lambda _, x: F.max_pool2d(x, 3), lambda _, x: F.max_pool2d(x, 3, ceil_mode=True)),
        (lambda n, x: F.dropout(x, training=n.training), lambda _, x: F.dropout(x)),
        (lambda _, x: torch.flatten(x, 1), lambda _, x: torch.flatten(x, 2)),
        (lambda _, x: x.flatten(1), lambda _, x: x.flatten()),
        (lambda _, x: x.view(x.size(0), -1), lambda _, x: x.view(x.size(0), 9, -1)),
        (lambda _, x: x.view(-1, 27), lambda _, x: x.reshape(-1, 3, 9)),
        (lambda _, x: torch.add(x, x.relu()), lambda _, x: torch.add(x, x.relu(), alpha=2)),
        (lambda _, x: x + 1, lambda _, x: x + 2),
        (lambda _, x: 1 - x, lambda _, x: x - 1),
        (lambda _, x: 0.1 * x, lambda _, x: 0.2 * x),
        (lambda _, x: torch.cat([x, x], 1), lambda _, x: torch.cat([x, x])),
        (lambda _, x: torch.cat([x, x], dim=1), lambda _, x: torch.cat((x, x), dim=2)),
        (lambda _, x: torch.cat(tensors=[x, x.relu()]), lambda _, x: torch.cat(tensors=[x, x])),
        (lambda _, x: F.leaky_relu(x), lambda _, x: F.leaky_relu(x, 0.2)),
        (lambda _, x: F.elu(x), lambda _, x: F.elu(x, 0.2)),
        (lambda _, x: F.softmax(x, 1), lambda _, x: F.softmax(x, dim=2)),
        (lambda _, x: x.sum(1), lambda _, x: x.sum(2)),
    ],
)
def test_calls_that_compute_differently_are_described_differently(one, other):
    assert described(one) != described(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda _, x: F.relu(x), lambda _, x: x.relu_()),
        (lambda _, x: F.relu(input=x), lambda _, x: F.relu(x, inplace=True)),
        (lambda _, x: F.avg_pool2d(x, 3), lambda _, x: F.avg_pool2d(x, (3, 3), 3, 0, False, False)),
        (lambda _, x: torch.add(x, x.relu()), lambda _, x: torch.add(x.relu(), other=x, alpha=1)),
        (lambda _, x: x * 0.5, lambda _, x: 0.5 * x),
        (lambda _, x: x, lambda _, x: x.view(x.shape[0], -1)),
        (lambda _, x: x, lambda _, x: torch.reshape(x, (-1, 27))),
        (lambda n, x: F.dropout(x, 0.2, n.training), lambda n, x: F.dropout(x, 0.2, False)),
    ],
)
def test_calls_that_compute_the_same_are_described_alike(one, other):
    assert described(one) == described(other)


@pytest.mark.parametrize(
    "rectify",
    [
        lambda net, y: F.relu(y, inplace=True),
        lambda net, y: y.relu_(),
        lambda net, y: torch.relu_(y),
        lambda net, y: net.relu(y),
    ],
)
def test_what_is_computed_in_place_is_what_others_read(rectify):
    """As PyTorch does it: the sum is of the rectified numbers twice."""

    def in_place(net, x):
        y = x * 2
        z = rectify(net, y)
        return y + z

    def apart(_, x):
        y = F.relu(x * 2)
        return y + y

    X = torch.randn(2, 3, 9, 9)
    assert torch.equal(in_place(Calls(in_place), X), apart(None, X))
    assert [(kind, inputs) for kind, _, inputs in described(in_place)][2:] == [("add", (1, 1))]
    assert [(kind, inputs) for kind, _, inputs in described(apart)][2:] == [("add", (1, 1))]


def test_a_sum_in_place_changes_what_it_added_to():
    def forward(_, x):
        y = x.sigmoid()
        return torch.cat([y.add_(x), y], 1)

    assert [inputs for *_, inputs in described(forward)] == [(-1,), (0, -1), (1, 1)]


def returns_what_it_read(function):
    """Whether the input is the answer, here and in PyTorch."""
    X = torch.randn(2, 4, 3, 3)
    kept = torch.equal(function(Calls(function).eval(), X.clone()), X)
    assert kept == (torch_ops(Calls(function)) == [])
    return kept


def through(change):
    """A forward that changes in place what `change` makes of its input, and returns the input."""

    def forward(net, x):
        change(net, x)
        return x

    return forward


@pytest.mark.parametrize(
    "change",
    [
        lambda _, y: y.flatten(1).mul_(2),
        lambda _, y: y.view(2, -1).relu_(),
        lambda _, y: F.relu(y.permute(1, 0, 2, 3).unsqueeze(0)[0], True),
        lambda _, y: F.leaky_relu(y.chunk(2, 1)[1], 0.1, True),
        lambda _, y: F.elu(y.narrow(1, 0, 2), 1.0, True),
        lambda _, y: F.threshold_(y.select(1, 0), 0.5, 0),
        lambda _, y: y[:, 0].add_(1),
        lambda _, y: y.mT.mul_(2),
        lambda _, y: y.contiguous().mul_(2),
        lambda net, y: net.relu(F.dropout(y, training=net.training)),
        lambda net, y: net.relu(net.identity(y)),
        lambda _, y: torch.mul(y, 2, out=y),
        lambda _, y: torch.cat([y * 2], out=y),
        lambda _, y: operator.imul(y, 2),
        lambda _, y: operator.setitem(y, (slice(None), 0), 0),
    ],
)
def test_what_is_changed_in_place_is_never_taken_for_what_it_was(change):
    assert not returns_what_it_read(through(change))


@pytest.mark.parametrize(
    "change",
    [
        lambda _, y: y.mul(2).flatten(1).relu_(),
        lambda net, y: net.relu(y + 1),
        lambda net, y: net.relu(net.squeeze(y)),  # which is no view, whatever its name
        lambda _, y: torch.mul(y, 2, out=y + 1),
        lambda _, y: F.leaky_relu(y, 0.1, False),
    ],
)
def test_what_is_changed_elsewhere_is_as_it_was(change):
    assert returns_what_it_read(through(change))


def test_a_view_of_what_is_changed_in_place_is_changed_as_well():
    def forward(_, x):
        y = x.sigmoid()
        rows = y.flatten(1)
        y *= 2
        return rows

    X = torch.randn(2, 3, 9, 9)
    assert torch.equal(forward(None, X), (2 * X.sigmoid()).flatten(1))
    kinds = [kind for kind, *_ in described(forward)]
    assert kinds == ["sigmoid", "mul", "changed in place through a view"]


def test_a_view_that_goes_on_in_place_is_no_difference():
    def forward(_, x):
        y = torch.flatten(x.sigmoid(), 1)
        y += 1
        return F.relu(y, True)

    assert described(forward) == described(lambda _, x: F.relu(x.sigmoid().flatten(1) + 1))


@pytest.mark.parametrize(
    "index",
    [
        (slice(None), slice(2)),
        (slice(None), [0, 1, 3, 2]),
        (slice(None), slice(None), None, 0),
        (),
        (..., None),
    ],
)
def test_an_index_is_told(index):
    [op] = torch_ops(Calls(lambda _, x: x[index]))
    assert op.kind == "getitem" and str(op).startswith("getitem, 1 ")


def test_an_assignment_to_an_index_is_told():
    def forward(_, x):
        y = x.sigmoid()
        y[:, 0] = 0
        return y

    assert [(kind, inputs) for kind, _, inputs in described(forward)] == [
        ("sigmoid", (-1,)),
        ("setitem", (0,)),
    ]


def double(layer, inputs, output):
    return 2 * output


def halve(layer, inputs):
    return inputs[0] / 2


def test_a_hook_of_a_layer_is_told():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Identity())
    [plain] = torch_ops(net)
    net[0].register_forward_hook(double)
    net[0].register_forward_pre_hook(halve)
    net[1].register_forward_hook(double)
    conv, identity = torch_ops(net)
    assert conv.settings == {**plain.settings, "hooks": "halve, double"}
    assert (identity.kind, identity.settings) == ("identity", {"hooks": "double"})


@pytest.mark.parametrize("container", [lambda net: net, lambda net: net[0]])
def test_the_hooks_of_a_net_and_of_its_blocks_compute_as_its_forward_does(container):
    net = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3)))
    container(net).register_forward_hook(double)
    container(net).register_forward_pre_hook(halve)
    found = [(op.kind, op.settings.get("scalar")) for op in torch_ops(net, (1, 3, 9, 9))]
    assert found == [("div", 2.0), ("conv", None), ("mul", 2.0)]


def test_a_forward_that_one_net_was_given_is_traced():
    net = nn.Sequential(nn.Conv2d(3, 4, 3))
    net.forward = lambda x: 2 * net[0](x)
    assert [op.kind for op in torch_ops(net)] == ["conv", "mul"]


def test_a_method_of_ones_own_that_forward_calls_is_told():
    class Standardized(nn.Conv2d):
        def _conv_forward(self, x, weight, bias):
            return super()._conv_forward(x, weight - weight.mean(), bias)

    class Printed(nn.Conv2d):
        def extra_repr(self):
            return "a convolution"

        def reset_parameters(self):
            nn.init.zeros_(self.weight)

        def helper(self):
            return 1

    [plain], [own], [printed] = (
        torch_ops(nn.Sequential(layer(3, 4, 3))) for layer in (nn.Conv2d, Standardized, Printed)
    )
    assert own.settings == {**plain.settings, "_conv_forward": "Standardized's own"}
    assert printed.settings == plain.settings


def test_a_method_that_one_layer_was_given_is_told():
    net = nn.Sequential(nn.Conv2d(3, 4, 3))
    net[0]._conv_forward = lambda x, weight, bias: F.conv2d(x, 2 * weight, bias)
    [own] = torch_ops(net)
    assert own.settings["_conv_forward"] == "Conv2d's own"


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_of_pytorchs_has_nothing_of_its_own(layer):
    _, settings = describe_layer(layer(**GIVEN.get(name_of(layer), {})))
    assert not [value for value in settings.values() if str(value).endswith("'s own")]


def test_a_forward_of_ones_own_is_told():
    class Standardized(nn.Conv2d):
        def forward(self, x):
            return F.conv2d(x, self.weight - self.weight.mean(), self.bias)

    [plain] = torch_ops(nn.Sequential(nn.Conv2d(3, 4, 3)))
    [own] = torch_ops(nn.Sequential(Standardized(3, 4, 3)))
    assert own.settings == {**plain.settings, "forward": "Standardized's own"}
    assert own.weights.keys() == plain.weights.keys()


def test_tracing_leaves_each_layer_in_its_mode():
    net = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout())
    net.train()[0].eval()
    torch_ops(net, (1, 3, 9, 9))
    assert [net.training, *(layer.training for layer in net)] == [True, False, True]

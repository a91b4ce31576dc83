"""Every argument of MXNet's operators and of Gluon's layers is seen, or changes no number."""

from __future__ import annotations

import inspect

from gluonbook.operations import gluon_ops
from gluonbook.operations.gluon import describe
from gluonbook.operations.mxnet_operators import NO_NUMBER, OPERATORS
import mxnet as mx
from mxnet.gluon import nn
import pytest

#: Of each argument a value that is not the default, nor the one in `GIVEN`.
OTHER = {
    **{"kernel": "(5, 5)", "stride": "(3, 3)", "dilate": "(2, 2)", "pad": "(2, 2)"},
    **{"num_filter": "8", "num_group": "2", "no_bias": "True", "layout": "NHWC", "adj": "(1, 1)"},
    **{"target_shape": "(7, 7)", "num_hidden": "8", "eps": "0.5", "momentum": "0.5"},
    **{"fix_gamma": "False", "use_global_stats": "True", "axis": "2", "num_groups": "4"},
    **{"pool_type": "sum", "global_pool": "True", "pooling_convention": "full", "p_value": "2"},
    **{"count_include_pad": "False", "act_type": "tanh", "slope": "0.5", "lower_bound": "0.2"},
    **{"upper_bound": "0.5", "p": "0.3", "mode": "always", "axes": "(2, 3)", "dim": "2"},
    **{"shape": "(0, 2, -1)", "reverse": "True", "keep_highest": "True", "scalar": "3"},
}
#: The attributes beside which the others are changed, where the default will not do.
GIVEN = {
    "Convolution": [{"kernel": "(3, 3)", "num_filter": "4"}],
    "Deconvolution": [{"kernel": "(3, 3)", "num_filter": "4", "no_bias": "False"}],
    "FullyConnected": [{"num_hidden": "4"}],
    "Pooling": [{"kernel": "(3, 3)", "pad": "(1, 1)", "pool_type": "avg"}],
    "Activation": [{"act_type": "relu"}],
    "LeakyReLU": [{"act_type": "elu"}, {"act_type": "rrelu"}],
    "Concat": [{"num_args": "2"}],
}


def arguments_of(operator):
    arguments = mx.operator.get_operator_arguments(operator)
    told = zip(arguments.names, arguments.types)
    return [name for name, type in told if not type.startswith("NDArray")]


@pytest.mark.parametrize(
    ("operator", "argument"),
    [(operator, argument) for operator in OPERATORS for argument in arguments_of(operator)],
)
def test_every_argument_of_an_operator_is_seen(operator, argument):
    bases = GIVEN.get(operator, [{}])
    other = "1" if argument in NO_NUMBER else OTHER[argument]
    seen = any(
        describe(operator, {**base, argument: other}) != describe(operator, base) for base in bases
    )
    assert seen == (argument not in NO_NUMBER)


def test_a_default_that_is_written_out_is_no_difference():
    for operator in OPERATORS:
        for base in GIVEN.get(operator, [{}]):
            types = dict(zip(*mx.operator.get_operator_arguments(operator)[1:]))
            defaults = {
                name: told.split("default=")[1].strip("'").replace("[]", "()")
                for name, told in types.items()
                if "default=" in told
            }
            assert describe(operator, {**defaults, **base}) == describe(operator, base)


def of_each_dimension(name, value):
    return {name.format(n): value for n in (1, 2, 3)}


#: Of each layer of Gluon's the arguments with which it is made.
LAYERS = {
    **of_each_dimension("Conv{}D", {"channels": 4, "kernel_size": 3}),
    **of_each_dimension(
        "Conv{}DTranspose", {"channels": 4, "kernel_size": 3, "strides": 2, "in_channels": 4}
    ),
    **of_each_dimension("MaxPool{}D", {"padding": 1}),
    **of_each_dimension("AvgPool{}D", {"padding": 1}),
    **of_each_dimension("GlobalMaxPool{}D", {}),
    **of_each_dimension("GlobalAvgPool{}D", {}),
    "Dense": {"units": 4},
    **{name: {} for name in ("BatchNorm", "GroupNorm", "InstanceNorm", "LayerNorm")},
    "Activation": {"activation": "relu"},
    "LeakyReLU": {"alpha": 0.1},
    **{name: {} for name in ("PReLU", "ELU", "SELU", "GELU", "Flatten")},
    "Dropout": {"rate": 0.5},
}
LAYER_OTHER = {
    **{"channels": 8, "kernel_size": 5, "strides": 3, "padding": 2, "dilation": 2, "groups": 2},
    **{"in_channels": 8, "in_units": 4, "use_bias": False, "activation": "tanh", "units": 8},
    **{"output_padding": 1, "pool_size": 5, "ceil_mode": True, "count_include_pad": False},
    **{"axis": 2, "momentum": 0.5, "epsilon": 0.5, "center": False, "scale": False},
    **{"use_global_stats": True, "num_groups": 4, "alpha": 0.3, "rate": 0.3, "axes": (2, 3)},
}
#: The same of single layers.
LAYER_SPECIAL = {
    ("InstanceNorm", "scale"): True,
    **{(name, "layout"): "N" + "DHW"[-int(name[-2]) :] + "C" for name in LAYERS if "Pool" in name},
    ("Conv2D", "layout"): "NHWC",
}
LAYER_NO_NUMBER = {
    "prefix": "a name",
    "params": "parameters that are another layer's too",
    "kwargs": "the last two",
    "dtype": "how exact the numbers are",
    "flatten": NO_NUMBER["flatten"],
    "weight_initializer": "what the weight is before training",
}
#: What these layers take has one value only.
LAYER_NO_CHOICE = {
    ("Conv3DTranspose", "dilation"),
    *((name, "layout") for name in LAYERS if name.startswith("Conv") and name != "Conv2D"),
}


def seen(name, arguments):
    net = nn.HybridSequential()
    net.add(getattr(nn, name)(**arguments))
    return [
        (op.kind, op.settings, [weight.shape for weight in op.weights.values()])
        for op in gluon_ops(net)
    ]


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        (name, argument)
        for name in LAYERS
        for argument in inspect.signature(getattr(nn, name)).parameters
        if argument not in LAYER_NO_NUMBER
        and not argument.endswith("_initializer")
        and (name, argument) not in LAYER_NO_CHOICE
    ],
)
def test_every_argument_of_a_gluon_layer_is_seen(name, argument):
    other = LAYER_SPECIAL.get((name, argument), LAYER_OTHER.get(argument))
    assert other is not None
    assert seen(name, {**LAYERS[name], argument: other}) != seen(name, LAYERS[name])


def test_a_dense_layers_weight_fits_an_input_that_is_flattened_or_one_that_is_not():
    X = mx.nd.ones((2, 3, 4))
    for flatten in (True, False):
        net, other = nn.Dense(5, flatten=flatten), nn.Dense(5, flatten=not flatten)
        net.initialize()
        net(X)
        other.weight.shape = net.weight.shape
        other.initialize()
        with pytest.raises((ValueError, mx.MXNetError), match="Shape inconsistent"):
            other(X)

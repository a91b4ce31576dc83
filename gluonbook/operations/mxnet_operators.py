"""What MXNet's operators compute, in the words that both libraries share.

Each function takes those arguments of an operator that it translates, by MXNet's names.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Callable

from .ops import Described

#: Arguments that change no number, each with the reason.
NO_NUMBER = {
    "workspace": "memory for the computation",
    "cudnn_tune": "which of the algorithms a GPU takes",
    "cudnn_off": "which of the algorithms a GPU takes",
    "num_args": "how many inputs there are, which the inputs show",
    "is_int": "how the scalar was written",
    "flatten": "the weight of a dense layer fits an input that is flattened or one that is not",
    "output_mean_var": "whether there are further outputs",
    "min_calib_range": "for int8 alone",
    "max_calib_range": "for int8 alone",
}

#: Layouts that mean the same for an input of their number of axes as naming none.
CHANNELS_FIRST = ("NCW", "NCHW", "NCDHW")


def _conv(
    kind: str,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilate: tuple[int, ...],
    pad: tuple[int, ...],
    num_filter: int,
    num_group: int,
    no_bias: bool,
    adj: tuple[int, ...] = (),
) -> Described:
    ones = (1,) * len(kernel)
    settings = {
        "channels": num_filter,
        "kernel": kernel,
        "stride": stride or ones,
        "padding": pad or (0,) * len(kernel),
        "dilation": dilate or ones,
        "groups": num_group,
        "bias": not no_bias,
    }
    if any(adj):
        settings["output_padding"] = adj
    return kind, settings


def _dense(num_hidden: int, no_bias: bool) -> Described:
    return "dense", {"units": num_hidden, "bias": not no_bias}


def _batch_norm(eps: float, momentum: float, fix_gamma: bool) -> Described:
    settings = {"eps": eps, "update rate": round(1 - momentum, 12), "scale": not fix_gamma}
    return "batch norm", settings


def _pool(
    pool_type: str,
    global_pool: bool,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    pad: tuple[int, ...],
    pooling_convention: str,
    count_include_pad: bool | None,
) -> Described:
    kind = {"avg": "average pool"}.get(pool_type, f"{pool_type} pool")
    if global_pool:
        return f"global {kind}", {}
    settings: dict[str, Any] = {
        "kernel": kernel,
        "stride": stride or (1,) * len(kernel),
        "padding": pad or (0,) * len(kernel),
    }
    if pooling_convention != "valid":
        settings["rounding"] = pooling_convention
    if pool_type == "avg" and any(pad) and count_include_pad is False:
        settings["count_include_pad"] = False
    return kind, settings


def _leaky_relu(act_type: str, slope: float, lower_bound: float, upper_bound: float) -> Described:
    if act_type == "rrelu":
        return "rrelu", {"lower": lower_bound, "upper": upper_bound}
    settings = {"slope": slope} if act_type in ("leaky", "elu") else {}
    return {"leaky": "leaky relu"}.get(act_type, act_type), settings


def _reshape(shape: int | tuple[int, ...]) -> Described:
    shape = (shape,) if isinstance(shape, int) else shape
    to_rows = len(shape) == 2 and min(shape) >= -1  # what reads them has to fit their length
    return ("flatten", {}) if to_rows else ("reshape", {"shape": shape})


def _only(kind: str) -> Callable[[], Described]:
    return lambda: (kind, {})


def _with_scalar(kind: str, place: str = "scalar") -> Callable[[float], Described]:
    return lambda scalar: (kind, {place: float(scalar)})


OPERATORS: dict[str, Callable[..., Described]] = {
    "Convolution": partial(_conv, "conv"),
    "Deconvolution": partial(_conv, "transposed conv"),
    "FullyConnected": _dense,
    "BatchNorm": _batch_norm,
    "GroupNorm": lambda num_groups, eps: ("group norm", {"groups": num_groups, "eps": eps}),
    "InstanceNorm": lambda eps: ("instance norm", {"eps": eps}),
    "LayerNorm": lambda eps: ("layer norm", {"eps": eps}),
    "Pooling": _pool,
    "Activation": lambda act_type: (act_type, {}),
    "LeakyReLU": _leaky_relu,
    "relu": _only("relu"),
    "sigmoid": _only("sigmoid"),
    "tanh": _only("tanh"),
    "Dropout": lambda p: ("dropout", {"rate": p}),
    "Concat": lambda dim: ("concat", {"axis": dim}),
    **dict.fromkeys(("elemwise_add", "broadcast_add", "_plus"), _only("add")),
    **dict.fromkeys(("elemwise_sub", "broadcast_sub", "_minus"), _only("sub")),
    **dict.fromkeys(("elemwise_mul", "broadcast_mul", "_mul"), _only("mul")),
    **dict.fromkeys(("elemwise_div", "broadcast_div", "_div"), _only("div")),
    "_plus_scalar": _with_scalar("add"),
    "_minus_scalar": _with_scalar("sub"),
    "_rminus_scalar": _with_scalar("sub", "scalar first"),
    "_mul_scalar": _with_scalar("mul"),
    "_div_scalar": _with_scalar("div"),
    "_rdiv_scalar": _with_scalar("div", "scalar first"),
    "Flatten": _only("flatten"),
    "Reshape": _reshape,
    "_copy": _only("identity"),
}

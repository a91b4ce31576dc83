"""What PyTorch's layers and functions compute, in the words that both libraries share.

Each function takes those arguments of a layer or function that it translates, by PyTorch's names.
"""

from __future__ import annotations

from functools import partial
import operator
from typing import Any, Callable

import torch
from torch import nn
from torch.nn import functional as F

from ..operations.ops import Described

#: Arguments that change no number, each with the reason.
NO_NUMBER = {
    "device": "where the numbers are",
    "dtype": "how exact the numbers are",
    "out": "where the result is kept; who reads it there is seen by the inputs",
    "inplace": "where the result is kept; who reads it there is seen by the inputs",
    "init": "what a weight is before training",
    "in_channels": "the weight's shape shows it",
    "in_features": "the weight's shape shows it",
    "num_channels": "the input has as many",
    "num_features": "the input has as many",
    "num_parameters": "the weight's shape shows it",
    "affine": "the weights show it",
    "elementwise_affine": "the weights show it",
    "bias": "the weights show it",
}


def _per_axis(value: Any, n: int) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, (list, tuple)) else (value,) * n


def _conv(
    kind: str,
    out_channels: int,
    kernel_size: tuple[int, ...],
    stride: tuple[int, ...],
    padding: str | tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
    bias: torch.Tensor | None,
    padding_mode: str,
    output_padding: tuple[int, ...] = (),
) -> Described:
    reach = [d * (k - 1) for d, k in zip(dilation, kernel_size)]
    if padding == "valid":
        padding = (0,) * len(reach)
    elif padding == "same" and not any(n % 2 for n in reach):
        padding = tuple(n // 2 for n in reach)
    settings = {
        "channels": out_channels,
        "kernel": kernel_size,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
        "bias": bias is not None,
    }
    if padding_mode != "zeros" and (padding == "same" or any(padding)):
        settings["padding_mode"] = padding_mode
    if any(output_padding):
        settings["output_padding"] = output_padding
    return kind, settings


def _dense(out_features: int, bias: torch.Tensor | None) -> Described:
    return "dense", {"units": out_features, "bias": bias is not None}


def _batch_norm(eps: float, momentum: float | None) -> Described:
    rate = "cumulative average" if momentum is None else momentum
    return "batch norm", {"eps": eps, "update rate": rate}


def _instance_norm(eps: float, momentum: float, track_running_stats: bool) -> Described:
    rate = {"update rate": momentum} if track_running_stats else {}
    return "instance norm", {"eps": eps, **rate}


def _layer_norm(normalized_shape: tuple[int, ...], eps: float) -> Described:
    axes = {"axes": len(normalized_shape)} if len(normalized_shape) > 1 else {}
    return "layer norm", {"eps": eps, **axes}


def _average_pool(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    n: int,
) -> Described:
    settings = _windows(n, kernel_size, stride, padding, ceil_mode)
    if any(settings["padding"]) and not count_include_pad:
        settings["count_include_pad"] = False
    if divisor_override is not None:
        settings["divisor_override"] = divisor_override
    return "average pool", settings


def _max_pool(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    n: int,
) -> Described:
    settings = _windows(n, kernel_size, stride, padding, ceil_mode)
    if _per_axis(dilation, n) != (1,) * n:
        settings["dilation"] = _per_axis(dilation, n)
    if return_indices:
        settings["return_indices"] = True
    return "max pool", settings


def _windows(n: int, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool) -> Any:
    kernel, padding = _per_axis(kernel_size, n), _per_axis(padding, n)
    stride = _per_axis(stride, n) if stride else kernel
    settings: dict[str, Any] = {"kernel": kernel, "stride": stride, "padding": padding}
    if ceil_mode:
        # PyTorch leaves out a last window that would start behind the image, MXNet does not.
        none_behind = all(k >= s + p for k, s, p in zip(kernel, stride, padding))
        settings["rounding"] = "full" if none_behind else "full, no window behind the image"
    return settings


def _adaptive_pool(
    kind: str, input: Any, output_size: Any, return_indices: bool = False, *, n: int
) -> Described:
    size = _per_axis(output_size, n)
    settings = {"return_indices": True} if return_indices else {}
    if size == (1,) * n:
        return f"global {kind}", settings
    return f"adaptive {kind}", {"size": size, **settings}


def _dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Described:
    """The function. Nets are traced in evaluation, so what drops then does so always."""
    return "dropout", {"rate": p, **({"mode": "always"} if training else {})}


def _concat(tensors: Any, dim: int = 0) -> Described:
    return "concat", {"axis": dim}


def _flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Described:
    if (start_dim, end_dim) == (1, -1):
        return "flatten", {}
    return "reshape", {"start_dim": start_dim, "end_dim": end_dim}


def _reshape(input: Any, *sizes: Any, shape: Any = ()) -> Described:
    sizes = sizes or (shape,)
    if isinstance(sizes[0], (list, tuple)):
        sizes = tuple(sizes[0])
    if len(sizes) == 2:  # to rows: what reads them has to fit their length
        return "flatten", {}
    return "reshape", {"shape": tuple(n if isinstance(n, int) else "?" for n in sizes)}


def _arithmetic(
    kind: str, input: Any, other: Any, alpha: float = 1, rounding_mode: str | None = None
) -> Described:
    settings: dict[str, Any] = {}
    if isinstance(other, (int, float)):
        settings["scalar"] = float(other)
    if isinstance(input, (int, float)):
        settings["scalar" if kind in ("add", "mul") else "scalar first"] = float(input)
    if alpha != 1:
        settings["alpha"] = alpha
    if rounding_mode is not None:
        settings["rounding_mode"] = rounding_mode
    return kind, settings


def _activation(kind: str, input: Any, inplace: bool = False) -> Described:
    return kind, {}


def _leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Described:
    return "leaky relu", {"slope": negative_slope}


def _elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Described:
    return "elu", {"slope": alpha}


#: Layers, with their subclasses.
LAYERS: dict[type[nn.Module], Any] = {
    nn.Linear: _dense,
    nn.GroupNorm: lambda num_groups, eps: ("group norm", {"groups": num_groups, "eps": eps}),
    nn.LayerNorm: _layer_norm,
    nn.SyncBatchNorm: _batch_norm,
    nn.ReLU: partial(_activation, "relu"),
    nn.Sigmoid: partial(_activation, "sigmoid"),
    nn.Tanh: partial(_activation, "tanh"),
    nn.SELU: partial(_activation, "selu"),
    nn.GELU: partial(_activation, "gelu"),
    nn.PReLU: partial(_activation, "prelu"),
    nn.LeakyReLU: _leaky_relu,
    nn.ELU: _elu,
    nn.Dropout: lambda p: ("dropout", {"rate": p}),
    nn.Flatten: _flatten,
    nn.Identity: lambda: ("identity", {}),
    **{
        getattr(nn, f"{name}{n}d"): describe
        for n in (1, 2, 3)
        for name, describe in {
            "Conv": partial(_conv, "conv"),
            "ConvTranspose": partial(_conv, "transposed conv"),
            "BatchNorm": _batch_norm,
            "InstanceNorm": _instance_norm,
            "MaxPool": partial(_max_pool, n=n),
            "AvgPool": partial(_average_pool, n=n),
            "AdaptiveMaxPool": partial(_adaptive_pool, "max pool", n=n),
            "AdaptiveAvgPool": partial(_adaptive_pool, "average pool", n=n),
        }.items()
    },
}

#: Functions, and methods by name.
FUNCTIONS: dict[Any, Callable[..., Described]] = {
    **dict.fromkeys((F.relu, torch.relu, "relu", "relu_"), partial(_activation, "relu")),
    **dict.fromkeys((F.sigmoid, torch.sigmoid, "sigmoid"), partial(_activation, "sigmoid")),
    **dict.fromkeys((F.tanh, torch.tanh, "tanh"), partial(_activation, "tanh")),
    F.leaky_relu: _leaky_relu,
    F.elu: _elu,
    F.avg_pool2d: partial(_average_pool, n=2),
    **dict.fromkeys((F.max_pool2d, torch.max_pool2d), partial(_max_pool, n=2)),
    F.adaptive_avg_pool2d: partial(_adaptive_pool, "average pool", n=2),
    F.adaptive_max_pool2d: partial(_adaptive_pool, "max pool", n=2),
    F.dropout: _dropout,
    **dict.fromkeys((torch.cat, torch.concat), _concat),
    **dict.fromkeys((torch.flatten, "flatten"), _flatten),
    **dict.fromkeys((torch.reshape, "reshape", "view"), _reshape),
    **{
        name: partial(_arithmetic, kind)
        for kind, names in {
            "add": (operator.add, operator.iadd, torch.add, "add", "add_"),
            "sub": (operator.sub, operator.isub, torch.sub, "sub", "sub_"),
            "mul": (operator.mul, operator.imul, torch.mul, "mul", "mul_"),
            "div": (operator.truediv, operator.itruediv, torch.div, "div", "div_"),
        }.items()
        for name in names
    },
}

"""A PyTorch net as the list of its operations, in order, traced by torch.fx without running it."""

from __future__ import annotations

import operator
from typing import Any, Callable, Iterator

import torch
from torch import nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional as F

from ..operations import ROLES, Described, Node, Op, TraceError, in_order


def torch_ops(net: nn.Module, input_shape: tuple[int, ...] | None = None) -> list[Op]:
    """The operations of a PyTorch net, in order; their weights are tensors of the net.

    Raises
    ------
    TraceError
        If torch.fx cannot trace the net.
    """
    try:
        traced = trace(net)
        if input_shape is not None:
            modes = [(layer, layer.training) for layer in net.modules()]
            with torch.no_grad():
                zeros = next(net.parameters()).new_zeros(input_shape)
                ShapeProp(traced.eval()).propagate(zeros)
            for layer, training in modes:
                layer.training = training
    except Exception as error:
        raise TraceError(f"the PyTorch net cannot be traced ({error})") from error
    modules = dict(net.named_modules())
    nodes: dict[Any, Node] = {}
    output = None
    for node in traced.graph.nodes:
        if node.op == "output":
            output = node.args[0]
        elif node.op not in ("placeholder", "get_attr"):
            module = modules[node.target] if node.op == "call_module" else None
            kind, settings = describe(node, module)
            meta = node.meta.get("tensor_meta")
            nodes[node] = Node(
                kind,
                str(node.target) if module is not None else node.name,
                settings,
                list(_sources(node)),
                _torch_weights(kind, module),
                tuple(meta.shape) if meta is not None else None,
            )
    return in_order(nodes, output)


class _Tracer(torch.fx.Tracer):
    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        known = any(isinstance(module, classes) for classes, _ in _MODULES)
        return known or super().is_leaf_module(module, name)


def trace(net: nn.Module) -> torch.fx.GraphModule:
    """The net as a torch.fx graph that shares its layers."""
    return torch.fx.GraphModule(net, _Tracer().trace(net))


def _sources(node: torch.fx.Node) -> Iterator[torch.fx.Node]:
    for argument in node.args:
        parts = argument if isinstance(argument, (list, tuple)) else [argument]
        yield from (part for part in parts if isinstance(part, torch.fx.Node))


def _torch_weights(kind: str, module: nn.Module | None) -> dict[str, torch.Tensor]:
    found = {
        "weight": getattr(module, "weight", None),
        "bias": getattr(module, "bias", None),
        "running mean": getattr(module, "running_mean", None),
        "running var": getattr(module, "running_var", None),
    }
    roles = ROLES.get(kind, ())
    return {role: value for role in roles if (value := found[role]) is not None}


def describe(node: torch.fx.Node, module: nn.Module | None) -> Described:
    """Kind and settings of a node of a trace; `module` is what it calls, if it calls one."""
    if node.target in _POOLINGS:  # with the arguments of the layer of its name
        module = _POOLINGS[node.target](*node.args[1:], **node.kwargs)
    if module is not None:
        for classes, described in _MODULES:
            if isinstance(module, classes):
                return described(module)
        return type(module).__name__, {}
    kind = _FUNCTIONS.get(node.target)
    if kind is None:
        return str(getattr(node.target, "__name__", node.target)), {}
    if kind == "concat":
        return kind, {"axis": node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)}
    if kind == "dropout":
        return kind, {"rate": node.kwargs.get("p", 0.5)}
    if kind == "adaptive average pool":
        return _adaptive_pool("average pool", node.kwargs.get("output_size", node.args[-1]))
    return kind, {}


def _pair(value: Any) -> tuple[int, int]:
    return tuple(value) if isinstance(value, (list, tuple)) else (value, value)


def _torch_conv(m: Any) -> Described:
    return "conv", {
        "channels": m.out_channels,
        "kernel": _pair(m.kernel_size),
        "stride": _pair(m.stride),
        "padding": m.padding if isinstance(m.padding, str) else _pair(m.padding),
        "dilation": _pair(m.dilation),
        "groups": m.groups,
        "bias": m.bias is not None,
    }


def _torch_batch_norm(m: Any) -> Described:
    return "batch norm", {"eps": m.eps, "update rate": m.momentum, "scale": m.affine}


def _torch_pool(m: Any) -> Described:
    kind = "max pool" if isinstance(m, nn.MaxPool2d) else "average pool"
    settings = {
        "kernel": _pair(m.kernel_size),
        "stride": _pair(m.stride),
        "padding": _pair(m.padding),
    }
    if m.ceil_mode:
        settings["rounding"] = "full"  # type: ignore[assignment]
    return kind, settings


def _torch_adaptive_pool(m: Any) -> Described:
    kind = "max pool" if isinstance(m, nn.AdaptiveMaxPool2d) else "average pool"
    return _adaptive_pool(kind, m.output_size)


def _adaptive_pool(kind: str, output_size: Any) -> Described:
    size = _pair(output_size)
    return (f"global {kind}", {}) if size == (1, 1) else (f"adaptive {kind}", {"size": size})


_MODULES: list[tuple[Any, Callable[[Any], Described]]] = [
    (nn.Conv2d, _torch_conv),
    (nn.Linear, lambda m: ("dense", {"units": m.out_features, "bias": m.bias is not None})),
    ((nn.BatchNorm1d, nn.BatchNorm2d), _torch_batch_norm),
    ((nn.MaxPool2d, nn.AvgPool2d), _torch_pool),
    ((nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d), _torch_adaptive_pool),
    (nn.ReLU, lambda m: ("relu", {})),
    (nn.Sigmoid, lambda m: ("sigmoid", {})),
    (nn.Tanh, lambda m: ("tanh", {})),
    (nn.Dropout, lambda m: ("dropout", {"rate": m.p})),
    (nn.Flatten, lambda m: ("flatten", {})),
    (nn.Identity, lambda m: ("identity", {})),
]

_POOLINGS: dict[Any, Any] = {
    F.avg_pool2d: nn.AvgPool2d,
    F.max_pool2d: nn.MaxPool2d,
    F.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
}

#: Functions, and methods by name.
_FUNCTIONS: dict[Any, str] = {
    F.relu: "relu",
    torch.relu: "relu",
    "relu": "relu",
    "relu_": "relu",
    F.sigmoid: "sigmoid",
    torch.sigmoid: "sigmoid",
    "sigmoid": "sigmoid",
    torch.tanh: "tanh",
    F.tanh: "tanh",
    F.dropout: "dropout",
    F.adaptive_avg_pool2d: "adaptive average pool",
    operator.add: "add",
    operator.iadd: "add",
    torch.add: "add",
    "add": "add",
    "add_": "add",
    torch.cat: "concat",
    torch.concat: "concat",
    torch.flatten: "flatten",
    "flatten": "flatten",
    "view": "flatten",
    "reshape": "flatten",
}

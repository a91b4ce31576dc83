"""A Gluon net and a PyTorch net as the same kind of list: their operations, in order.

Both are traced symbolically, without running them: Gluon by calling the net on a symbol, PyTorch
by torch.fx. Operations stand in the order in which they are first needed on the way to the output,
which does not depend on names, on the order of attributes, or on how layers are nested.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
import json
import operator
from typing import Any, Callable, Dict, Iterator, Tuple

import mxnet as mx
from mxnet import gluon
import torch
from torch import nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional as F

from ..system.errors import Failure

#: Kind and settings of an operation.
_Described = Tuple[str, Dict[str, Any]]

_USUAL = {"dilation": 1, "groups": 1, "bias": True, "scale": True}

#: Operations that change the shape at most, and no number.
_PASSED_OVER = {"flatten", "identity"}


class TraceError(Failure, TypeError):
    """A net cannot be traced symbolically."""


@dataclass
class Op:
    """One operation of a net."""

    kind: str
    """Such as ``"conv"``, ``"batch norm"``, ``"relu"``, ``"max pool"``, ``"concat"``."""
    name: str
    """What the net calls it."""
    settings: dict[str, Any]
    """What decides its numbers: kernel, stride, padding, eps, …"""
    inputs: tuple[int, ...]
    """Places in the list of the operations it reads; −1 is the net's input."""
    weights: dict[str, Any] = field(default_factory=dict)
    """``weight``, ``bias``, ``running mean``, ``running var``: Gluon parameters, torch tensors."""
    shape: tuple[int, ...] | None = None
    """Of the output, if the input's shape was given."""

    def __str__(self) -> str:
        """Kind and settings, without those that are as usual."""
        parts = [self.kind]
        for key, value in self.settings.items():
            if isinstance(value, tuple):
                value = "×".join(map(str, value)) if len(set(value)) > 1 else value[0]
            if _USUAL.get(key) != value:
                parts.append(f"{key} {value}")
        return ", ".join(parts)


@dataclass
class _Node:
    """An operation before ordering: inputs are keys of other nodes."""

    kind: str
    name: str
    settings: dict[str, Any]
    inputs: list[Any]
    weights: dict[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] | None = None


def _in_order(nodes: dict[Any, _Node], output: Any) -> list[Op]:
    """The operations that `output` needs, each after its inputs, none that only reshapes."""
    depth: dict[Any, int] = {}
    for key, node in nodes.items():  # given in an order in which inputs come first
        depth[key] = 1 + max((depth.get(source, 0) for source in node.inputs), default=0)
    places: dict[Any, int] = {}
    ops: list[Op] = []

    def place(key: Any) -> int:
        if key not in nodes:
            return -1
        node = nodes[key]
        if node.kind in _PASSED_OVER:
            return place(node.inputs[0])
        if key not in places:
            sources = node.inputs
            if node.kind == "add":  # x + y is y + x: take the longer branch first
                sources = sorted(sources, key=lambda source: -depth.get(source, 0))
            inputs = tuple(place(source) for source in sources)
            places[key] = len(ops)
            ops.append(Op(node.kind, node.name, node.settings, inputs, node.weights, node.shape))
        return places[key]

    place(output)
    return ops


# --- Gluon ----------------------------------------------------------------------------------


def gluon_ops(net: gluon.Block, input_shape: tuple[int, ...] | None = None) -> list[Op]:
    """The operations of a Gluon net, in order; their weights are Gluon parameters.

    Raises
    ------
    TraceError
        If the net is not made of hybrid blocks.
    """
    try:
        symbol = net(mx.sym.var("data"))
    except Exception as error:
        raise TraceError(
            f"the Gluon net cannot be traced ({error}): build it of HybridBlocks"
        ) from error
    graph = json.loads(symbol.tojson())
    parameters = {parameter.name: parameter for parameter in net.collect_params().values()}
    shapes = _gluon_shapes(symbol, input_shape)
    nodes = {}
    for i, raw in enumerate(graph["nodes"]):
        if raw["op"] == "null":
            continue
        attributes = {key: _literal(text) for key, text in raw.get("attrs", {}).items()}
        sources = [graph["nodes"][entry[0]]["name"] for entry in raw["inputs"]]
        kind, settings = _GLUON.get(raw["op"], _unknown_gluon)(raw["op"], attributes)
        roles = _ROLES.get(kind, ())
        nodes[i] = _Node(
            kind,
            raw["name"].replace("_fwd", ""),
            settings,
            [entry[0] for entry, name in zip(raw["inputs"], sources) if name not in parameters],
            dict(zip(roles, (parameters[name] for name in sources if name in parameters))),
            shapes.get(raw["name"]),
        )
    return _in_order(nodes, graph["heads"][0][0])


def _gluon_shapes(symbol: Any, input_shape: tuple[int, ...] | None) -> dict[str, tuple[int, ...]]:
    if input_shape is None:
        return {}
    internals = symbol.get_internals()
    _, shapes, _ = internals.infer_shape(data=input_shape)
    return {
        name.replace("_output", ""): shape for name, shape in zip(internals.list_outputs(), shapes)
    }


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


#: Weights of an operation, in the order in which MXNet takes them.
_ROLES = {
    "conv": ("weight", "bias"),
    "dense": ("weight", "bias"),
    "batch norm": ("weight", "bias", "running mean", "running var"),
}


def _unknown_gluon(op: str, attributes: dict[str, Any]) -> _Described:
    return op, attributes


def _gluon_conv(_: str, a: dict[str, Any]) -> _Described:
    return "conv", {
        "channels": a["num_filter"],
        "kernel": a["kernel"],
        "stride": a["stride"],
        "padding": a["pad"],
        "dilation": a["dilate"],
        "groups": a["num_group"],
        "bias": not a["no_bias"],
    }


def _gluon_dense(_: str, a: dict[str, Any]) -> _Described:
    return "dense", {"units": a["num_hidden"], "bias": not a["no_bias"]}


def _gluon_batch_norm(_: str, a: dict[str, Any]) -> _Described:
    return "batch norm", {
        "eps": a["eps"],
        "share of the new": round(1 - a["momentum"], 12),
        "scale": not a["fix_gamma"],
    }


def _gluon_pool(_: str, a: dict[str, Any]) -> _Described:
    kind = {"avg": "average pool", "max": "max pool"}[a["pool_type"]]
    if a.get("global_pool"):
        return f"global {kind}", {}
    settings = {"kernel": a["kernel"], "stride": a["stride"], "padding": a["pad"]}
    if a.get("pooling_convention", "valid") != "valid":
        settings["rounding"] = a["pooling_convention"]
    return kind, settings


_GLUON: dict[str, Callable[[str, dict[str, Any]], _Described]] = {
    "Convolution": _gluon_conv,
    "FullyConnected": _gluon_dense,
    "BatchNorm": _gluon_batch_norm,
    "Pooling": _gluon_pool,
    "Activation": lambda _, a: (a["act_type"], {}),
    "relu": lambda *_: ("relu", {}),
    "sigmoid": lambda *_: ("sigmoid", {}),
    "tanh": lambda *_: ("tanh", {}),
    "Dropout": lambda _, a: ("dropout", {"rate": a["p"]}),
    "Concat": lambda _, a: ("concat", {"axis": a.get("dim", 1)}),
    "elemwise_add": lambda *_: ("add", {}),
    "broadcast_add": lambda *_: ("add", {}),
    "_plus": lambda *_: ("add", {}),
    "Flatten": lambda *_: ("flatten", {}),
    "Reshape": lambda *_: ("flatten", {}),
    "_copy": lambda *_: ("identity", {}),
}


# --- PyTorch --------------------------------------------------------------------------------


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
    nodes: dict[Any, _Node] = {}
    output = None
    for node in traced.graph.nodes:
        if node.op == "output":
            output = node.args[0]
        elif node.op not in ("placeholder", "get_attr"):
            module = modules[node.target] if node.op == "call_module" else None
            kind, settings = describe(node, module)
            meta = node.meta.get("tensor_meta")
            nodes[node] = _Node(
                kind,
                str(node.target) if module is not None else node.name,
                settings,
                list(_sources(node)),
                _torch_weights(kind, module),
                tuple(meta.shape) if meta is not None else None,
            )
    return _in_order(nodes, output)


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
    roles = _ROLES.get(kind, ())
    return {role: value for role in roles if (value := found[role]) is not None}


def describe(node: torch.fx.Node, module: nn.Module | None) -> _Described:
    """Kind and settings of a node of a trace; `module` is what it calls, if it calls one."""
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
    return kind, {}


def _pair(value: Any) -> tuple[int, int]:
    return tuple(value) if isinstance(value, (list, tuple)) else (value, value)


def _torch_conv(m: Any) -> _Described:
    return "conv", {
        "channels": m.out_channels,
        "kernel": _pair(m.kernel_size),
        "stride": _pair(m.stride),
        "padding": m.padding if isinstance(m.padding, str) else _pair(m.padding),
        "dilation": _pair(m.dilation),
        "groups": m.groups,
        "bias": m.bias is not None,
    }


def _torch_batch_norm(m: Any) -> _Described:
    return "batch norm", {"eps": m.eps, "share of the new": m.momentum, "scale": m.affine}


def _torch_pool(m: Any) -> _Described:
    kind = "max pool" if isinstance(m, nn.MaxPool2d) else "average pool"
    settings = {
        "kernel": _pair(m.kernel_size),
        "stride": _pair(m.stride),
        "padding": _pair(m.padding),
    }
    if m.ceil_mode:
        settings["rounding"] = "full"  # type: ignore[assignment]
    return kind, settings


def _torch_adaptive_pool(m: Any) -> _Described:
    kind = "max pool" if isinstance(m, nn.AdaptiveMaxPool2d) else "average pool"
    size = _pair(m.output_size)
    return (f"global {kind}", {}) if size == (1, 1) else (f"adaptive {kind}", {"size": size})


_MODULES: list[tuple[Any, Callable[[Any], _Described]]] = [
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

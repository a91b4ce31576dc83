"""A Gluon net as the list of its operations, in order, by which two nets can be matched.

The net is traced symbolically, without running it. Operations stand in the order in which they are
first needed on the way to the output, which does not depend on names, on the order of attributes,
or on how layers are nested.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
import json
from typing import Any, Callable, Dict, Tuple

import mxnet as mx
from mxnet import gluon

from .nets.auxiliary import answer_of
from .system.errors import Failure

#: Kind and settings of an operation.
Described = Tuple[str, Dict[str, Any]]

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
class Node:
    """An operation before ordering: inputs are keys of other nodes."""

    kind: str
    name: str
    settings: dict[str, Any]
    inputs: list[Any]
    weights: dict[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] | None = None


def in_order(nodes: dict[Any, Node], output: Any) -> list[Op]:
    """The operations that `output` needs, each after its inputs, none that only reshapes.

    What joins the outputs of joins counts as one join of all their inputs.
    """
    sources: dict[Any, list[Any]] = {}
    depth: dict[Any, int] = {}
    passed_on: dict[Any, Any] = {}  # by what changes no number: the operation that it comes from
    for key, node in nodes.items():  # given in an order in which inputs come first
        inputs = [passed_on.get(source, source) for source in node.inputs]
        if node.kind == "concat":
            inputs = [part for source in inputs for part in _joined(source, node, nodes, sources)]
        elif node.kind == "add":  # x + y is y + x: take the longer branch first
            inputs.sort(key=lambda source: -depth.get(source, 0))
        if node.kind in _PASSED_OVER or (node.kind == "concat" and len(inputs) == 1):
            passed_on[key] = inputs[0]
        else:
            sources[key] = inputs
            depth[key] = 1 + max((depth.get(source, 0) for source in inputs), default=0)

    places: dict[Any, int] = {}
    ops: list[Op] = []
    waiting = [passed_on.get(output, output)]
    while waiting:  # not by recursion: a net of 152 layers goes deeper than Python does
        key = waiting.pop()
        if key in places or key not in sources:
            continue
        missing = [part for part in sources[key] if part in sources and part not in places]
        if missing:
            waiting += [key, missing[0]]
            continue
        node, inputs = nodes[key], [places.get(source, -1) for source in sources[key]]
        places[key] = len(ops)
        ops.append(Op(node.kind, node.name, node.settings, tuple(inputs), node.weights, node.shape))
    return ops


def _joined(
    source: Any, join: Node, nodes: dict[Any, Node], sources: dict[Any, list[Any]]
) -> list[Any]:
    """What `source` itself joins, if it does so along the axis of `join`; else `source`."""
    node = nodes.get(source)
    alike = node is not None and (node.kind, node.settings) == (join.kind, join.settings)
    return sources[source] if alike else [source]


def trace(net: gluon.Block, input_name: str = "data") -> mx.sym.Symbol:
    """The graph of what a net computes, of several outputs the first.

    Raises
    ------
    TraceError
        If the net is not made of hybrid blocks, or takes several inputs.
    """
    try:
        return answer_of(net(mx.sym.var(input_name)))
    except Exception as error:
        raise TraceError(
            f"the Gluon net cannot be traced ({error}): build it of HybridBlocks, with one input"
        ) from error


def gluon_ops(net: gluon.Block, input_shape: tuple[int, ...] | None = None) -> list[Op]:
    """The operations of a Gluon net, in order; their weights are Gluon parameters.

    Of several outputs, the first is looked at.

    Raises
    ------
    TraceError
        As `trace` does.
    """
    symbol = trace(net)
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
        roles = ROLES.get(kind, ())
        nodes[i] = Node(
            kind,
            raw["name"].replace("_fwd", ""),
            settings,
            [entry[0] for entry, name in zip(raw["inputs"], sources) if name not in parameters],
            dict(zip(roles, (parameters[name] for name in sources if name in parameters))),
            shapes.get(raw["name"]),
        )
    return in_order(nodes, graph["heads"][0][0])


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
ROLES = {
    "conv": ("weight", "bias"),
    "dense": ("weight", "bias"),
    "batch norm": ("weight", "bias", "running mean", "running var"),
}


def _unknown_gluon(op: str, attributes: dict[str, Any]) -> Described:
    return op, attributes


def _gluon_conv(_: str, a: dict[str, Any]) -> Described:
    return "conv", {
        "channels": a["num_filter"],
        "kernel": a["kernel"],
        "stride": a["stride"],
        "padding": a["pad"],
        "dilation": a["dilate"],
        "groups": a["num_group"],
        "bias": not a["no_bias"],
    }


def _gluon_dense(_: str, a: dict[str, Any]) -> Described:
    return "dense", {"units": a["num_hidden"], "bias": not a["no_bias"]}


def _gluon_batch_norm(_: str, a: dict[str, Any]) -> Described:
    return "batch norm", {
        "eps": a["eps"],
        "update rate": round(1 - a["momentum"], 12),
        "scale": not a["fix_gamma"],
    }


def _gluon_pool(_: str, a: dict[str, Any]) -> Described:
    kind = {"avg": "average pool", "max": "max pool"}[a["pool_type"]]
    if a.get("global_pool"):
        return f"global {kind}", {}
    settings = {"kernel": a["kernel"], "stride": a["stride"], "padding": a["pad"]}
    if a.get("pooling_convention", "valid") != "valid":
        settings["rounding"] = a["pooling_convention"]
    return kind, settings


_GLUON: dict[str, Callable[[str, dict[str, Any]], Described]] = {
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

"""A Gluon net as the list of its operations, traced symbolically without running it."""

from __future__ import annotations

import ast
from functools import lru_cache
import hashlib
import json
from typing import Any

import mxnet as mx
from mxnet import gluon

from ..nets.auxiliary import answer_of
from ..system.mxnet_private import is_differentiable
from .mxnet_operators import CHANNELS_FIRST, NO_NUMBER, OPERATORS
from .ops import NORMS, Described, Op, TraceError, described, in_order, weights_by_role


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


def fingerprint(net: gluon.Block) -> str:
    """A SHA-256 of what a net computes: its operators, their settings and their order.

    It is the same for two nets that differ in their weights, or in automatic names, alone.

    Raises
    ------
    TraceError
        As `trace` does.
    """
    told = []
    for node in json.loads(trace(net).tojson())["nodes"]:
        settings = {} if node["op"] == "null" else node.get("attrs", {})
        settings = {name: value for name, value in settings.items() if not name.startswith("__")}
        told.append([node["op"], settings, [source[:2] for source in node["inputs"]]])
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


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
    shapes = _shapes(symbol, input_shape)
    nodes = {}
    for i, raw in enumerate(graph["nodes"]):
        if raw["op"] == "null":
            continue
        kind, settings = describe(raw["op"], raw.get("attrs", {}))
        sources = [(graph["nodes"][entry[0]]["name"], entry) for entry in raw["inputs"]]
        read = [parameters[name] for name, _ in sources if name in parameters]
        weights = weights_by_role(kind, [(f"parameter {i}", p) for i, p in enumerate(read, 1)])
        settings.update(_trained(kind, weights))
        inputs = [entry for name, entry in sources if name not in parameters]
        if any(entry[1] for entry in inputs):
            settings["outputs read"] = tuple(entry[1] for entry in inputs)
        name = raw["name"].replace("_fwd", "")
        inputs = [entry[0] for entry in inputs]
        nodes[i] = Op(kind, name, settings, inputs, weights, shapes.get(raw["name"]))
    return in_order(nodes, graph["heads"][0][0])


def describe(operator: str, attributes: dict[str, str]) -> Described:
    """Kind and settings of an operator with these attributes, as a graph's JSON has them."""
    given = {
        key: None if text in CHANNELS_FIRST else _literal(text) for key, text in attributes.items()
    }
    if operator not in OPERATORS:
        return operator, given
    usual = _defaults(operator)
    return described(OPERATORS[operator], {**usual, **given}, usual, NO_NUMBER)


@lru_cache(maxsize=None)
def _defaults(operator: str) -> dict[str, Any]:
    """What MXNet says of an operator's arguments, as in ``Shape(tuple), optional, default=[]``."""
    arguments = mx.operator.get_operator_arguments(operator)
    return {
        name: _literal(told.split("default=")[1].strip("'"))
        for name, told in zip(arguments.names, arguments.types)
        if "default=" in told
    }


def _literal(text: str) -> Any:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return tuple(value) if isinstance(value, list) else value


def _trained(kind: str, weights: dict[str, gluon.Parameter]) -> dict[str, bool]:
    """Whether training changes a norm's weight and bias, which the graph does not tell."""
    if kind == "batch norm":
        return {"center": is_differentiable(weights["bias"])} if "bias" in weights else {}
    if kind in NORMS:
        roles = {"scale": "weight", "center": "bias"}
        return {
            key: weights[role].grad_req != "null" for key, role in roles.items() if role in weights
        }
    return {}


def _shapes(symbol: Any, input_shape: tuple[int, ...] | None) -> dict[str, tuple[int, ...]]:
    if input_shape is None:
        return {}
    internals = symbol.get_internals()
    _, shapes, _ = internals.infer_shape(data=input_shape)
    return {
        name.replace("_output", ""): shape for name, shape in zip(internals.list_outputs(), shapes)
    }

"""A PyTorch net as the list of its operations, in order, traced by torch.fx without running it."""

from __future__ import annotations

from contextlib import contextmanager
from functools import reduce
import inspect
import itertools
from typing import Any, Iterator

import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from ..operations import (
    NORMS,
    Described,
    Node,
    Op,
    TraceError,
    described,
    in_order,
    weights_by_role,
)
from .layers import FUNCTIONS, LAYERS, NO_NUMBER


def torch_ops(net: nn.Module, input_shape: tuple[int, ...] | None = None) -> list[Op]:
    """The operations of a PyTorch net in evaluation, in order; their weights are tensors of it.

    A norm that is not affine has weight 1 and bias 0, in tensors that are none of the net's. Of
    several outputs, the first is looked at.

    Raises
    ------
    TraceError
        If torch.fx cannot trace the net.
    """
    try:
        with _in_evaluation(net):
            traced = trace(net)
            if input_shape is not None:
                with torch.no_grad():
                    zeros = next(net.parameters()).new_zeros(input_shape)
                    ShapeProp(traced).propagate(zeros)
    except Exception as error:
        raise TraceError(f"the PyTorch net cannot be traced ({error})") from error
    modules = dict(net.named_modules())
    nodes: dict[Any, Node] = {}
    neutral: dict[nn.Module, dict[str, torch.Tensor]] = {}  # once for a layer that is used twice
    overwritten: dict[fx.Node, fx.Node] = {}  # by what computed in place
    output = None
    for node in traced.graph.nodes:
        read = [_now(source, overwritten) for source in _nodes_in((node.args, node.kwargs))]
        sources = [source for source in read if source.op != "get_attr"]
        module = None
        if node.op == "output":
            output = sources[0] if sources else None
            continue
        if node.op == "call_module":
            name, module = str(node.target), modules[node.target]
            kind, settings = describe_layer(module)
            weights = _weights(module)
            if kind in NORMS:
                settings.update(scale="weight" in weights, center="bias" in weights)
                weights = {**neutral.setdefault(module, _neutral(module)), **weights}
        elif node.op in ("call_function", "call_method"):
            name = node.name
            kind, settings = describe_call(node)
            names = [str(source.target) for source in read if source.op == "get_attr"]
            weights = weights_by_role(kind, [(path, _attribute(net, path)) for path in names])
        else:
            continue
        if kind in ("flatten", "reshape"):
            del sources[1:]  # they tell the sizes
        meta = node.meta.get("tensor_meta")
        shape = tuple(meta.shape) if meta else None
        nodes[node] = Node(kind, name, settings, sources, weights, shape)
        if sources and _computes_in_place(node, module):
            overwritten[sources[0]] = node
    return in_order(nodes, output)


def _now(source: fx.Node, overwritten: dict[fx.Node, fx.Node]) -> fx.Node:
    """What has computed the numbers that stand there now."""
    while source in overwritten:
        source = overwritten[source]
    return source


def _computes_in_place(node: fx.Node, module: nn.Module | None) -> bool:
    if module is not None:
        return getattr(module, "inplace", False)
    name = str(getattr(node.target, "__name__", node.target))
    in_place = name in ("iadd", "isub", "imul", "itruediv") or name.endswith("_")
    return in_place or bool(node.kwargs.get("inplace"))


@contextmanager
def _in_evaluation(net: nn.Module) -> Iterator[None]:
    modes = [(layer, layer.training) for layer in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for layer, training in modes:
            layer.training = training


class _Tracer(fx.Tracer):
    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return _class_of(module) is not None or super().is_leaf_module(module, name)


def trace(net: nn.Module) -> fx.GraphModule:
    """The net as a torch.fx graph that shares its layers."""
    return fx.GraphModule(net, _Tracer().trace(net))


def _class_of(layer: nn.Module) -> type[nn.Module] | None:
    """What it is among the layers that are known."""
    return next((known for known in type(layer).__mro__ if known in LAYERS), None)


def _attribute(net: nn.Module, path: str) -> Any:
    return reduce(getattr, path.split("."), net)


def _nodes_in(arguments: Any) -> list[fx.Node]:
    found: list[fx.Node] = []
    fx.node.map_arg(arguments, found.append)
    return found


def _weights(layer: nn.Module) -> dict[str, torch.Tensor]:
    """All that it holds, whether it is known or not, by roles as `ROLES` has them."""
    held = itertools.chain(layer.named_parameters(), layer.named_buffers())
    return {name.replace("_", " "): value for name, value in held if not is_counter(name)}


def is_counter(name: str) -> bool:
    """Whether it is batch norm's count of batches, on which no output depends."""
    return name.split(".")[-1] == "num_batches_tracked"


def _neutral(norm: Any) -> dict[str, torch.Tensor]:
    """The weight and bias that it has where it is not affine."""
    shape = next(
        getattr(norm, name)
        for name in ("num_features", "num_groups", "normalized_shape")
        if hasattr(norm, name)
    )
    return {"weight": torch.ones(shape), "bias": torch.zeros(shape)}


def describe_layer(layer: nn.Module) -> Described:
    """Kind and settings of a layer. One of a subclass is as its superclass but for its forward."""
    known = _class_of(layer)
    if known is None:
        return type(layer).__name__, {}
    signature = inspect.signature(known).parameters
    usual = {name: parameter.default for name, parameter in signature.items()}
    arguments = {name: getattr(layer, name) for name in usual if hasattr(layer, name)}
    kind, settings = described(
        LAYERS[known], {"input": None, **arguments}, {"input": None, **usual}, NO_NUMBER
    )
    if getattr(layer.forward, "__func__", None) is not known.forward:
        settings["forward"] = f"{type(layer).__name__}'s own"
    return kind, settings


def describe_call(node: fx.Node) -> Described:
    """Kind and settings of a node of a trace that calls a function or method."""
    describe = FUNCTIONS.get(node.target)
    if describe is None:
        named = {**{str(i): value for i, value in enumerate(node.args)}, **node.kwargs}
        name = str(getattr(node.target, "__name__", node.target))
        return name, {key: value for key, value in named.items() if not _nodes_in(value)}
    taken = inspect.signature(describe).parameters
    known = {key: value for key, value in node.kwargs.items() if key in taken}
    kind, settings = describe(*node.args, **known)
    rest = {
        key: value
        for key, value in node.kwargs.items()
        if not (key in taken or key in NO_NUMBER or value is None)
    }
    return kind, {**settings, **rest}

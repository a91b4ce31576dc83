"""A PyTorch net as the list of its operations, in order, traced by torch.fx without running it."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
import inspect
import itertools
import operator
from typing import Any, Callable, Iterator

import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from ..operations.ops import (
    NORMS,
    Described,
    Op,
    TraceError,
    described,
    in_order,
    weights_by_role,
)
from .in_place import OPERATORS, Memory, name_of_target, nodes_in
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
            traced = fx.GraphModule(net, _Tracer().trace(net))
            if input_shape is not None:
                with torch.no_grad():
                    zeros = next(net.parameters()).new_zeros(input_shape)
                    ShapeProp(traced).propagate(zeros)
    except Exception as error:
        raise TraceError(f"the PyTorch net cannot be traced ({error})") from error
    modules = dict(net.named_modules())
    nodes: dict[Any, Op] = {}
    neutral: dict[nn.Module, dict[str, torch.Tensor]] = {}  # once for a layer that is used twice
    memory = Memory()
    output = None
    for node in traced.graph.nodes:
        read = nodes_in((node.args, {**node.kwargs, "out": None}))
        places = [source for source in read if source.op != "get_attr"]
        sources = [memory.now(place) for place in places]
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
            paths = [str(source.target) for source in read if source.op == "get_attr"]
            held = [(path, operator.attrgetter(path)(net)) for path in paths]
            weights = weights_by_role(kind, held)
        else:
            continue
        if kind in ("flatten", "reshape"):
            del sources[1:]  # they tell the sizes
        meta = node.meta.get("tensor_meta")
        shape = tuple(meta.shape) if meta else None
        nodes[node] = Op(kind, name, settings, sources, weights, shape)
        nodes.update(memory.note(node, places, kind, module))
    return in_order(nodes, output)


@contextmanager
def _in_evaluation(net: nn.Module) -> Iterator[None]:
    modes = [(layer, layer.training) for layer in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for layer, training in modes:
            layer.training = training


class _Proxy(fx.Proxy):
    """One that tells ``y += x`` and ``y[0] = x`` from ``y + x``, which torch.fx's own does not."""


def _recorded(function: Callable[..., Any]) -> Callable[..., Any]:
    def record(self: fx.Proxy, *arguments: Any) -> Any:
        return self.tracer.create_proxy("call_function", function, (self, *arguments), {})

    return record


for _name in OPERATORS:
    setattr(_Proxy, f"__{_name}__", _recorded(getattr(operator, _name)))

#: As it is while nothing is traced. torch.fx itself calls the ``forward`` of the net's class only.
_CALL = nn.Module.__call__


class _Tracer(fx.Tracer):
    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Proxy(node, self)

    def create_args_for_root(self, root_fn: Any, *args: Any, **kwargs: Any) -> Any:
        forward, inputs = super().create_args_for_root(root_fn, *args, **kwargs)
        net = inputs[0]
        return (_CALL if _hooks(net) or "forward" in vars(net) else forward), inputs

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return _class_of(module) is not None or super().is_leaf_module(module, name)


def _hooks(layer: nn.Module) -> list[Any]:
    kinds = ("_forward_pre_hooks", "_forward_hooks")
    return [hook for kind in kinds for hook in getattr(layer, kind).values()]


def _class_of(layer: nn.Module) -> type[nn.Module] | None:
    """What it is among the layers that are known."""
    return next((known for known in type(layer).__mro__ if known in LAYERS), None)


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
    """Kind and settings of a layer; also its hooks, and what it computes unlike its superclass."""
    kind, settings = _as_known(layer)
    hooks = _hooks(layer)
    if hooks:
        names = [getattr(hook, "__name__", type(hook).__name__) for hook in hooks]
        settings["hooks"] = ", ".join(names)
    return kind, settings


def _as_known(layer: nn.Module) -> Described:
    known = _class_of(layer)
    if known is None:
        return type(layer).__name__, {}
    signature = inspect.signature(known).parameters
    usual = {name: parameter.default for name, parameter in signature.items()}
    arguments = {name: getattr(layer, name) for name in usual if hasattr(layer, name)}
    kind, settings = described(
        LAYERS[known], {"input": None, **arguments}, {"input": None, **usual}, NO_NUMBER
    )
    for name in _computing(known):
        if getattr(getattr(layer, name), "__func__", None) is not getattr(known, name):
            settings[name] = f"{type(layer).__name__}'s own"
    return kind, settings


def _computing(known: type[nn.Module]) -> list[str]:
    """The methods on which the answer of a layer of PyTorch's may depend."""
    own = [base for base in known.__mro__ if base not in nn.Module.__mro__]
    methods = {
        name for base in own for name, value in vars(base).items() if inspect.isfunction(value)
    }
    return ["__call__", *sorted(methods - _NOT_COMPUTING)]


#: Methods that only build, check, print, or read and write the weights.
_NOT_COMPUTING = {
    *("__init__", "__setstate__", "_load_from_state_dict", "_save_to_state_dict"),
    *("reset_parameters", "reset_running_stats", "_check_input_dim", "extra_repr"),
}


def describe_call(node: fx.Node) -> Described:
    """Kind and settings of a node of a trace that calls a function or method."""
    describe = FUNCTIONS.get(node.target)
    if describe is None:
        named = {**{str(i): value for i, value in enumerate(node.args)}, **node.kwargs}
        return name_of_target(node), {
            key: value for key, value in named.items() if not nodes_in(value)
        }
    usual = dict.fromkeys(node.kwargs)
    return described(partial(describe, *node.args), node.kwargs, usual, NO_NUMBER)

"""Operations, and their order: what the lists of a Gluon net and of a PyTorch net share.

Operations stand in the order in which they are first needed on the way to the output, which does
not depend on names, on the order of attributes, or on how layers are nested.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
import inspect
from typing import Any, Callable, Collection, Dict, Mapping, Sequence, Tuple

from ..system.errors import Failure

#: Kind and settings of an operation.
Described = Tuple[str, Dict[str, Any]]

#: Settings that go without saying.
USUAL = {"dilation": 1, "groups": 1, "bias": True, "scale": True, "center": True}

#: Operations that change the shape at most, and no number.
_PASSED_OVER = {"flatten", "identity"}

#: Operations whose two inputs may be swapped, if they have no settings.
_COMMUTATIVE = {"add", "mul"}

NORMS = ("batch norm", "group norm", "instance norm", "layer norm")

#: Weights of an operation, in the order in which it takes them.
ROLES = {
    **dict.fromkeys(("conv", "transposed conv", "dense", *NORMS), ("weight", "bias")),
    "batch norm": ("weight", "bias", "running mean", "running var"),
    **dict.fromkeys(("prelu", "add", "sub", "mul", "div", "reshape"), ("weight",)),
}


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
    inputs: Sequence[Any]
    """Places in the list of the operations it reads, −1 is the net's input; before that, keys."""
    weights: dict[str, Any] = field(default_factory=dict)
    """``weight``, ``bias``, ``running mean``, ``running var``: Gluon parameters, torch tensors.

    Where no role is known: PyTorch's name of it; in Gluon ``parameter 1`` and so on.
    """
    shape: tuple[int, ...] | None = None
    """Of the output, if the input's shape was given."""

    def __str__(self) -> str:
        """Kind and settings, without those that are as usual."""
        parts = [self.kind]
        for key, value in self.settings.items():
            value = once(value)
            if isinstance(value, tuple):
                value = "×".join(map(str, value))
            if key not in USUAL or USUAL[key] != value:
                parts.append(f"{key} {value}")
        return ", ".join(parts)

    def __post_init__(self) -> None:
        """Count the axis of a concat from the first one, where the number of axes is known."""
        if self.kind == "concat" and self.shape and self.settings["axis"] < 0:
            self.settings["axis"] += len(self.shape)


def once(value: Any) -> Any:
    """The part of a tuple whose parts are all the same, such as 3 of (3, 3); else `value`."""
    alike = isinstance(value, tuple) and all(part == value[0] for part in value)
    return value[0] if alike and value else value


def described(
    describe: Callable[..., Described],
    arguments: Mapping[str, Any],
    usual: Mapping[str, Any],
    no_number: Collection[str],
) -> Described:
    """Kind and settings of an operation, by the names that its own library gives its arguments.

    `describe` translates the arguments that it takes. Each of the others is a setting under its
    own name, so that none goes unseen, but for those that are as `usual` or change no number.
    """
    taken = inspect.signature(describe).parameters
    kind, settings = describe(**{key: arguments[key] for key in arguments if key in taken})
    for key, value in arguments.items():
        if key in taken or key in no_number or (key in usual and usual[key] == value):
            continue
        settings[key] = value
    return kind, settings


def weights_by_role(kind: str, named: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """What an operation reads, in its order, by role; what has no role keeps its name."""
    roles = ROLES.get(kind, ())
    return {roles[i] if i < len(roles) else name: value for i, (name, value) in enumerate(named)}


def in_order(nodes: dict[Any, Op], output: Any) -> list[Op]:
    """The operations that `output` needs, each after its inputs, none that only reshapes.

    `nodes` read others by their keys, and stand behind those. What joins the outputs of joins
    counts as one join of all their inputs.
    """
    sources: dict[Any, list[Any]] = {}
    depth: dict[Any, int] = {}
    passed_on: dict[Any, Any] = {}  # by what changes no number: the operation that it comes from
    for key, node in nodes.items():
        inputs = [passed_on.get(source, source) for source in node.inputs]
        if node.kind == "concat":
            inputs = [part for source in inputs for part in _joined(source, node, nodes, sources)]
        elif node.kind in _COMMUTATIVE and not node.settings:  # take the longer branch first
            inputs.sort(key=lambda source: -depth.get(source, 0))
        hands_on = node.kind in _PASSED_OVER and not node.settings and inputs
        if hands_on or (node.kind == "concat" and len(inputs) == 1):
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
        places[key] = len(ops)
        read = tuple(places.get(source, -1) for source in sources[key])
        ops.append(replace(nodes[key], inputs=read))
    return ops


def _joined(
    source: Any, join: Op, nodes: dict[Any, Op], sources: dict[Any, list[Any]]
) -> list[Any]:
    """What `source` itself joins, if it does so along the axis of `join`; else `source`."""
    node = nodes.get(source)
    alike = node is not None and (node.kind, node.settings) == (join.kind, join.settings)
    return sources[source] if alike else [source]

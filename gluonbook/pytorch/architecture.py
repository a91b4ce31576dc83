"""The operations of a Gluon net and a PyTorch net, matched, with what differs."""

from __future__ import annotations

from dataclasses import dataclass, field
import difflib
from operator import attrgetter
from typing import Callable, Iterator

from mxnet import gluon
from torch import nn

from ..operations import Op, gluon_ops
from ..operations.ops import USUAL, once
from .operations import torch_ops


@dataclass
class Layer:
    """An operation of both nets, or of one that the other lacks."""

    torch: Op | None
    gluon: Op | None
    differences: list[str] = field(default_factory=list)

    @property
    def either(self) -> Op:
        """The operation, from the side that has it."""
        op = self.torch or self.gluon
        assert op is not None
        return op


def architecture(
    ours: gluon.Block, theirs: nn.Module, input_shape: tuple[int, ...] | None = None
) -> list[Layer]:
    """The operations of both nets in the order of computation, matched, with what differs.

    With `input_shape`, (N, C, H, W), the operations have the shapes of their outputs.
    """
    a, b = torch_ops(theirs, input_shape), gluon_ops(ours, input_shape)
    layers = list(_matched(a, b, str, attrgetter("kind")))
    gluon_place_of = {
        a.index(layer.torch): b.index(layer.gluon)
        for layer in layers
        if layer.torch and layer.gluon
    }
    gluon_place_of[-1] = -1
    for layer in layers:
        layer.differences = list(_differences(layer, gluon_place_of))
    return layers


def _matched(a: list[Op], b: list[Op], *keys: Callable[[Op], str]) -> Iterator[Layer]:
    """Pair the operations: those that the first key finds equal, and between them by the next."""
    key, *others = keys
    matcher = difflib.SequenceMatcher(None, list(map(key, a)), list(map(key, b)), autojunk=False)
    for tag, i, i_end, j, j_end in matcher.get_opcodes():
        if tag == "equal":
            yield from map(Layer, a[i:i_end], b[j:j_end])
        elif others:
            yield from _matched(a[i:i_end], b[j:j_end], *others)
        else:
            yield from (Layer(op, None) for op in a[i:i_end])
            yield from (Layer(None, op) for op in b[j:j_end])


def _differences(layer: Layer, gluon_place_of: dict[int, int]) -> Iterator[str]:
    theirs, ours = layer.torch, layer.gluon
    if ours is None:
        yield f"only in PyTorch: {layer.either.kind}"
        return
    if theirs is None:
        yield f"only in Gluon: {layer.either.kind}"
        return
    for key in {**theirs.settings, **ours.settings}:
        usual = USUAL.get(key, "default")
        x, y = (once(op.settings.get(key, usual)) for op in (theirs, ours))
        if x != y and str(x) != str(y):
            yield f"{key}: PyTorch {x}, Gluon {y}{_unless_alike(key, theirs, ours)}"
    sources = tuple(gluon_place_of.get(place, place) for place in theirs.inputs)
    matched = all(place in gluon_place_of for place in theirs.inputs)
    if matched and sources != ours.inputs:
        yield "reads other inputs"


def _unless_alike(key: str, theirs: Op, ours: Op) -> str:
    """What to add where only the number of axes tells whether two axes differ."""
    if key == "axis" and theirs.kind == ours.kind == "concat" and not theirs.shape:
        low, high = sorted((theirs.settings[key], ours.settings[key]))
        if low < 0 <= high:
            return f" (the same if the arrays have {high - low} axes)"
    return ""

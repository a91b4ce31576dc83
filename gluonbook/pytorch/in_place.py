"""Which numbers stand in a PyTorch net's memory, where some operations compute in place."""

from __future__ import annotations

import inspect
from typing import Any, Iterator

import torch
from torch import fx, nn

from ..operations import Op

#: Python's operators that change their first operand.
OPERATORS = (
    *("iadd", "isub", "imul", "imatmul", "itruediv", "ifloordiv", "imod", "ipow"),
    *("iand", "ior", "ixor", "ilshift", "irshift", "setitem"),
)

#: Kinds, and methods of a tensor, that may return the very numbers they were given without PyTorch
#: declaring it. A dropout does so in evaluation.
_HANDED_ON = ("identity", "flatten", "reshape", "Unflatten", "getitem", "float", "double", "cpu")


class Memory:
    """What has computed the numbers that stand where each node of a trace has put its own."""

    def __init__(self) -> None:
        self._first: dict[fx.Node, fx.Node] = {}  # of those whose numbers are in the same memory
        self._now: dict[fx.Node, Any] = {}

    def now(self, node: fx.Node) -> Any:
        """The key of the operation whose numbers stand in the place of those of `node`."""
        return self._now.get(node, node)

    def note(
        self, node: fx.Node, places: list[fx.Node], kind: str, module: nn.Module | None
    ) -> Iterator[tuple[Any, Op]]:
        """Take in the next node, which reads `places`.

        What shares memory with a place that it writes to, as a view does, may have changed in
        part. So whoever reads that from then on reads an operation of its own, which no other net
        has. These operations are given.
        """
        written = nodes_in(node.kwargs.get("out"))
        if places and _computes_in_place(node, module):
            written.append(places[0])
        self._first[node] = node
        for place in written:
            yield from self._overwrite(place, node)
        if written or (places and _is_view(node, kind)):
            source = [*written, *places][0]
            self._first[node] = self._first.setdefault(source, source)

    def _overwrite(self, place: fx.Node, by: fx.Node) -> Iterator[tuple[Any, Op]]:
        before, first = self.now(place), self._first.setdefault(place, place)
        for other in [node for node in self._first if self._first[node] is first]:
            if self.now(other) is before:
                self._now[other] = by
            else:
                kind = "changed in place through a view"
                yield (other, by), Op(kind, other.name, {}, [self.now(other), by])
                self._now[other] = (other, by)


def _computes_in_place(node: fx.Node, module: nn.Module | None) -> bool:
    if module is not None:
        return getattr(module, "inplace", False)
    name, given = name_of_target(node), node.kwargs
    if inspect.isfunction(node.target):
        given = inspect.signature(node.target).bind(*node.args, **node.kwargs).arguments
    return name in OPERATORS or name.endswith("_") or bool(given.get("inplace"))


def _is_view(node: fx.Node, kind: str) -> bool:
    """Whether its result may share memory with its first input."""
    if kind in _HANDED_ON or "dropout" in kind.lower():
        return True
    name = name_of_target(node)
    if name == "getattr":
        name = {"T": "numpy_T", "data": "detach"}.get(str(node.args[1]), str(node.args[1]))
    operators = None if node.op == "call_module" else getattr(torch.ops.aten, name, None)
    return operators is not None and any(
        returned.alias_info is not None and not returned.alias_info.is_write
        for overload in operators.overloads()
        for returned in getattr(operators, overload)._schema.returns
    )


def name_of_target(node: fx.Node) -> str:
    """The name of the function, method or layer that it calls."""
    return str(getattr(node.target, "__name__", node.target))


def nodes_in(arguments: Any) -> list[fx.Node]:
    """The nodes among arguments, which may be lists and mappings of them."""
    found: list[fx.Node] = []
    fx.node.map_arg(arguments, found.append)
    return found

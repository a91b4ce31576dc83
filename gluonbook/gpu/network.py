"""A net computed by the list of its operations, forward and backward."""

from __future__ import annotations

import math
from typing import Any, Callable, Mapping, Protocol, Sequence

from mxnet import nd

from .functions import Arrays, Function, Launcher, Unsupported, by_kernels, refusal, total


class Operation(Protocol):
    """What is asked of an operation: `gluonbook.operations.Op`."""

    @property
    def kind(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def settings(self) -> Mapping[str, Any]: ...

    @property
    def inputs(self) -> Sequence[int]:
        """Places in the list of the operations it reads; −1 is the net's input."""

    @property
    def weights(self) -> Mapping[str, Any]: ...

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Of the output, where that of the net's input was given."""


class Network:
    """The operations of a net, each with what computes it.

    An array that several operations read has a gradient for each; `backward` adds them up.

    Parameters
    ----------
    ops
        In order; the last one's output is the net's.
    functions
        What computes each.
    values_of
        The arrays of an operation's weights, on the device, with their ``grad``.
    kernels
        What adds arrays up.
    """

    def __init__(
        self,
        ops: Sequence[Operation],
        functions: Sequence[Function],
        values_of: Callable[[Operation], Arrays],
        kernels: Launcher,
    ) -> None:
        self._steps = list(zip(ops, functions))
        self._values_of, self._kernels = values_of, kernels
        self._last_reader = {place: i for i, op in enumerate(ops) for place in op.inputs}

    def forward(self, X: nd.NDArray, train: bool) -> nd.NDArray:
        """The net's output; with `train`, what `backward` needs is kept."""
        values = {-1: X}
        for i, (op, function) in enumerate(self._steps):
            inputs = [values[place] for place in op.inputs]
            values[i] = function.forward(inputs, self._values_of(op), train)
            for place in set(op.inputs):
                if self._last_reader[place] == i:
                    del values[place]
        return values[len(self._steps) - 1]

    def backward(self, gradient: nd.NDArray) -> None:
        """Write the gradients of all weights, given that of the last output."""
        gradients = {len(self._steps) - 1: gradient}
        for i in reversed(range(len(self._steps))):
            op, function = self._steps[i]
            for place, part in zip(op.inputs, function.backward(gradients.pop(i))):
                if place in gradients:
                    part = total(self._kernels, [gradients[place], part])
                gradients[place] = part


def functions_of(ops: Sequence[Operation], kernels: Launcher) -> list[Function]:
    """What computes each operation on a GPU that MXNet has no code for.

    Raises
    ------
    Unsupported
        If one of them is not computed there; names it.
    """
    seen: set[int] = set()
    for op in ops:
        reason = refusal(op.kind, op.settings, list(op.weights))
        if reason is None and not seen.isdisjoint(map(id, op.weights.values())):
            reason = f"{op.kind} with the weights of another layer"
        if reason is not None:
            raise _unsupported(op, reason)
        seen.update(map(id, op.weights.values()))
    return [by_kernels(op.kind, op.settings, kernels, is_first(op)) for op in ops]


def refuse_shapes(ops: Sequence[Operation], X: tuple[int, ...]) -> None:
    """Raise `Unsupported` if an operation is none on rows of N examples each.

    A list of operations tells nothing of what only reshapes, and kernels believe what sizes they
    are told. `X` is the shape of the input, by which `ops` know theirs.
    """

    def size(place: int) -> int:
        return math.prod((X if place < 0 else ops[place].shape) or ())

    for i, op in enumerate(ops):
        if op.shape is None or op.shape[0] != X[0]:
            raise _unsupported(op, f"{op.kind}, whose output is of shape {op.shape}")
        if op.kind == "add" and any(size(place) != size(i) for place in op.inputs):
            raise _unsupported(op, "add, of arrays of different sizes")


def _unsupported(op: Operation, reason: str) -> Unsupported:
    return Unsupported(
        f"the layer {op.name} ({reason}) is not computed on this GPU, which MXNet has no code for: "
        "train on the CPU, with --device cpu or ctx=mx.cpu()"
    )


def is_first(op: Operation) -> bool:
    """Whether it reads the net's input alone, whose gradient nothing needs."""
    return set(op.inputs) == {-1}

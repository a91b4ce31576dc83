"""What a GPU computes, held against the CPU, before it is believed.

Each operation is given the same inputs on both, so that the first one that is wrong is known by
name, and no difference comes from rounding in the operations before it.
"""

from __future__ import annotations

from contextlib import contextmanager
import os
from typing import Any, Container, Iterator, Sequence

import mxnet as mx
from mxnet import autograd, gluon, nd
import numpy as np

from ..system.errors import Failure, last_line
from ..system.messages import lacks_memory
from ..system.nvidia_driver import TF32
from .functions import (
    Arrays,
    CrossEntropy,
    Dropout,
    Function,
    Launcher,
    Ways,
    by_kernels,
    by_mxnet,
)
from .kernels import empty_like, kernels_on
from .network import Network, Operation, is_first


class Differs(Failure):
    """A GPU computes an operation otherwise than the CPU."""


def tolerance() -> float:
    """The greatest difference, as a share of the greatest value, that is put down to rounding."""
    return 1e-4 if os.environ.get(TF32) == "0" else 1e-2


class Checked:
    """A function on a GPU, and MXNet's operator on the CPU, on the same inputs.

    Parameters
    ----------
    dtype
        What the CPU computes in.

    Attributes
    ----------
    difference
        The first that was found, as a sentence; None if there is none.
    """

    def __init__(
        self, name: str, ours: Function, theirs: Function, dtype: type = np.float32
    ) -> None:
        self._name, self._ours, self._theirs, self._dtype = name, ours, theirs, dtype
        self.difference: str | None = None

    def forward(self, inputs: Arrays, weights: Arrays, train: bool) -> nd.NDArray:
        with _told(self._name):
            return self._forward(inputs, weights, train)

    def backward(self, gradient: nd.NDArray) -> Arrays:
        with _told(self._name):
            return self._backward(gradient)

    def _forward(self, inputs: Arrays, weights: Arrays, train: bool) -> nd.NDArray:
        copies = [self._on_the_cpu(x) for x in inputs]
        # oneDNN computes no gradient of a bias without that of its weight.
        some = any(w.grad is not None for w in weights)
        self._weights = weights
        self._copies = [
            _trained(self._on_the_cpu(w), w.grad is not None or some and w.ndim > 1)
            for w in weights
        ]
        self._terms = _mean_square(*copies)
        #: Otherwise the fault is in what the operation was given.
        self._given_numbers = np.isfinite(self._terms)
        expected = self._theirs.forward(copies, self._copies, train)
        output = self._ours.forward(inputs, weights, train)
        self._compare("output", output, expected)
        return output

    def _backward(self, gradient: nd.NDArray) -> Arrays:
        expected = self._theirs.backward(self._on_the_cpu(gradient))
        gradients = self._ours.backward(gradient)
        of_gradient = _mean_square(gradient)
        self._given_numbers &= np.isfinite(of_gradient)
        for ours, theirs in zip(gradients, expected):
            self._compare("gradient of the input", ours, theirs)
        for weight, copy in zip(self._weights, self._copies):
            if weight.grad is not None:
                # It is a sum of many terms, which can be nearly zero, as the gradient of a bias is
                # before a batch norm. What it is rounded by goes by the terms.
                number = gradient.size / gradient.shape[1]
                terms = of_gradient * (self._terms if copy.ndim > 1 else 1)
                scale = (terms * number) ** 0.5
                self._compare("gradient of a weight", weight.grad, copy.grad, scale)
        return gradients

    def _on_the_cpu(self, array: nd.NDArray) -> nd.NDArray:
        return array.copyto(mx.cpu()).astype(self._dtype, copy=False)

    def _compare(
        self, what: str, found: nd.NDArray, expected: nd.NDArray, scale: float = 0.0
    ) -> None:
        if self.difference is None and self._given_numbers:
            self.difference = difference(f"the {what} of {self._name}", found, expected, scale)


def difference(
    what: str, found: nd.NDArray, expected: nd.NDArray, scale: float = 0.0
) -> str | None:
    """How two arrays differ, as a sentence, or None if they agree.

    `scale` is what a difference is measured by, if that is more than the greatest value expected.
    """
    ours, theirs = found.asnumpy(), expected.asnumpy()
    if ours.shape != theirs.shape:
        return f"{what} is of shape {ours.shape} and the CPU's of {theirs.shape}"
    scale = max(scale, float(np.abs(theirs).max(initial=0)))
    apart = float(np.abs(ours - theirs).max(initial=0))
    if apart <= tolerance() * scale:
        return None
    return f"{what} differs from the CPU's by {apart:.2g} (of {scale:.2g})"


def check(
    ops: Sequence[Operation],
    functions: Sequence[Function],
    kernels: Launcher,
    X: nd.NDArray,
    labels: nd.NDArray | None,
    exactly: set[int],
) -> bool:
    """Compute a batch, its loss and all gradients, each operation beside the CPU's.

    In float32 the CPU rounds too: a sum of half a million terms, as batch norm takes it, by a
    thousandth. So if an operation differs, the CPU computes it again in float64, and its place
    joins `exactly`: operations at these places are compared in float64 from the start. One that can
    be computed in several ways goes on in the first that agrees.

    Without `labels`, only the outputs are computed. The net's parameters and running statistics
    stay as they are. What dropout leaves out is a matter of chance, so it is not compared; nor is a
    random number drawn, because a run that is resumed is checked anew.

    Returns
    -------
    Whether an operation goes on in another way than before. Batches of other sizes have not been
    checked in that one.

    Raises
    ------
    Differs
        Names the first operation that agrees with the CPU in no way, or fails.
    """
    changed = False
    while True:
        found = _differing(ops, functions, kernels, X, labels, exactly)
        if not found:
            return changed
        unsure = {i for i, _ in found if i is not None} - exactly
        if unsure:
            exactly |= unsure
            continue
        changed = True
        for i, sentence in found:
            function = None if i is None else functions[i]
            if not isinstance(function, Ways) or not function.try_another():
                raise Differs(sentence)


def _differing(
    ops: Sequence[Operation],
    functions: Sequence[Function],
    kernels: Launcher,
    X: nd.NDArray,
    labels: nd.NDArray | None,
    exactly: Container[int],
) -> list[tuple[int | None, str]]:
    """The places of the functions that differ, each with a sentence that says how.

    The loss has the place None. The CPU computes those of `exactly` in float64.
    """
    checked: list[Any] = list(functions)
    for i, op in enumerate(ops):
        if op.kind == "dropout":
            checked[i] = Dropout(kernels, op.settings["rate"], seed=lambda: 0)
        else:
            theirs = by_mxnet(op.kind, op.settings, is_first(op))
            dtype = np.float64 if i in exactly else np.float32
            checked[i] = Checked(op.name, functions[i], theirs, dtype)
    values = {
        id(param): _trained(data.copyto(X.context), data.grad is not None)
        for op in ops
        for param in op.weights.values()
        for data in [param.data(X.context)]
    }

    def copies(op: Operation) -> Arrays:
        return [values[id(param)] for param in op.weights.values()]

    network = Network(ops, checked, copies, kernels)
    found: list[tuple[int | None, str | None]] = []
    of_the_loss: list[tuple[None, str | None]] = []
    logits = network.forward(X, train=labels is not None)
    if labels is not None:
        loss = CrossEntropy(kernels)
        losses, theirs = loss.forward(logits, labels)[0], logits.copyto(mx.cpu())
        gradient = loss.backward()
        autograd.mark_variables([theirs], [empty_like(theirs)])
        with autograd.record():
            rows = theirs.reshape((len(X), -1))
            expected = gluon.loss.SoftmaxCrossEntropyLoss()(rows, labels.copyto(mx.cpu()))
        expected.backward()
        if np.isfinite(_mean_square(logits)):
            of_the_loss = [
                (None, difference("the softmax cross-entropy", losses, expected)),
                (None, difference("its gradient", gradient, theirs.grad)),
            ]
        network.backward(gradient)
    for i, each in enumerate(checked):
        if isinstance(each, Checked):
            found.append((i, each.difference))
    found += of_the_loss
    return [(place, sentence) for place, sentence in found if sentence is not None]


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Say of an error of MXNet's which operation it is of, unless it is memory that lacks."""
    try:
        yield
    except mx.base.MXNetError as error:
        if lacks_memory(error):
            raise
        raise Differs(f"{name} fails: {last_line(error)}") from error


def _mean_square(*arrays: nd.NDArray) -> float:
    return float(np.mean([np.square(array.asnumpy()).mean() for array in arrays]))


def _trained(array: nd.NDArray, has_gradient: bool) -> nd.NDArray:
    if has_gradient:
        autograd.mark_variables([array], [empty_like(array)])
    return array


def fault(ctx: mx.Context) -> str | None:
    """Why a GPU that MXNet has no code for cannot train, or None if a small net is right there."""
    random = np.random.RandomState(0)

    def array(*shape: int) -> nd.NDArray:
        return nd.array(random.uniform(-1, 1, shape), ctx=ctx)

    def trained(*shape: int) -> nd.NDArray:
        values = array(*shape)
        autograd.mark_variables([values], [empty_like(values)])
        return values

    window: dict[str, Any] = {"kernel": (3, 3), "stride": (1, 1), "padding": (1, 1)}
    conv = {**window, "channels": 4, "dilation": (1, 1), "groups": 1, "bias": True}
    cases = [
        ("conv", conv, [array(2, 3, 8, 8)], [trained(4, 3, 3, 3), trained(4)]),
        ("dense", {"units": 5, "bias": True}, [array(4, 6)], [trained(5, 6), trained(5)]),
    ]
    try:
        kernels = kernels_on(ctx)
        for kind, settings, inputs, weights in cases:
            ours, theirs = by_kernels(kind, settings, kernels), by_mxnet(kind, settings)
            while True:
                checked = Checked(f"a {kind}", ours, theirs, np.float64)
                output = checked.forward(inputs, weights, train=True)
                checked.backward(array(*output.shape))
                if checked.difference is None:
                    break
                if not isinstance(ours, Ways) or not ours.try_another():
                    return checked.difference
    except (mx.base.MXNetError, Differs) as error:
        return last_line(error)
    return None

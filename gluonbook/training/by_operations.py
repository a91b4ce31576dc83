"""A net computed operation by operation, on a GPU that MXNet has no machine code for."""

from __future__ import annotations

import logging
from typing import Any, Callable, NamedTuple, Sequence

import mxnet as mx
from mxnet import gluon, nd
import numpy as np

from ..data.batches import BatchError, SplitBatch
from ..gpu.check import Differs, check
from ..gpu.device import tell_what_works_on
from ..gpu.functions import Arrays, CrossEntropy, Unsupported
from ..gpu.kernels import kernels_on
from ..gpu.network import Network, Operation, functions_of
from ..gpu.stand_ins import OPTIMIZERS
from ..operations import gluon_ops
from ..system import mxnet_private
from .graphs import Figures, Graphs, Inference, Outcome, check_labels

log = logging.getLogger("gluonbook")

_MEND = "train on the CPU, with --device cpu or ctx=mx.cpu()"


class ByOperations:
    """Computes `net`, and softmax cross-entropy, on one GPU.

    Before the first step on batches of a size, all that it computes of one is held against the CPU.
    If they differ, one warning says where, and the net is moved to the CPU and trained there.

    Raises
    ------
    Unsupported
        If the net, the loss or the devices are none that are computed in this way; says which.
        Later, if the optimizer is none.
    Differs
        Outside of training, if the outputs differ from the CPU's.
    TraceError
        If the net cannot be traced.
    """

    def __init__(
        self,
        net: gluon.Block,
        loss: Callable[..., Any],
        ctxs: Sequence[mx.Context],
        *,
        alone: bool = True,
    ) -> None:
        plain = gluon.loss.SoftmaxCrossEntropyLoss()
        settings = mxnet_private.settings_of_loss
        if type(loss) is not type(plain) or settings(loss) != settings(plain):
            raise Unsupported(
                f"{type(loss).__name__} as it is given is not computed on {ctxs[0]}, which MXNet "
                f"has no code for: there the loss is SoftmaxCrossEntropyLoss(); or {_MEND}"
            )
        if len(ctxs) > 1 or not alone:
            raise Unsupported(
                f"{ctxs[0]}, which MXNet has no code for, cannot share a batch with other devices "
                "or workers: train on it alone, with --device gpu or ctx=mx.gpu(0)"
            )
        if mxnet_private.amp_is_on():
            raise Unsupported(f"AMP is on, and {ctxs[0]} computes in float32 alone: restart Python")
        self._net, self._loss, [self._ctx] = net, loss, ctxs
        tell_what_works_on(self._ctx)
        self._kernels = kernels_on(self._ctx)
        self._ops = gluon_ops(net)
        self._functions = functions_of(self._ops, self._kernels)
        self._network = Network(self._ops, self._functions, self._values, self._kernels)
        # Shapes of batches, each of which cuDNN chooses algorithms for.
        self._checked: set[tuple[int, ...]] = set()
        self._checked_outputs: set[tuple[int, ...]] = set()
        self._on_the_cpu: Graphs | None = None

    def train(self, parts: SplitBatch, trainer: gluon.Trainer) -> list[Outcome]:
        """The outcome of a batch; leaves the gradients in the parameters."""
        [(X, y)] = parts
        if self._on_the_cpu is None and X.shape not in self._checked:
            self._prepare(X)
            self._check(X, y, trainer)
        if self._on_the_cpu is not None:
            moved = [(X.as_in_context(mx.cpu()), y.as_in_context(mx.cpu()))]
            return self._on_the_cpu.train(moved, trainer)
        logits = self._network.forward(X, train=True)
        shape = _rows_of(logits)
        check_labels(shape, y.shape)
        loss = CrossEntropy(self._kernels)
        rows = loss.forward(logits, _class_numbers(y))
        self._network.backward(loss.backward())
        return [_Rows(_Counted(rows, y), shape[1], num_examples=len(y))]

    def inference(self, ctxs: Sequence[mx.Context]) -> Inference:
        """The forward pass outside of training: logits (N, classes)."""
        if self._on_the_cpu is not None:
            infer = self._on_the_cpu.inference([mx.cpu()])
            return lambda X: infer(X.as_in_context(mx.cpu()))

        def answer(X: nd.NDArray) -> nd.NDArray:
            if X.shape not in self._checked | self._checked_outputs:
                self._prepare(X)
                check(self._ops, self._functions, self._kernels, X, None)
                self._checked_outputs.add(X.shape)
            logits = self._network.forward(X, train=False)
            return logits.reshape(_rows_of(logits))

        return answer

    def _values(self, op: Operation) -> Arrays:
        return [param.data(self._ctx) for param in op.weights.values()]

    def _prepare(self, X: nd.NDArray) -> None:
        """Give the parameters their shapes, which the first batch tells."""
        if X.dtype != np.float32:
            raise BatchError(
                f"images of {np.dtype(X.dtype).name} are not computed on {self._ctx}, which MXNet "
                "has no code for: give them as float32"
            )
        waiting = [
            param
            for param in self._net.collect_params().values()
            if mxnet_private.waits_for_its_shape(param)
        ]
        if waiting:
            self._net.infer_shape(X)
        for param in waiting:
            mxnet_private.stop_waiting(param)

    def _check(self, X: nd.NDArray, y: nd.NDArray, trainer: gluon.Trainer) -> None:
        if type(trainer.optimizer) not in OPTIMIZERS:
            known = " and ".join(each.__name__ for each in OPTIMIZERS)
            raise Unsupported(
                f"the optimizer {type(trainer.optimizer).__name__} is not computed on {self._ctx}, "
                f"which MXNet has no code for: there are {known}; or {_MEND}"
            )
        check_labels(_rows_of(self._network.forward(X, train=False)), y.shape)
        try:
            check(self._ops, self._functions, self._kernels, X, _class_numbers(y))
            self._checked.add(X.shape)
        except Differs as error:
            log.warning("%s on %s: the CPU trains", error, self._ctx)
            self._net.collect_params().reset_ctx(mx.cpu())
            mxnet_private.move(trainer, mx.cpu())
            self._on_the_cpu = Graphs(self._net, self._loss)


class _Counted(NamedTuple):
    rows: nd.NDArray
    """Losses in the first row, in the second the classes that were answered."""
    labels: nd.NDArray


class _Rows(Outcome):
    """An outcome whose sums are taken once they are read, in float64."""

    def read(self) -> Figures:
        losses, answers = self.figures.rows.asnumpy().astype(np.float64)
        labels = self.figures.labels.asnumpy().reshape(-1).astype(np.float64)
        return Figures(
            float((answers == labels).sum()),
            float(labels.min()),
            float(labels.max()),
            float((labels - np.floor(labels)).sum()),
            float(losses.sum()),
        )


def _rows_of(logits: nd.NDArray) -> tuple[int, int]:
    return len(logits), logits.size // len(logits)


def _class_numbers(y: nd.NDArray) -> nd.NDArray:
    """Labels as the kernel takes them, int32 on their device; fractions are refused later."""
    if y.dtype == np.int32:
        return y
    return nd.array(y.asnumpy().astype(np.int32), ctx=y.context, dtype=np.int32)

"""A net computed operation by operation, on a GPU that MXNet has no machine code for."""

from __future__ import annotations

import logging
from typing import Any, Callable, NamedTuple, Sequence

import mxnet as mx
from mxnet import autograd, gluon, nd
import numpy as np

from ..data.batches import BatchError, SplitBatch
from ..gpu.check import Differs, check
from ..gpu.device import tell_what_works_on
from ..gpu.functions import Arrays, CrossEntropy, Unsupported
from ..gpu.kernels import kernels_on
from ..gpu.network import Network, Operation, functions_of, refuse_shapes
from ..gpu.stand_ins import OPTIMIZERS
from ..operations import fingerprint, gluon_ops, trace
from ..system import mxnet_private
from .graphs import Figures, Graphs, Inference, Outcome, check_labels

log = logging.getLogger("gluonbook")

_MEND = "train on the CPU, with --device cpu or ctx=mx.cpu()"


class ByOperations:
    """Computes `net`, and softmax cross-entropy, on one GPU.

    Before the first step on batches of a size, and before the first evaluation, all that it
    computes of one is held against the CPU. If they differ, one warning says where, and the net is
    moved to the CPU and trained there.

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
        has_hooks = mxnet_private.has_hooks
        if not mxnet_private.is_plain_cross_entropy(loss):
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
        hooked: list[str] = []
        net.apply(lambda block: hooked.append(block.name) if has_hooks(block) else None)
        if hooked:
            raise Unsupported(
                f"the hooks of the layer {hooked[0]} are not called on {ctxs[0]}, which MXNet has "
                f"no code for: detach them, or {_MEND}"
            )
        self._net, self._loss, [self._ctx] = net, loss, ctxs
        tell_what_works_on(self._ctx)
        self._kernels = kernels_on(self._ctx)
        self._ops = gluon_ops(net)
        self._functions = functions_of(self._ops, self._kernels)
        self._network = Network(self._ops, self._functions, self._values, self._kernels)
        #: The shapes of the net's output, by those of batches.
        self._outputs: dict[tuple[int, ...], tuple[int, ...]] = {}
        #: Shapes of batches, each of which cuDNN chooses algorithms for, and whether in training.
        self._checked: set[tuple[tuple[int, ...], bool]] = set()
        #: Places of operations that the CPU computes in float64 in every check.
        self._exactly: set[int] = set()
        self._trainer: gluon.Trainer | None = None
        self._on_the_cpu: Graphs | None = None

    def train(self, parts: SplitBatch, trainer: gluon.Trainer) -> list[Outcome]:
        """The outcome of a batch; leaves the gradients in the parameters."""
        [(X, y)] = parts
        if self._on_the_cpu is None:
            self._prepare(X)
            if (X.shape, True) not in self._checked:
                self._refuse_training(trainer)
                self._trainer = trainer
                self._check(X, y)
        if self._on_the_cpu is not None:
            moved = [(X.as_in_context(mx.cpu()), y.as_in_context(mx.cpu()))]
            return self._on_the_cpu.train(moved, trainer)
        shape = self._outputs[X.shape]
        check_labels(shape, y.shape)
        logits = self._network.forward(X, train=True)
        loss = CrossEntropy(self._kernels)
        rows = loss.forward(logits, _class_numbers(y))
        self._network.backward(loss.backward())
        return [_Rows(_Counted(rows, y), shape[1], num_examples=len(y))]

    def inference(self, ctxs: Sequence[mx.Context]) -> Inference:
        """The forward pass outside of training: what the net itself gives."""
        infer: Inference | None = None

        def answer(X: nd.NDArray) -> nd.NDArray:
            nonlocal infer
            if self._on_the_cpu is None:
                self._prepare(X)
                if (X.shape, False) not in self._checked:
                    self._check(X, None)
            if self._on_the_cpu is not None:
                infer = infer or self._on_the_cpu.inference([mx.cpu()])
                return infer(X.as_in_context(mx.cpu()))
            return self._network.forward(X, train=False).reshape(self._outputs[X.shape])

        return answer

    def _values(self, op: Operation) -> Arrays:
        return [param.data(self._ctx) for param in op.weights.values()]

    def _prepare(self, X: nd.NDArray) -> None:
        """Give the parameters their shapes, and find the outputs', which the first batch tells."""
        if X.dtype != np.float32:
            raise BatchError(
                f"images of {np.dtype(X.dtype).name} are not computed on {self._ctx}, which MXNet "
                'has no code for: give float32 to a net in float32, net.cast("float32")'
            )
        if X.shape in self._outputs:
            return
        waiting = [
            param
            for param in self._net.collect_params().values()
            if mxnet_private.waits_for_its_shape(param)
        ]
        if waiting:
            self._net.infer_shape(X)
        for param in waiting:
            mxnet_private.stop_waiting(param)
        refuse_shapes(gluon_ops(self._net, X.shape), X.shape)
        _, [self._outputs[X.shape]], _ = trace(self._net).infer_shape(data=X.shape)

    def _refuse_training(self, trainer: gluon.Trainer) -> None:
        """Raise `Unsupported` if it is not the training that is computed here; says what is."""
        if type(trainer.optimizer) not in OPTIMIZERS:
            known = " and ".join(each.__name__ for each in OPTIMIZERS)
            raise Unsupported(
                f"the optimizer {type(trainer.optimizer).__name__} is not computed on {self._ctx}, "
                f"which MXNet has no code for: there are {known}; or {_MEND}"
            )
        for name, param in self._net.collect_params().items():
            if param.grad_req == "add":
                raise Unsupported(
                    f"the parameter {name} adds up its gradients (grad_req 'add'), which is not "
                    f"computed on {self._ctx}: set grad_req to 'write', or {_MEND}"
                )
        outputs = self._net(mx.sym.var("data"))
        if isinstance(outputs, (list, tuple)) and len(outputs) > 1:
            raise BatchError(
                f"the net has {len(outputs)} outputs and {type(self._loss).__name__} takes one: "
                "train it on the CPU, by gluonbook.train with gluonbook.AuxiliaryLoss()"
            )
        with autograd.train_mode():
            in_training = fingerprint(self._net)
        if in_training != fingerprint(self._net):
            raise Unsupported(
                f"the net has other operations in training than outside of it, which {self._ctx} "
                f"does not compute: {_MEND}"
            )

    def _check(self, X: nd.NDArray, y: nd.NDArray | None) -> None:
        """Hold a batch against the CPU, in training if there are labels; move there if it differs.

        A batch that will be refused for its images or labels is left alone: it would differ.
        """
        if y is not None:
            shape = self._outputs[X.shape]
            check_labels(shape, y.shape)
            labels = y.asnumpy()
            if not np.isin(labels, np.arange(shape[1])).all():
                return
        if not np.isfinite(X.asnumpy()).all():
            return
        labels_there = None if y is None else _class_numbers(y)
        try:
            changed = check(
                self._ops, self._functions, self._kernels, X, labels_there, self._exactly
            )
            if changed:
                self._checked.clear()
            self._checked.add((X.shape, y is not None))
        except Differs as error:
            if self._trainer is None:
                told = f"{error} on {self._ctx}: compute on the CPU, with ctx=mx.cpu()"
                raise Differs(told) from error
            log.warning("%s on %s: the CPU trains", error, self._ctx)
            self._net.collect_params().reset_ctx(mx.cpu())
            mxnet_private.move(self._trainer, mx.cpu())
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


def _class_numbers(y: nd.NDArray) -> nd.NDArray:
    """Labels as the kernel takes them, int32 on their device; fractions are refused later."""
    if y.dtype == np.int32:
        return y
    return nd.array(y.asnumpy().astype(np.int32), ctx=y.context, dtype=np.int32)

"""The computation of one batch, in training and in inference, as one graph where possible."""

from __future__ import annotations

from contextlib import suppress
import gc
import json
import logging
from typing import Any, Callable, NamedTuple, Sequence
import warnings
import weakref

import mxnet as mx
from mxnet import autograd, gluon, nd
from mxnet.gluon import HybridBlock
import numpy as np

from ..data.batches import BatchError, SplitBatch
from ..nets.auxiliary import AuxiliaryLoss, answer_of
from ..system import mxnet_private
from ..system.few_channels import for_training
from ..system.nvidia_driver import lacks_code
from ..system.onednn import separated
from .loss_scaling import scaled

log = logging.getLogger("gluonbook")


class Figures(NamedTuple):
    """Numbers read from a part of a batch, in the order in which they are computed."""

    correct: float
    """Number of labels that the net answered rightly."""
    least: float
    """Of the labels, as is `greatest`."""
    greatest: float
    fraction: float
    """Sum of the fractional parts of the labels; not 0 if any label is not a whole number."""
    loss: float = 0.0
    """Sum of the losses."""


class Outcome(NamedTuple):
    """What a step computes from a part of a batch. The device may still be computing it."""

    figures: nd.NDArray
    """The `Figures`, as one array."""
    num_classes: int
    losses: Any = None
    """One for each example, (N,) or more, or one for all, (1,)."""
    num_examples: int = 0
    """Number of examples that the losses are of."""

    @property
    def weight(self) -> float:
        """The factor of the sum of the losses with which each example counts once."""
        return 1.0 if self.losses is None else self.num_examples / self.losses.size

    def read(self) -> Figures:
        """The figures; waits until they are computed."""
        return Figures(*self.figures.asnumpy().tolist())


#: What a training step does with one part of a batch, X and y.
Step = Callable[[nd.NDArray, nd.NDArray], Outcome]
#: The forward pass outside of training.
Inference = Callable[[nd.NDArray], Any]


class Graphs:
    """Computes a net by MXNet, as one graph where possible."""

    def __init__(self, net: gluon.Block, loss: Callable[..., Any]) -> None:
        self._net, self._step = net, step_of(net, loss)

    def train(self, parts: SplitBatch, trainer: gluon.Trainer) -> list[Outcome]:
        """The outcomes of a batch; leaves the gradients in the parameters."""
        with autograd.record():
            outcomes = [self._step(X, y) for X, y in parts]
            losses = scaled([outcome.losses for outcome in outcomes], trainer)
        autograd.backward(losses)
        return outcomes

    def inference(self, ctxs: Sequence[mx.Context]) -> Inference:
        """The forward pass, with the weights that the net has now."""
        return inference_of(self._net, ctxs)


def step_of(net: gluon.Block, loss: Callable[..., Any]) -> Step:
    """The forward pass of a training step.

    A hybridized net is put into one graph with its loss and the count of right answers, whose
    memory is planned once for each device and batch size; `net` itself stays as it is. Anything
    else (a net that is not hybridized, has hooks or a `forward` of its own, or can't be traced; a
    loss that is a plain function, or your own block and not hybridized) is called as it is, with
    the same numbers.

    A net may have several outputs. `loss` takes them all, and right answers are counted in the
    first. The graph's memory is freed with the function that is returned.
    """
    free_unused_nets(net)
    if _is_graph(net) and _is_graph(loss):
        graph = _Graph(net, loss)
        try:
            graph(mx.sym.var("data"), mx.sym.var("label"))
        except Exception:  # a net may do anything with a symbol
            return _plain(net, loss)
        graph.hybridize(static_alloc=True, static_shape=True)
        step = _OneGraph(graph, net)
        _free_with(step, graph)
        return step
    return _plain(net, loss)


#: How many images of the first batch the fused graph and the net must agree on, and how well:
#: the greatest difference as a share of the greatest output. A wrong fusion differs by far more,
#: float32 rounding by about 1e-6. An operator of MXNet's may fail when it is called again only.
_COMPARED, CALLS, _TOLERANCE = 16, 3, 1e-4


def inference_of(net: gluon.Block, ctxs: Sequence[mx.Context]) -> Inference:
    """The forward pass outside of training, with the weights that `net` has now.

    On the CPU, in a hybridized net, oneDNN computes a convolution with the batch norm, ReLU and
    sum that follow as one operator. The first call compares with `net` itself, which is used
    if the numbers are not the same, or if the net can't be fused. On one device the graph is
    planned once, and keeps the weights as oneDNN has laid them out. Of several outputs of a net
    only the first is computed there. The graph's memory is freed with the function that is
    returned.
    """
    free_unused_nets(net)
    fused = _fused(net) if all(ctx.device_type == "cpu" for ctx in ctxs) else None
    if fused is None:
        return net
    one_device = len(ctxs) == 1
    chosen: gluon.Block | None = None

    def infer(X: nd.NDArray) -> nd.NDArray:
        nonlocal chosen
        if chosen is None:
            chosen = net
            # Dense after a global pooling of a single pixel fails where the shape is static.
            for static_shape in (True, False) if one_device else (False,):
                fused.hybridize(static_alloc=one_device, static_shape=static_shape)
                if _agree(fused, net, X[:_COMPARED]):
                    chosen = fused
                    break
        return chosen(X)

    _free_with(infer, fused)
    return infer


def _fused(net: gluon.Block) -> gluon.SymbolBlock | None:
    """`net` with oneDNN's fused operators, sharing its parameters, or None."""
    if not _is_graph(net):
        return None
    data = mx.sym.var("data", dtype="float32")
    try:
        symbol = answer_of(net(data))
        params = net.collect_params()
        nodes = json.loads(symbol.tojson())["nodes"]
        if any(node["op"].startswith("_sg_mkldnn") for node in nodes):  # such as a net in int8
            return None
        activations = {node["attrs"]["act_type"] for node in nodes if node["op"] == "Activation"}
        # A convolution with another activation than ReLU inside is slower than the two apart.
        if activations - {"relu"} or any(
            np.dtype(param.dtype) != np.float32 for param in params.values()
        ):
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # types that are still to be inferred
            return gluon.SymbolBlock(
                separated(symbol).get_backend_symbol("MKLDNN"), data, params=params
            )
    except Exception as error:  # a net may do anything with a symbol
        log.debug("the net is not fused: %s", error)
        return None


def _agree(fused: gluon.Block, net: gluon.Block, X: nd.NDArray) -> bool:
    expected = answer_of(net(X)).astype("float32").asnumpy()
    try:
        for _ in range(CALLS):
            found = fused(X).astype("float32").asnumpy()
    except mx.base.MXNetError as error:
        log.debug("the fused net does not run: %s", error)
        return False
    with np.errstate(invalid="ignore"):  # NumPy 2 warns of an infinite tolerance
        return np.allclose(found, expected, rtol=0, atol=_TOLERANCE * np.abs(expected).max())


# --- what is freed, and when ------------------------------------------------------------------

#: Nets that a step or an inference has been made of.
_used: weakref.WeakSet[gluon.Block] = weakref.WeakSet()


def free_unused_nets(net: object) -> None:
    """Free the nets that nothing refers to any more, before a new one takes memory.

    A block of MXNet's refers to itself, so that only Python's collector frees it, with its
    parameters and graphs. That runs by the number of objects, and a net is few and large ones.
    """
    if isinstance(net, gluon.Block) and net not in _used:
        gc.collect()
        _used.add(net)


def _free_with(user: object, graph: HybridBlock) -> None:
    """Free the memory of `graph` as soon as nothing refers to `user`, which calls it."""
    weakref.finalize(user, _free, graph).atexit = False


def _free(graph: HybridBlock) -> None:
    mxnet_private.free_graph(graph)
    if isinstance(graph, _Graph):  # MXNet keeps a reference to the last block that called a loss
        graph.parts = ()


def _is_graph(block: object) -> bool:
    """Whether no batch calls its Python code: it is hybridized, or a loss of MXNet's or ours."""
    return (
        isinstance(block, HybridBlock)
        and (
            mxnet_private.is_hybridized(block)
            or type(block).__module__ == gluon.loss.__name__
            or (type(block) is AuxiliaryLoss and _is_graph(block.loss))
        )
        and type(block).forward in (HybridBlock.forward, gluon.SymbolBlock.forward)
        and not mxnet_private.has_hooks(block)
    )


def check_labels(outputs: tuple[int, ...], labels: tuple[int, ...]) -> None:
    """Raise a `BatchError` unless there is one label for each answer of the net.

    `outputs` is the shape (N, classes, …), `labels` (N, …); axes of length 1 may be more or fewer.
    """
    answers = outputs[:1] + outputs[2:]
    fits = [n for n in answers if n != 1] == [n for n in labels if n != 1]
    if len(outputs) < 2 or outputs[1] < 2 or not fits:
        raise BatchError(
            f"labels of shape {labels} cannot be compared with outputs of shape {outputs}: outputs "
            "are (N, classes, ...), two classes or more; labels are their numbers, not one-hot rows"
        )


class _Answers(HybridBlock):
    """From outputs (N, classes, …) and labels (N, …), the `Figures` without the loss, (4,)."""

    def hybrid_forward(self, F: Any, y_hat: Any, y: Any) -> Any:
        # In float32, whatever the outputs are: bfloat16 does not know all class numbers apart.
        labels = F.cast(F.reshape(y, shape=(-1,)), "float32")
        answers = F.cast(F.reshape(F.argmax(y_hat, axis=1), shape=(-1,)), "float32")
        return F.concat(
            F.sum(F.elemwise_sub(answers, labels) == 0),
            F.min(labels),
            F.max(labels),
            F.sum(labels - F.floor(labels)),
            dim=0,
        )


_answers = _Answers()
_answers.hybridize()


def answers(outputs: Any, y: nd.NDArray) -> Outcome:
    """How many of the `outputs` (N, classes, …) are greatest at their label `y` (N, …).

    Of several outputs, the first is the answer.

    Raises
    ------
    BatchError
        If there is not one label for each answer.
    """
    y_hat = answer_of(outputs)
    check_labels(y_hat.shape, y.shape)
    if lacks_code(y.context):  # what counts them is MXNet's
        y_hat, y = y_hat.as_in_context(mx.cpu()), y.as_in_context(mx.cpu())
    return Outcome(_answers(y_hat, y), y_hat.shape[1])


def _plain(net: gluon.Block, loss: Callable[..., Any]) -> Step:
    def step(X: nd.NDArray, y: nd.NDArray) -> Outcome:
        outputs = net(X)
        with autograd.pause():
            outcome = answers(outputs, y)
        if answer_of(outputs) is not outputs and type(loss).__module__ == gluon.loss.__name__:
            raise BatchError(
                f"the net has {len(outputs)} outputs and {type(loss).__name__} takes one: train "
                "it by gluonbook.train with gluonbook.AuxiliaryLoss()"
            )
        losses = loss(outputs, y)
        with autograd.pause():
            total = losses.astype("float32").sum()
            figures = nd.concat(outcome.figures, total, dim=0)
        return _outcome(losses, figures, outcome.num_classes, y)

    return step


class _OneGraph:
    """The step of a net that is in one graph with its loss."""

    def __init__(self, graph: HybridBlock, net: HybridBlock) -> None:
        self.graph, self._net = graph, net

    def __call__(self, X: nd.NDArray, y: nd.NDArray) -> Outcome:
        try:
            losses, figures, y_hat = self.graph(X, y)
        except (mx.base.MXNetError, ValueError):
            with suppress(mx.base.MXNetError):
                answer = answer_of(self._net(mx.sym.var("data")))
                _, [shape], _ = answer.infer_shape_partial(data=X.shape)
                check_labels(shape, y.shape)
            raise
        check_labels(y_hat.shape, y.shape)
        return _outcome(losses, figures, y_hat.shape[1], y)


def _outcome(losses: nd.NDArray, figures: nd.NDArray, num_classes: int, y: nd.NDArray) -> Outcome:
    one_for_all = losses.size == 1
    return Outcome(figures, num_classes, losses, len(y) if one_for_all else len(losses))


class _Graph(HybridBlock):
    """A net and its loss; owns neither, so that hybridizing it leaves them as they are."""

    def __init__(self, net: HybridBlock, loss: HybridBlock) -> None:
        super().__init__()
        self.parts: tuple[HybridBlock, ...] = (net, loss)

    def collect_params(self, select: str | None = None) -> gluon.ParameterDict:
        params = gluon.ParameterDict()
        for part in self.parts:
            params.update(part.collect_params(select))
        return params

    def hybrid_forward(self, F: Any, x: Any, y: Any) -> tuple[Any, Any, Any]:
        net, loss = self.parts
        outputs = for_training(net(x), net.collect_params())
        losses, y_hat = loss(outputs, y), F.BlockGrad(answer_of(outputs))
        total = F.sum(F.cast(F.BlockGrad(losses), "float32"))
        return losses, F.concat(_answers(y_hat, y), total, dim=0), y_hat

"""The book's functions that train and evaluate: each gives the loop what it works with."""

from __future__ import annotations

from contextlib import ExitStack
import functools
import os
from typing import Any, Callable, Iterable, Sequence, TypeVar, cast

import mxnet as mx
from mxnet import gluon, nd
import numpy as np

from .distributed.workers import workers
from .from_scratch import sgd
from .runs.checkpoint import Checkpoint
from .runs.folder import RunFolder, leaving_net
from .runs.history import History
from .system import mxnet_private
from .system.errors import one_line_if_stopped
from .system.numpy_mode import refuse_numpy_mode
from .training.computation import computation_of, inference_on
from .training.epochs import Epoch
from .training.graphs import answers
from .training.loop import accuracy_of, fit
from .training.run import Keeper, Run
from .training.tuned import SmoothedCrossEntropy


def train_ch3(
    net: Callable[[nd.NDArray], nd.NDArray],
    train_iter: Iterable[Any],
    test_iter: Iterable[Any],
    loss: Callable[[nd.NDArray, nd.NDArray], nd.NDArray],
    num_epochs: int,
    batch_size: int,
    params: Iterable[nd.NDArray] | None = None,
    lr: float | None = None,
    trainer: gluon.Trainer | None = None,
) -> History:
    """Train a classifier on the CPU and print one line per epoch (sections on softmax regression).

    `net` and `loss` may be plain functions. Without a `trainer`, `params` are changed by `sgd`
    with the learning rate `lr`. The other parameters, the result and the errors are those of
    `train_ch5`.

    Raises
    ------
    ValueError
        Also if there is neither a `trainer` nor both `params` and `lr`.
    """
    refuse_numpy_mode()
    if trainer is None:
        if params is None or lr is None:
            raise ValueError("give either a trainer, or params and lr")
        trainer = _ByHand(params, lr)
    history = History()
    known = _is_cross_entropy(loss)
    run = Run(net, train_iter, trainer, [mx.cpu()], workers(), history, cross_entropy=known)
    computation = computation_of(net, loss, run.ctxs)
    fit(run, test_iter, computation, num_epochs, batch_size, line=Epoch.without_time)
    return history


class _ByHand:
    """What the loop asks of a trainer, by the book's own `sgd`."""

    def __init__(self, params: Iterable[nd.NDArray], lr: float) -> None:
        self._params, self.learning_rate = list(params), lr

    def step(self, batch_size: int) -> None:
        sgd(self._params, self.learning_rate, batch_size)


_Function = TypeVar("_Function", bound=Callable[..., Any])


def _loss_may_be_fourth(function: _Function) -> _Function:
    """Lets a function be called as in the book's text of 2018: with the loss as fourth argument."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if len(args) > 3 and callable(args[3]):
            return function(*args[:3], *args[4:], loss=args[3], **kwargs)
        return function(*args, **kwargs)

    return cast(_Function, call)


@_loss_may_be_fourth
def train_ch5(
    net: gluon.Block,
    train_iter: Iterable[Any],
    test_iter: Iterable[Any],
    batch_size: int,
    trainer: gluon.Trainer,
    ctx: mx.Context | Sequence[mx.Context],
    num_epochs: int,
    *,
    progress: bool = False,
    history: History | None = None,
    checkpoint: str | os.PathLike[str] | Keeper | None = None,
    run: str | os.PathLike[str] | RunFolder | None = None,
    loss: gluon.loss.Loss | None = None,
) -> History:
    """Train `net` with softmax cross-entropy and print one line per epoch (section on LeNet).

    The summed gradients of a batch are divided by `batch_size`, so a smaller last batch weighs
    less. If after 90 batches, or at the end, the loss is still that of guessing (ln 10 for ten
    classes), or has risen above it, a warning is logged that says what to do.

    Parameters
    ----------
    train_iter, test_iter
        Iterables of batches ``(X, y)``: X (N, ...), y class numbers, (N,) or (N, 1). X is
        converted to the type of the net's weights, float32.
    ctx
        One device or several; each batch is split among them.
    progress
        Show a progress bar on a terminal, and elsewhere a line on standard error every two minutes
        of an epoch.
    history
        What to add the epochs to; by default a new one.
    checkpoint
        A folder, or a `Checkpoint`, in which the run is kept as each epoch ends. If a run is
        there already, this goes on with it, and prints the later epochs only. At the end it takes
        the trained net too, if that can be exported.
    run
        A folder, or a `RunFolder`, that takes a checkpoint too, and besides the run's
        configuration, its history, and in the end the trained net and pictures. It shows
        `progress`. Its ``README.txt`` explains each file.
    loss
        By default the softmax cross-entropy. It may also stand before `batch_size`, as in the
        book's text of 2018.

    In a process that ``python -m gluonbook.launch`` has started, the trainer adds up its gradients
    with those of the other workers.

    Returns
    -------
    History
        Loss, accuracies and seconds of each epoch.

    Raises
    ------
    ValueError
        If `train_iter` or `test_iter` gives no batch, or `run` is given beside `history` or
        `checkpoint`.
    BatchError
        If a label is not the number of a class, the labels have another shape than the net's
        answers, or an image is not finite; names the value, the shapes or the image. That is
        noticed up to two batches later, before anything is saved. Also if the net has several
        outputs, which `train` takes with an `AuxiliaryLoss`.
    NotFinite
        If the loss becomes infinite or not a number; names the epoch, the batch and a lower
        learning rate.
    CheckpointError, FileFailure
        If `checkpoint` or `run` holds another run, only damaged checkpoints, or cannot be written.
    NumpyMode
        If ``npx.set_np()`` is on.
    NotOurs
        If `run` is a folder that is not a run's, and has files of yours where a run has its own.
    Interrupted
        With a `checkpoint` or a `run`, after Ctrl-C or a signal to end: the batch is finished and
        the run saved first. A second one of its kind ends the process. A script that does not
        catch it ends with its sentence, which says how to go on, and the signal's exit code.
    """
    loss = gluon.loss.SoftmaxCrossEntropyLoss() if loss is None else loss
    data = (train_iter, test_iter)
    kept = (progress, history, checkpoint, run)
    return _train(net, trainer, data, ctx, loss, num_epochs, batch_size, *kept)


def train(
    train_iter: Iterable[Any],
    test_iter: Iterable[Any],
    net: gluon.Block,
    loss: gluon.loss.Loss,
    trainer: gluon.Trainer,
    ctx: mx.Context | Sequence[mx.Context],
    num_epochs: int,
    *,
    progress: bool = False,
    history: History | None = None,
    checkpoint: str | os.PathLike[str] | Keeper | None = None,
    run: str | os.PathLike[str] | RunFolder | None = None,
) -> History:
    """Train `net` on one device or several and print one line per epoch (sections on several
    GPUs and on image augmentation).

    Each batch is split among the devices, and the gradients are divided by its size. The other
    parameters, the result and the errors are those of `train_ch5`; besides, a batch smaller
    than the number of devices raises a `BatchError`.

    The net may answer for each pixel: outputs (N, classes, H, W) and labels (N, H, W). The loss
    that is printed is the mean over the examples, whether `loss` gives one number for each
    example, for each pixel or for the batch. If the net has several outputs, as one with auxiliary
    classifiers has, `loss` is given them all, and the accuracies are those of the first.
    """
    data = (train_iter, test_iter)
    kept = (progress, history, checkpoint, run)
    return _train(net, trainer, data, ctx, loss, num_epochs, None, *kept)


def evaluate_accuracy(
    data_iter: Iterable[Any],
    net: gluon.Block,
    ctx: mx.Context | Sequence[mx.Context] | None = None,
) -> float:
    """Share of the labels that `net` answers rightly, from 0 to 1: a scalar of NumPy's.

    Parameters
    ----------
    ctx
        One device or several, the CPU by default; each batch is split among them.

    Raises
    ------
    ValueError
        If `data_iter` gives no batch.
    BatchError
        As `train_ch5` raises it.
    """
    refuse_numpy_mode()
    ctxs = _listed(ctx or mx.cpu())
    found = accuracy_of(data_iter, inference_on(net, ctxs), ctxs, workers())
    return cast(float, np.float64(found))


def accuracy(y_hat: nd.NDArray, y: nd.NDArray) -> np.float64:
    """Share of the rows of `y_hat` (N, classes) whose greatest entry is at `y` (N,).

    As the book's, it is a scalar of NumPy's.

    Raises
    ------
    BatchError
        If `y` does not have one label for each row.
    """
    refuse_numpy_mode()
    return np.float64(answers(y_hat, y).read().correct / y.size)


def _train(
    net: gluon.Block,
    trainer: gluon.Trainer,
    data: tuple[Iterable[Any], Iterable[Any]],
    ctx: mx.Context | Sequence[mx.Context],
    loss: gluon.loss.Loss,
    num_epochs: int,
    batch_size: int | None,
    progress: bool,
    history: History | None,
    checkpoint: str | os.PathLike[str] | Keeper | None,
    run: str | os.PathLike[str] | RunFolder | None,
) -> History:
    refuse_numpy_mode()
    if run is not None and (history is not None or checkpoint is not None):
        raise ValueError("a run has a history and checkpoints of its own: give run alone")
    ctxs, company = _listed(ctx), workers()
    computation = computation_of(net, loss, ctxs, alone=company.alone)
    with ExitStack() as kept:
        if run is not None or checkpoint is not None:
            kept.enter_context(one_line_if_stopped())
        if run is not None:
            folder = run if isinstance(run, RunFolder) else RunFolder(run)
            history, checkpoint = kept.enter_context(folder.keep(net, trainer, data, ctxs, company))
        elif isinstance(checkpoint, (str, os.PathLike)):
            checkpoint = Checkpoint(checkpoint)
        history = History() if history is None else history
        if isinstance(checkpoint, Checkpoint) and run is None and company.alone:
            kept.enter_context(leaving_net(checkpoint, net, trainer, data, ctxs, company, history))
        state = (net, data[0], trainer, ctxs, company, history, checkpoint)
        training = Run(*state, cross_entropy=_is_cross_entropy(loss))
        training.say(f"training on {ctx}")
        progress = progress or run is not None
        fit(training, data[1], computation, num_epochs, batch_size, progress)
        del computation  # its graph's memory is free for what else the run leaves in its folder
    return history


def _is_cross_entropy(loss: object) -> bool:
    """Whether a loss is known to be that of one answer, with each example counted once."""
    return isinstance(loss, SmoothedCrossEntropy) or mxnet_private.is_plain_cross_entropy(loss)


def _listed(ctx: mx.Context | Sequence[mx.Context]) -> list[mx.Context]:
    return [ctx] if isinstance(ctx, mx.Context) else list(ctx)

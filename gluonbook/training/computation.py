"""What computes a net on the devices that are given."""

from __future__ import annotations

from typing import Any, Callable, Sequence

import mxnet as mx
from mxnet import gluon

from ..system.nvidia_driver import lacks_code
from .by_operations import ByOperations
from .graphs import Graphs, Inference, inference_of
from .loop import Computation


def computation_of(
    net: gluon.Block, loss: Callable[..., Any], ctxs: Sequence[mx.Context], *, alone: bool = True
) -> Computation:
    """What trains `net` with `loss`: MXNet's graphs, or a list of operations where it has no code.

    `alone` says whether this process is the only one that trains.

    Raises
    ------
    Unsupported, TraceError
        As `ByOperations` does.
    """
    if any(map(lacks_code, ctxs)):
        return ByOperations(net, loss, ctxs, alone=alone)
    return Graphs(net, loss)


def inference_on(net: gluon.Block, ctxs: Sequence[mx.Context]) -> Inference:
    """The forward pass of `net` outside of training, with the weights that it has now.

    Raises
    ------
    Unsupported, TraceError
        As `ByOperations` does.
    """
    if any(map(lacks_code, ctxs)):
        return ByOperations(net, gluon.loss.SoftmaxCrossEntropyLoss(), ctxs).inference(ctxs)
    return inference_of(net, ctxs)

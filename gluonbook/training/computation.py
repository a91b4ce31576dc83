"""What computes a net on the devices that are given."""

from __future__ import annotations

from typing import Any, Callable, Sequence

import mxnet as mx
from mxnet import gluon

from ..system.errors import Failure
from ..system.nvidia_driver import lacks_code
from .by_operations import ByOperations
from .graphs import Graphs, Inference, inference_of
from .images import Converting, converting, type_taken_by
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
    Failure
        If a dense layer trains its bias alone: MXNet computes no gradient of it on the CPU.
    """
    computation: Computation
    if any(map(lacks_code, ctxs)):
        computation = ByOperations(net, loss, ctxs, alone=alone)
    else:
        if isinstance(net, gluon.Block) and any(ctx.device_type == "cpu" for ctx in ctxs):
            net.apply(_refuse_a_bias_alone)
        computation = Graphs(net, loss)
    return Converting(net, computation)


def inference_on(net: gluon.Block, ctxs: Sequence[mx.Context]) -> Inference:
    """The forward pass of `net` outside of training, with the weights that it has now.

    Raises
    ------
    Unsupported, TraceError
        As `ByOperations` does.
    """
    if any(map(lacks_code, ctxs)):
        loss = gluon.loss.SoftmaxCrossEntropyLoss()
        infer = ByOperations(net, loss, ctxs).inference(ctxs)
    else:
        infer = inference_of(net, ctxs)
    return converting(infer, type_taken_by(net))


def _refuse_a_bias_alone(layer: gluon.Block) -> None:
    if not isinstance(layer, gluon.nn.Dense) or layer.bias is None:
        return
    if layer.weight.grad_req == "null" != layer.bias.grad_req:
        raise Failure(
            f"the layer {layer.name} trains its bias alone, of which MXNet computes no gradient on "
            "the CPU where the weight is frozen: freeze both (grad_req = 'null'), or neither"
        )

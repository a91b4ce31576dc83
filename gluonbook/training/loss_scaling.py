"""Losses scaled up where AMP computes in float16, which holds no small gradients."""

from __future__ import annotations

from typing import Sequence

import mxnet as mx
from mxnet import gluon, nd
from mxnet.contrib import amp

from ..system import mxnet_private


def on_gpus(ctxs: Sequence[mx.Context]) -> bool:
    return ctxs[0].device_type == "gpu"


def scale_losses_of(trainer: gluon.Trainer, ctxs: Sequence[mx.Context]) -> None:
    """Let MXNet choose the scale of the losses, and adapt it, where AMP computes in float16.

    A step whose gradients are too large for float16 changes nothing but the scale, which is halved.
    After 2,000 steps without such a one it is doubled.
    """
    if on_gpus(ctxs) and mxnet_private.amp_is_on() and not mxnet_private.scales_losses(trainer):
        amp.init_trainer(trainer)


def scaled(losses: list[nd.NDArray], trainer: gluon.Trainer) -> list[nd.NDArray]:
    """The losses whose gradients `trainer` expects: larger ones, if it scales them down again.

    Called while MXNet records.
    """
    if not mxnet_private.scales_losses(trainer):
        return losses
    with amp.scale_loss(losses, trainer) as larger:
        return larger

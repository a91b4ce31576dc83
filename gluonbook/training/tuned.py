"""Training with momentum, weight decay, a schedule and label smoothing."""

from __future__ import annotations

from typing import Any

import mxnet as mx
from mxnet import gluon

from ..recipes import Tuning


def schedule(lr: float, warm_up: float, num_steps: int) -> mx.lr_scheduler.LRScheduler:
    """The learning rate of each of `num_steps`, counted from 1, as `Tuning.warm_up` states it.

    Raises
    ------
    ValueError
        If `warm_up` is not a share from 0 to 1.
    """
    if not 0 <= warm_up <= 1:
        raise ValueError(f"warm_up must be a share of the steps, from 0 to 1, not {warm_up!r}")
    steps = min(round(warm_up * num_steps), num_steps - 1)
    return mx.lr_scheduler.CosineScheduler(num_steps, base_lr=lr, warmup_steps=steps)


def tuned_trainer(net: gluon.Block, lr: float, tuning: Tuning, num_steps: int) -> gluon.Trainer:
    """A trainer of `net` by stochastic gradient descent as `tuning` states it.

    Parameters with a single axis are not decayed from now on: the biases, and batch norm's gamma
    and beta. A smaller gamma only changes the scale that the next layer takes back.

    Parameters
    ----------
    lr
        The learning rate, or the greatest one if `tuning` has a schedule.
    num_steps
        Batches of the whole training, for the schedule.
    """
    for param in net.collect_params().values():
        if len(param.shape) == 1:
            param.wd_mult = 0.0
    settings: dict[str, Any] = {"momentum": tuning.momentum, "wd": tuning.weight_decay}
    if tuning.warm_up is None:
        settings["learning_rate"] = lr
    else:
        settings["lr_scheduler"] = schedule(lr, tuning.warm_up, num_steps)
    return gluon.Trainer(net.collect_params(), "sgd", settings)


class SmoothedCrossEntropy(gluon.loss.Loss):
    """Softmax cross-entropy with smoothed labels (Szegedy et al. 2016, section 7).

    The label's class has the probability 1 - smoothing + smoothing / classes and each other class
    smoothing / classes. Logits (N, classes) and labels (N,) give losses (N,).
    """

    def __init__(self, smoothing: float) -> None:
        super().__init__(weight=None, batch_axis=0)
        self._smoothing = smoothing

    def hybrid_forward(self, F: Any, pred: Any, label: Any) -> Any:
        log_p = F.log_softmax(pred, axis=1)
        of_label, of_all = F.pick(log_p, label, axis=1), F.mean(log_p, axis=1)
        return -(1 - self._smoothing) * of_label - self._smoothing * of_all


def tuned(
    net: gluon.Block, lr: float, tuning: Tuning, num_steps: int
) -> tuple[gluon.Trainer, gluon.loss.Loss]:
    """The `tuned_trainer` and the loss that `tuning` states.

    The loss is hybridized, so that `gluonbook.train` puts it into one graph with the net.
    """
    loss = SmoothedCrossEntropy(tuning.smoothing)
    loss.hybridize()
    return tuned_trainer(net, lr, tuning, num_steps), loss

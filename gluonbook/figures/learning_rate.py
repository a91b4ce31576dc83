"""The learning rate that advice names: the number that a user has given."""

from __future__ import annotations

from typing import Any

import mxnet as mx


def given_rate(trainer: Any) -> float | None:
    """The learning rate that a trainer was given, from which a schedule makes that of each step.

    Without a schedule that is the rate of the step. None if the schedule is not one of MXNet's:
    only its author knows which number it begins with.
    """
    optimizer: Any = getattr(trainer, "optimizer", None)  # the book's own sgd has none
    schedule = getattr(optimizer, "lr_scheduler", None)
    if schedule is None:
        return float(trainer.learning_rate)
    if type(schedule).__module__ != mx.lr_scheduler.__name__:
        return None
    # `base_lr` of a schedule changes with the steps. These schedules keep what it was.
    if hasattr(schedule, "base_lr_orig"):
        return float(schedule.base_lr_orig)
    # The others take an optimizer's own learning rate instead of theirs.
    return float(schedule.warmup_final_lr if optimizer.lr is None else optimizer.lr)

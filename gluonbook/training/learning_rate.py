"""The learning rate that advice names, and the error that a rate too high most often causes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mxnet as mx

from ..system.errors import Failure


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


class NotFinite(Failure, ArithmeticError):
    """The loss or a parameter is infinite or not a number.

    Parameters
    ----------
    lr
        The learning rate that the user has given, or None if that is not known.
    stepped
        Whether any step has changed the net.
    """

    def __init__(
        self,
        what: str,
        epoch: int,
        batch: int,
        lr: float | None,
        folder: Path | None,
        *,
        stepped: bool = True,
    ) -> None:
        given, lower = ("", "half of it") if lr is None else (f" of {lr:g}", f"{lr / 2:g}")
        advice = (
            f"most likely the learning rate{given} is too high; start again with a lower one, "
            f"such as {lower}"
        )
        if not stepped:
            advice = (
                "no step has changed the net yet, so the learning rate is not the cause; see what "
                "the net and the loss compute from this batch, and the scale of its images"
            )
        kept = f" (the last good state is kept in {folder})" if folder else ""
        super().__init__(f"{what} at epoch {epoch}, batch {batch}: {advice}{kept}")

"""The state of a trainer as JSON and arrays, and back."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Mapping, Sequence

import mxnet as mx
from mxnet import gluon, nd
import numpy as np

from ..system import mxnet_private
from ..system.parameters import parameters_of
from ..training.run import CheckpointError
from .format import LOSS_SCALE, Arrays
from .net_state import array_name

#: Attributes of an optimizer that change as it works, or that the loop sets.
_CHANGING = {"num_update", "begin_num_update", "rescale_grad"}
#: The same of MXNet's own schedules.
_SCHEDULED = {"base_lr", "count", "cur_step_ind"}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The entries that JSON holds exactly."""
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, (bool, int, str)) or (type(value) is float and math.isfinite(value))
    }


def optimizer_facts(trainer: gluon.Trainer) -> dict[str, Any]:
    optimizer = trainer.optimizer
    plain = {k: v for k, v in _plain(vars(optimizer)).items() if k not in _CHANGING}
    return {
        "the optimizer": type(optimizer).__name__,
        "the schedule": type(optimizer.lr_scheduler).__name__,
        **{f"the optimizer's {name}": value for name, value in plain.items()},
    }


def places_of(trainer: gluon.Trainer, net: gluon.Block) -> list[str]:
    """The place in the net of each of the trainer's parameters, in the trainer's order.

    Raises
    ------
    CheckpointError
        If a parameter is not in the net, so that its values would not be saved.
    """
    places = {param: place for place, param in parameters_of(net).items()}
    for param in mxnet_private.parameters_of(trainer):
        if param not in places:
            raise CheckpointError(
                f"the trainer has the parameter {param.name}, which is not in the net and would "
                "not be saved: make it part of the net, or train without a checkpoint"
            )
    return [places[param] for param in mxnet_private.parameters_of(trainer)]


def trainer_state(
    trainer: gluon.Trainer, places: Sequence[str], arrays: dict[str, np.ndarray]
) -> dict[str, Any]:
    """The trainer's state as JSON; its arrays are added to `arrays`."""
    optimizer, scaled = trainer.optimizer, mxnet_private.scales_losses(trainer)
    return {
        "parameters": places,
        "optimizer": _plain(vars(optimizer)),
        "scheduler": _plain(vars(optimizer.lr_scheduler)) if optimizer.lr_scheduler else {},
        "counts": {
            device: {places[index]: count for index, count in counts.items()}
            for device, counts in mxnet_private.update_counts(optimizer).items()
        },
        "states": [
            {
                places[index]: _put(state, f"trainer/{i}/{places[index]}", arrays)
                for index, state in updater.states.items()
            }
            for i, updater in enumerate(mxnet_private.updaters_of(trainer))
        ],
        **({LOSS_SCALE: mxnet_private.loss_scale(trainer)} if scaled else {}),
    }


def _put(state: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """The form of an optimizer's state: None, a list of such, or the name of an array."""
    if state is None:
        return None
    if isinstance(state, (tuple, list)):
        return [_put(part, f"{name}/{i}", arrays) for i, part in enumerate(state)]
    arrays[name] = state.asnumpy()
    return name


def _get(form: Any, arrays: Arrays) -> Any:
    if form is None:
        return None
    if isinstance(form, list):
        return tuple(_get(part, arrays) for part in form)
    return nd.array(arrays[form], dtype=arrays[form].dtype)


def check_trainer(
    trainer: gluon.Trainer, net: gluon.Block, state: dict[str, Any], arrays: Arrays, folder: Path
) -> None:
    """Raise an error unless the saved state has the form that this optimizer would make anew."""
    params = parameters_of(net)

    def fits(form: Any, fresh: Any) -> bool:
        if fresh is None or form is None:
            return fresh is None and form is None
        if isinstance(fresh, (tuple, list)):
            return (
                isinstance(form, list)
                and len(form) == len(fresh)
                and all(fits(part, value) for part, value in zip(form, fresh))
            )
        return isinstance(form, str) and form in arrays and arrays[form].shape == fresh.shape

    good = set(state["parameters"]) == set(places_of(trainer, net))
    good = good and len(state["states"]) <= mxnet_private.num_updaters(trainer)
    for states in state["states"] if good else ():
        for name, form in states.items():
            shape = arrays[array_name(name)].shape
            weight = nd.zeros(shape, dtype=params[name].dtype)
            index = mxnet_private.index_of(trainer, params[name])
            fresh = trainer.optimizer.create_state_multi_precision(index, weight)
            good = good and fits(form, fresh)
    for target, saved in _settings(trainer.optimizer, state):
        for name, value in saved.items():
            now = getattr(target, name, None)
            numbers = type(now) in (int, float, type(None)) and type(value) in (int, float)
            good = good and hasattr(target, name) and (numbers or type(now) is type(value))
    schedule = trainer.optimizer.lr_scheduler
    if type(schedule).__module__ == mx.lr_scheduler.__name__:
        constants = state["scheduler"].keys() - _SCHEDULED
        good = good and all(state["scheduler"][k] == getattr(schedule, k) for k in constants)
    if not good:
        raise CheckpointError(f"{folder} holds a run of another trainer: start a new run")


def _settings(
    optimizer: mx.optimizer.Optimizer, state: dict[str, Any]
) -> list[tuple[Any, dict[str, Any]]]:
    return [(optimizer, state["optimizer"]), (optimizer.lr_scheduler, state["scheduler"])]


def restore_trainer(
    trainer: gluon.Trainer, net: gluon.Block, state: dict[str, Any], arrays: Arrays
) -> None:
    optimizer, params = trainer.optimizer, parameters_of(net)
    # In the saved order: some optimizers carry numbers from one parameter to the next.
    mxnet_private.begin_anew(trainer, [params[name] for name in state["parameters"]])
    for target, saved in _settings(optimizer, state):
        for name, value in saved.items():
            setattr(target, name, value)
    index_of = {name: index for index, name in enumerate(state["parameters"])}
    counts = {
        int(device): {index_of[name]: count for name, count in by_name.items()}
        for device, by_name in state["counts"].items()
    }
    mxnet_private.set_update_counts(trainer, counts)
    for updater, states in zip(mxnet_private.updaters_of(trainer), state["states"]):
        updater.states = {index_of[name]: _get(form, arrays) for name, form in states.items()}
        updater.states_synced = {index: False for index in updater.states}  # moved when used
    if mxnet_private.scales_losses(trainer) and LOSS_SCALE in state:
        mxnet_private.set_loss_scale(trainer, state[LOSS_SCALE])

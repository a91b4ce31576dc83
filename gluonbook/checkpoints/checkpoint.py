"""A run's state on disk: written so that a stop at any moment loses nothing, read back exactly.

A checkpoint is one safetensors file, which any tool for that format opens and in which nothing
can be executed. It holds the parameters and the optimizer's state as arrays, all else as JSON
in its metadata, and a SHA-256 of both.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
import hashlib
import json
import logging
import math
import os
from pathlib import Path
import random
import re
from typing import Any, Iterator, Mapping, Sequence, Sized

import mxnet as mx
from mxnet import gluon, nd
import numpy as np
import safetensors
import safetensors.numpy

from ..data.batches import PositionedLoader
from ..figures.history import Epoch, History
from ..figures.tally import Sums
from ..system import files
from ..system.errors import Failure, whole_number
from ..system.machine import available_memory
from .lock import FolderLock, InUse

log = logging.getLogger("gluonbook")

KEPT = 2
_VERSION = 2
_NAME = re.compile(r"checkpoint-([0-9]{1,9})-([0-9]{1,9})\.safetensors")
#: Settings of optimizers and schedules that are whole numbers.
_COUNTED = {"num_update", "begin_num_update", "aggregate_num", "count", "cur_step_ind"}
_DEVICE = re.compile(r"[0-9]{1,9}")
#: Each count that something loops up to is less.
_MOST = 10**9
#: Attributes of an optimizer that change as it works, or that the loop sets.
_CHANGING = {"num_update", "begin_num_update", "rescale_grad"}
#: The same of MXNet's own schedules.
_SCHEDULED = {"base_lr", "count", "cur_step_ind"}


class CheckpointError(Failure, ValueError):
    """A checkpoint is damaged, of another run, or in use."""


class OtherVersion(CheckpointError):
    """A checkpoint is of another version of this package."""


class NotFinite(Failure, ArithmeticError):
    """The loss or a parameter is infinite or not a number."""

    def __init__(self, what: str, epoch: int, batch: int, lr: float, folder: Path | None) -> None:
        kept = f" (the last good state is kept in {folder})" if folder else ""
        super().__init__(
            f"{what} at epoch {epoch}, batch {batch}: most likely the learning rate of {lr:g} is "
            f"too high; start again with a lower one, such as {lr / 2:g}{kept}"
        )


@dataclass
class Progress(Sums):
    """How far a run is: `batch` batches of `epoch` (from 1), and the sums over them."""

    epoch: int = 1
    batch: int = 0
    seconds: float = 0.0
    """Time that the epoch has taken."""


class Checkpoint:
    """The folder in which `train_ch5` and `train` keep a run, and from which they go on with it.

    If the folder holds a checkpoint, the training goes on from there: on the CPU of the same
    machine with the numbers, bit for bit, of a run that was never stopped. Else it begins.
    All randomness of a run follows from its seed and the position in it: dropout, and what a
    data iterator draws from the generators of Python, NumPy and MXNet, in this process or in the
    worker processes of MXNet's ``DataLoader``. What it draws from a generator of its own or in
    threads does not, nor what carries over from one pass to the next (``last_batch="rollover"``).

    The last two checkpoints are kept. One that is damaged is set aside with the ending
    ``.damaged``, and the one before it is taken.

    Parameters
    ----------
    folder
        Made if it does not exist. One process at a time can train there.
    save_every
        Save after every so many batches too, not only at the end of each epoch.
    seed
        Of the randomness. With None, one is drawn from NumPy's global generator.
    facts
        Names and values that must be the same when the run goes on, besides the net, the
        optimizer and the data, which are always compared.
    notes
        Texts to keep beside the checkpoints, by file name; written only when the run has begun
        or goes on.

    Raises
    ------
    ValueError
        If `save_every` is less than 1, or `seed` is not a whole number from 0 to 2**63 - 1.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        save_every: int | None = None,
        seed: int | None = None,
        facts: Mapping[str, Any] | None = None,
        notes: Mapping[str, str] | None = None,
    ) -> None:
        if save_every is not None:
            save_every = whole_number("save_every", save_every, least=1)
        self.folder = Path(folder)
        self.save_every = save_every
        self.seed = int(np.random.randint(2**31)) if seed is None else whole_number("seed", seed)
        self.facts = dict(facts or {})
        self.notes = dict(notes or {})
        self._lock = FolderLock(self.folder)

    def begin(
        self,
        net: gluon.Block,
        trainer: gluon.Trainer,
        train_iter: Any,
        history: History,
        facts: Mapping[str, Any],
    ) -> Progress:
        """Restore the newest checkpoint into the arguments, or save the beginning of a run.

        Raises
        ------
        CheckpointError
            If the checkpoint is of another run (both values are named), all checkpoints are
            damaged, or another process trains in this folder. The arguments are as they were.
        FileFailure
            If the folder cannot be written.
        """
        self._net, self._trainer, self._history = net, trainer, history
        self._loader = train_iter if isinstance(train_iter, PositionedLoader) else None
        everything = {**self.facts, **facts, **_optimizer_facts(trainer)}
        self.facts = json.loads(json.dumps(everything))  # as it will be read back
        self._order = _places(trainer, net)
        self.acquire()
        try:
            state, arrays, damaged = self._newest()
            if state is not None:
                self._restore(state, arrays, train_iter)
            else:
                self._shuffle_seed = None
                if self._loader is not None:
                    self._shuffle_seed = whole_number("the loader's seed", self._loader.seed, 2**32)
            # From here on the folder is this run's; until here nothing in it was changed.
            files.remove_partial(self.folder)
            for path in damaged:
                path.replace(f"{path}.damaged")
            for name, text in self.notes.items():
                files.write(self.folder / name, text)
            if state is not None:
                return Progress(**state["progress"])
            progress = Progress()
            if all(param._data for param in net.collect_params().values()):
                self.save(progress)
            return progress
        except BaseException:
            self.end()
            raise

    def acquire(self) -> None:
        """Make the folder, and keep other runs out of it until `end`.

        Raises
        ------
        CheckpointError
            If another run is in it.
        FileFailure
            If it cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise files.FileFailure(
                f"{self.folder} cannot hold a run ({error.strerror}): name another folder"
            ) from error
        try:
            self._lock.acquire()
        except InUse as error:
            raise CheckpointError(str(error)) from error

    def seed_epoch(self, epoch: int) -> None:
        """Seed shuffling and what transforms draw from Python's and NumPy's generators."""
        seed = self.seed_of(epoch)
        np.random.seed(seed)
        random.seed(seed)
        if self._loader is not None and self._shuffle_seed is not None:
            self._loader.seed = self._shuffle_seed

    def seed_batch(self, epoch: int, batch: int) -> None:
        """Seed what MXNet draws, such as dropout, while it trains on a batch."""
        mx.random.seed(self.seed_of(epoch, batch))

    def seed_of(self, epoch: int, batch: int | None = None) -> int:
        """A seed below 2**32 for an epoch, from 1, or for a batch of it, from 0."""
        position = [epoch] if batch is None else [epoch, batch]
        return int(np.random.SeedSequence([self.seed, *position]).generate_state(1)[0])

    def save(self, progress: Progress) -> Path:
        """Write a checkpoint, and remove all but the last two.

        Raises
        ------
        NotFinite
            If a parameter is infinite or not a number; the checkpoints before stand.
        FileFailure
            If it cannot be written; the checkpoints before stand.
        """
        # oneDNN may still be rearranging weights in place; reading them meanwhile gives a mixture.
        nd.waitall()
        arrays = dict(_parameter_arrays(self._net))
        for name, value in arrays.items():
            if not np.isfinite(value).all():
                self._refuse_infinite(name[len("net/") :], progress)
        state = {
            "version": _VERSION,
            "seed": self.seed,
            "shuffle_seed": self._shuffle_seed,
            "facts": self.facts,
            "progress": asdict(progress),
            "history": self._history.epochs,
            "trainer": _trainer_state(self._trainer, self._order, arrays),
        }
        text = json.dumps(state, allow_nan=False)
        try:  # what is written can be read again, or the run does not begin
            _check_state(json.loads(text))
        except ValueError as error:
            raise CheckpointError(
                f"{self.folder} cannot keep the state of {type(self._trainer.optimizer).__name__} "
                "or of its schedule: train without a checkpoint"
            ) from error
        path = self.folder / f"checkpoint-{progress.epoch}-{progress.batch}.safetensors"
        metadata = {"state": text, "sha256": _digest(text, arrays)}
        files.write(path, safetensors.numpy.save(arrays, metadata))
        self.remove_older(KEPT)
        return path

    def remove_older(self, kept: int = 1) -> None:
        """Remove all checkpoints but the newest `kept`: a run that is done needs only one."""
        for old in self._paths()[kept:]:
            old.unlink(missing_ok=True)

    def end(self) -> None:
        """Let other runs have the folder."""
        self._lock.release()

    def _refuse_infinite(self, name: str, progress: Progress) -> None:
        if (progress.epoch, progress.batch) == (1, 0):
            raise CheckpointError(
                f"the parameter {name} is not finite before the first batch: initialize the net "
                "with other weights"
            )
        what = f"the parameter {name} is no longer finite"
        lr = self._trainer.learning_rate
        raise NotFinite(what, progress.epoch, progress.batch, lr, self.folder)

    def _paths(self) -> list[Path]:
        """The checkpoints in the folder, newest first."""
        found = {}
        for path in self.folder.iterdir():
            match = _NAME.fullmatch(path.name)
            if match and not path.is_dir():
                found[int(match[1]), int(match[2])] = path
        return [found[position] for position in sorted(found, reverse=True)]

    def _newest(self) -> tuple[dict[str, Any] | None, dict[str, np.ndarray], list[Path]]:
        """The newest checkpoint that is whole, and the damaged ones that are newer.

        None and no arrays if there is no checkpoint at all.
        """
        limit = size_limit(self._net)
        faults: dict[Path, CheckpointError] = {}
        for path in self._paths():
            try:
                state, arrays = read(path, limit)
            except OtherVersion:
                raise
            except CheckpointError as error:
                faults[path] = error
                continue
            for fault in faults.values():
                log.warning("%s; going on from the one before, %s", fault, path.name)
            return state, arrays, list(faults)
        if faults:
            raise CheckpointError(
                f"no checkpoint in {self.folder} is whole: {next(iter(faults.values()))}; start a "
                "new run in another folder"
            )
        return None, {}, []

    def _restore(
        self, state: dict[str, Any], arrays: dict[str, np.ndarray], train_iter: Any
    ) -> None:
        for name in {**state["facts"], **self.facts}:
            saved, now = state["facts"].get(name, "none"), self.facts.get(name, "none")
            if saved != now:
                held = " ".join(f"{name} {saved}".split())  # whatever the file says, in one line
                raise CheckpointError(
                    f"{self.folder} holds a run with {held}, and this one has {now}: "
                    "give the same, or start a new run"
                )
        batch = state["progress"]["batch"]
        if isinstance(train_iter, Sized) and batch > len(train_iter):
            raise CheckpointError(
                f"{self.folder} holds a run that is at batch {batch:,} of an epoch, and this one "
                f"has {len(train_iter):,}: give the same data, or start a new run"
            )
        _check_net(self._net, arrays, self.folder)
        _check_trainer(self._trainer, self._net, state["trainer"], arrays, self.folder)
        _restore_parameters(self._net, arrays)
        _restore_trainer(self._trainer, self._net, state["trainer"], arrays)
        _restore_other_devices(self._net, arrays)
        self._order = state["trainer"]["parameters"]
        self.seed, self._shuffle_seed = state["seed"], state["shuffle_seed"]
        self._history.epochs.clear()
        self._history.extend(Epoch(*row) for row in state["history"])


# --- one file -------------------------------------------------------------------------------


def read(path: str | os.PathLike[str], limit: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The state and the arrays of a checkpoint file of at most `limit` bytes.

    Raises
    ------
    CheckpointError
        If the file is not, to the last bit, a checkpoint that `Checkpoint.save` wrote.
    """
    try:
        content = files.read(path, limit)
        # The length of the header comes first; what the header says of itself is in it.
        length = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + length])["__metadata__"]
        arrays = safetensors.numpy.load(content)
        text = metadata["state"]
        if metadata["sha256"] != _digest(text, arrays):
            raise ValueError("its checksum does not fit")
        state = json.loads(text)
        if state["version"] == _VERSION:
            _check_state(state)
    except files.FileFailure as error:
        raise CheckpointError(str(error)) from error
    except (
        *(ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError),
        safetensors.SafetensorError,
    ) as error:
        reason = str(error) if type(error) is ValueError else "it is not a checkpoint"
        raise CheckpointError(f"{path} is damaged ({reason})") from error
    if state["version"] != _VERSION:
        raise OtherVersion(
            f"{path} is a checkpoint of version {state['version']}, and this gluonbook reads "
            f"version {_VERSION}: go on with the gluonbook that wrote it, or start a new run"
        )
    return state, arrays


def _digest(text: str, arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()


def _check_state(state: Any) -> None:
    """Raise an error if `state` is not of the form that `Checkpoint.save` writes."""
    progress, trainer = Progress(**state["progress"]), state["trainer"]
    counts = [progress.epoch, progress.batch]
    counts += [count for device in trainer["counts"].values() for count in device.values()]
    for settings in (trainer["optimizer"], trainer["scheduler"]):
        counts += [settings[name] for name in _COUNTED & settings.keys()]
    whole = [state["seed"], progress.examples, progress.labels, progress.correct]
    shuffle_seed = state["shuffle_seed"]
    rows = [Epoch(*row) for row in state["history"]]
    numbers = [progress.loss, progress.seconds, *(number for row in rows for number in row)]
    names = trainer["parameters"]
    good = (
        all(type(value) is int and 0 <= value < 2**63 for value in whole)
        and (shuffle_seed is None or type(shuffle_seed) is int and 0 <= shuffle_seed < 2**32)
        and all(type(value) is int and 0 <= value < _MOST for value in counts)
        and all(type(value) in (int, float) and math.isfinite(value) for value in numbers)
        and state["progress"].keys() == asdict(progress).keys()
        and progress.correct <= progress.labels
        and len(rows) == progress.epoch - 1
        and all(row.epoch == place for place, row in enumerate(rows, 1))
        and isinstance(state["facts"], dict)
        and all(isinstance(name, str) for name in names)
        and len(set(names)) == len(names)
        and all(_DEVICE.fullmatch(device) for device in trainer["counts"])
        and all(isinstance(states, dict) for states in trainer["states"])
        and all(
            set(names).issuperset(named)
            for named in [*trainer["states"], *trainer["counts"].values()]
        )
    )
    if not good:
        raise ValueError("it does not describe a run")


def size_limit(net: gluon.Block) -> int:
    """Bytes that a file of `net` may have: its arrays eight times, for any optimizer's state."""
    params = net.collect_params().values()
    if any(param.shape is None or 0 in param.shape for param in params):
        return available_memory() // 4
    return 2**24 + 8 * sum(
        math.prod(param.shape) * np.dtype(param.dtype).itemsize for param in params
    )


# --- the net's parameters -------------------------------------------------------------------


def _parameters(net: gluon.Block) -> dict[str, gluon.Parameter]:
    """Each parameter by its place in the net's structure; a shared one by the first of its places.

    Automatic names, such as ``batchnorm10_gamma``, depend on what else the process has built.
    """
    places: dict[gluon.Parameter, str] = {}
    for place, param in net._collect_params_with_prefix().items():
        places.setdefault(param, place)
    return {place: param for param, place in places.items()}


def _parameter_arrays(net: gluon.Block) -> Iterator[tuple[str, np.ndarray]]:
    """Each parameter by its place in the net; running statistics once for each device."""
    for name, param in _parameters(net).items():
        values = param.list_data() if param.grad_req == "null" else param.list_data()[:1]
        for device, value in enumerate(values):
            # A copy, made by MXNet's engine: were a weight that oneDNN has rearranged put back in
            # order here, Python's thread would get OpenMP threads (runtime.copy_on_one_thread).
            yield _array_name(name, device), value.copy().asnumpy()


def _array_name(name: str, device: int) -> str:
    return f"net/{name}" + (f"@{device}" if device else "")


def _check_net(net: gluon.Block, arrays: Mapping[str, np.ndarray], folder: Path) -> None:
    expected = {}
    for name, param in _parameters(net).items():
        devices = len(param.list_ctx()) if param.grad_req == "null" else 1
        expected.update({_array_name(name, device): param for device in range(devices)})
    saved = {name for name in arrays if name.startswith("net/")}
    other = f"{folder} holds a run of another net"
    for name in sorted(expected.keys() ^ saved):
        place = "it" if name in saved else "this one"
        raise CheckpointError(f"{other}: only {place} has {name[len('net/') :]}")
    for name, param in expected.items():
        shape = arrays[name].shape
        if not shape_fits(param, shape):
            raise CheckpointError(
                f"{other}: {name[len('net/') :]} is {shape} there, {param.shape} here"
            )
        if arrays[name].dtype != np.dtype(param.dtype):
            raise CheckpointError(
                f"{other}: {name[len('net/') :]} is {arrays[name].dtype} there, "
                f"{np.dtype(param.dtype)} here"
            )


def shape_fits(param: gluon.Parameter, shape: tuple[int, ...]) -> bool:
    """Whether `param` may have this shape; sizes that it does not know yet may be any."""
    if param.shape is None:
        return True
    return len(param.shape) == len(shape) and all(
        known < 1 or known == size for known, size in zip(param.shape, shape)
    )


def _restore_parameters(net: gluon.Block, arrays: Mapping[str, np.ndarray]) -> None:
    for name, param in _parameters(net).items():
        param.set_data(nd.array(arrays[_array_name(name, 0)], dtype=param.dtype))
        if param._deferred_init:
            param._finish_deferred_init()


def _restore_other_devices(net: gluon.Block, arrays: Mapping[str, np.ndarray]) -> None:
    """Give each further device its running statistics; the trainer gave it the first's."""
    for name, param in _parameters(net).items():
        if param.grad_req == "null":
            for device, value in enumerate(param.list_data()[1:], start=1):
                value[:] = nd.array(arrays[_array_name(name, device)], dtype=param.dtype)


# --- the trainer ----------------------------------------------------------------------------


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The entries that JSON holds exactly."""
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, (bool, int, str)) or (type(value) is float and math.isfinite(value))
    }


def _optimizer_facts(trainer: gluon.Trainer) -> dict[str, Any]:
    optimizer = trainer.optimizer
    plain = {k: v for k, v in _plain(vars(optimizer)).items() if k not in _CHANGING}
    return {
        "the optimizer": type(optimizer).__name__,
        "the schedule": type(optimizer.lr_scheduler).__name__,
        **{f"the optimizer's {name}": value for name, value in plain.items()},
    }


def _updaters(trainer: gluon.Trainer) -> list[Any]:
    """What holds the optimizer's state: one for each device, or one in the key-value store."""
    if trainer._kv_initialized and trainer._update_on_kvstore:
        return [trainer._kvstore._updater]
    return list(trainer._updaters)


def _places(trainer: gluon.Trainer, net: gluon.Block) -> list[str]:
    """The place in the net of each of the trainer's parameters, in the trainer's order.

    Raises
    ------
    CheckpointError
        If a parameter is not in the net, so that its values would not be saved.
    """
    places = {param: place for place, param in _parameters(net).items()}
    for param in trainer._params:
        if param not in places:
            raise CheckpointError(
                f"the trainer has the parameter {param.name}, which is not in the net and would "
                "not be saved: make it part of the net, or train without a checkpoint"
            )
    return [places[param] for param in trainer._params]


def _trainer_state(
    trainer: gluon.Trainer, places: Sequence[str], arrays: dict[str, np.ndarray]
) -> dict[str, Any]:
    """The trainer's state as JSON; its arrays are added to `arrays`."""
    optimizer = trainer.optimizer
    return {
        "parameters": places,
        "optimizer": _plain(vars(optimizer)),
        "scheduler": _plain(vars(optimizer.lr_scheduler)) if optimizer.lr_scheduler else {},
        "counts": {
            device: {places[index]: count for index, count in counts.items()}
            for device, counts in optimizer._all_index_update_counts.items()
        },
        "states": [
            {
                places[index]: _put(state, f"trainer/{i}/{places[index]}", arrays)
                for index, state in updater.states.items()
            }
            for i, updater in enumerate(_updaters(trainer))
        ],
    }


def _put(state: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """The form of an optimizer's state: None, a list of such, or the name of an array."""
    if state is None:
        return None
    if isinstance(state, (tuple, list)):
        return [_put(part, f"{name}/{i}", arrays) for i, part in enumerate(state)]
    arrays[name] = state.asnumpy()
    return name


def _get(form: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if form is None:
        return None
    if isinstance(form, list):
        return tuple(_get(part, arrays) for part in form)
    return nd.array(arrays[form], dtype=arrays[form].dtype)


def _check_trainer(
    trainer: gluon.Trainer,
    net: gluon.Block,
    state: dict[str, Any],
    arrays: Mapping[str, np.ndarray],
    folder: Path,
) -> None:
    """Raise an error unless the saved state has the form that this optimizer would make anew."""
    params = _parameters(net)

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

    good = set(state["parameters"]) == set(_places(trainer, net))
    good = good and len(state["states"]) <= len(trainer._updaters)
    for states in state["states"] if good else ():
        for name, form in states.items():
            shape = arrays[_array_name(name, 0)].shape
            weight = nd.zeros(shape, dtype=params[name].dtype)
            index = trainer._param2idx[params[name].name]
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


def _restore_trainer(
    trainer: gluon.Trainer,
    net: gluon.Block,
    state: dict[str, Any],
    arrays: Mapping[str, np.ndarray],
) -> None:
    optimizer, params = trainer.optimizer, _parameters(net)
    # In the saved order: some optimizers carry numbers from one parameter to the next.
    trainer._params[:] = [params[name] for name in state["parameters"]]
    trainer._param2idx = {param.name: index for index, param in enumerate(trainer._params)}
    optimizer.param_dict = dict(enumerate(trainer._params))
    trainer._reset_kvstore()  # a store that has been used holds the weights of before
    trainer._init_kvstore()
    trainer._init_params()
    for target, saved in _settings(optimizer, state):
        for name, value in saved.items():
            setattr(target, name, value)
    index_of = {name: index for index, name in enumerate(state["parameters"])}
    counts = {
        int(device): {index_of[name]: count for name, count in by_name.items()}
        for device, by_name in state["counts"].items()
    }
    optimizer._all_index_update_counts = counts
    optimizer._index_update_count = counts.setdefault(0, {})
    for updater, states in zip(_updaters(trainer), state["states"]):
        updater.states = {index_of[name]: _get(form, arrays) for name, form in states.items()}
        updater.states_synced = {index: False for index in updater.states}  # moved when used

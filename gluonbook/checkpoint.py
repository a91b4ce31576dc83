"""A run's state on disk: written so that a stop at any moment loses nothing, read back exactly.

A checkpoint is one safetensors file, which any tool for that format opens and in which nothing
can be executed. It holds the parameters and the optimizer's state as arrays, all else as JSON
in its metadata, and a SHA-256 of both.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass, field
import fcntl
import hashlib
import json
import logging
import math
import os
from pathlib import Path
import random
import re
from typing import Any, Iterator, Mapping

import mxnet as mx
from mxnet import gluon, nd
import numpy as np
import safetensors
import safetensors.numpy

from . import files
from .errors import Failure
from .history import Epoch, History
from .machine import available_memory

log = logging.getLogger("gluonbook")

KEPT = 2
_VERSION = 1
_NAME = re.compile(r"checkpoint-([0-9]{1,9})-([0-9]{1,9})\.safetensors")
_INDEX = re.compile(r"[0-9]{1,9}")
#: Attributes of an optimizer that change as it works, or that the loop sets.
_CHANGING = {"num_update", "begin_num_update", "rescale_grad"}


class CheckpointError(Failure, ValueError):
    """A checkpoint is damaged, of another run, or in use."""


class NotFinite(Failure, ArithmeticError):
    """The loss or a parameter is infinite or not a number."""

    def __init__(self, what: str, epoch: int, batch: int, lr: float, folder: Path | None) -> None:
        kept = f" (the last good state is kept in {folder})" if folder else ""
        super().__init__(
            f"{what} at epoch {epoch}, batch {batch}: most likely the learning rate of {lr:g} is "
            f"too high; start again with a lower one, such as {lr / 2:g}{kept}"
        )


@dataclass
class Progress:
    """How far a run is: `batch` batches of `epoch` (from 1), and the sums over them."""

    epoch: int = 1
    batch: int = 0
    loss: list[float] = field(default_factory=list)
    """Sum of the losses, on each device."""
    correct: list[float] = field(default_factory=list)
    """Number of examples classified rightly, on each device."""
    examples: int = 0
    seconds: float = 0.0
    """Time that the epoch has taken."""


class Checkpoint:
    """The folder in which `train_ch5` and `train` keep a run, and from which they go on with it.

    If the folder holds a checkpoint, the training goes on from there: on the CPU of the same
    machine with the numbers, bit for bit, of a run that was never stopped. Else it begins.
    All randomness of a run (shuffling, dropout) follows from its seed and the position in it.

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

    Raises
    ------
    ValueError
        If `save_every` is less than 1.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        save_every: int | None = None,
        seed: int | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        if save_every is not None and save_every < 1:
            raise ValueError(f"save_every must be at least 1, not {save_every!r}")
        self.folder = Path(folder)
        self.save_every = save_every
        self.seed = int(np.random.randint(2**31)) if seed is None else seed
        self.facts = dict(facts or {})
        self._lock: Any = None

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
        self._net, self._trainer, self._train_iter, self._history = (
            net,
            trainer,
            train_iter,
            history,
        )
        everything = {**self.facts, **facts, **_optimizer_facts(trainer)}
        self.facts = json.loads(json.dumps(everything))  # as it will be read back
        self._make_folder()
        self._acquire()
        try:
            files.remove_partial(self.folder)
            state, arrays = self._newest()
            if state is None:
                self._shuffle_seed = getattr(train_iter, "seed", None)
                progress = Progress()
                if all(param._data for param in net.collect_params().values()):
                    self.save(progress)
                return progress
            self._restore(state, arrays)
            return Progress(**state["progress"])
        except BaseException:
            self.end()
            raise

    def seed_epoch(self, epoch: int) -> None:
        """Seed shuffling and what transforms draw from Python's and NumPy's generators."""
        seed = np.random.SeedSequence([self.seed, epoch]).generate_state(1)[0]
        np.random.seed(seed)
        random.seed(int(seed))
        if hasattr(self._train_iter, "seed"):
            self._train_iter.seed, self._train_iter.epoch = self._shuffle_seed, epoch - 1

    def seed_batch(self, epoch: int, batch: int) -> None:
        """Seed what MXNet draws, such as dropout, while it trains on a batch."""
        mx.random.seed(int(np.random.SeedSequence([self.seed, epoch, batch]).generate_state(1)[0]))

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
                what = f"the parameter {name[len('net/') :]} is no longer finite"
                lr = self._trainer.learning_rate
                raise NotFinite(what, progress.epoch, progress.batch, lr, self.folder)
        state = {
            "version": _VERSION,
            "seed": self.seed,
            "shuffle_seed": self._shuffle_seed,
            "facts": self.facts,
            "progress": asdict(progress),
            "history": self._history.epochs,
            "trainer": _trainer_state(self._trainer, arrays),
        }
        text = json.dumps(state, allow_nan=False)
        path = self.folder / f"checkpoint-{progress.epoch}-{progress.batch}.safetensors"
        metadata = {"state": text, "sha256": _digest(text, arrays)}
        files.write(path, safetensors.numpy.save(arrays, metadata))
        for old in self._paths()[KEPT:]:
            old.unlink()
        return path

    def end(self) -> None:
        """Let other processes train in this folder."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise files.FileFailure(
                f"{self.folder} cannot hold a run ({error.strerror}): name another folder"
            ) from error

    def _acquire(self) -> None:
        path = self.folder / ".lock"
        try:
            lock = open(path, "a+")  # noqa: SIM115  (held until `end`)
        except OSError as error:
            raise files.FileFailure(
                f"{self.folder} cannot be written ({error.strerror}): allow writing there, or name "
                "another folder"
            ) from error
        try:
            # A record lock: gone with its process, however that ends, and not inherited by others.
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            owner = lock.read(20).strip() or "unknown"
            lock.close()
            raise CheckpointError(
                f"{self.folder} is in use by another run (process {owner}): stop that one, or "
                "choose another folder"
            ) from error
        self._lock = lock
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        with suppress(OSError):  # a full disk; the number is only for the sentence above
            lock.flush()

    def _paths(self) -> list[Path]:
        """The checkpoints in the folder, newest first."""
        found = {}
        for path in self.folder.iterdir():
            match = _NAME.fullmatch(path.name)
            if match:
                found[int(match[1]), int(match[2])] = path
        return [found[position] for position in sorted(found, reverse=True)]

    def _newest(self) -> tuple[dict[str, Any] | None, dict[str, np.ndarray]]:
        """The newest checkpoint that is whole, or None and no arrays if there is none at all."""
        limit = size_limit(self._net)
        faults = []
        for path in self._paths():
            try:
                state, arrays = read(path, limit)
            except CheckpointError as error:
                faults.append((path, error))
                continue
            for damaged, fault in faults:
                damaged.replace(f"{damaged}.damaged")
                log.warning("%s; going on from the one before, %s", fault, path.name)
            return state, arrays
        if faults:
            raise CheckpointError(
                f"no checkpoint in {self.folder} is whole: {faults[0][1]}; start a new run in "
                "another folder"
            )
        return None, {}

    def _restore(self, state: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        for name in {**state["facts"], **self.facts}:
            saved, now = state["facts"].get(name, "none"), self.facts.get(name, "none")
            if saved != now:
                held = " ".join(f"{name} {saved}".split())  # whatever the file says, in one line
                raise CheckpointError(
                    f"{self.folder} holds a run with {held}, and this one has {now}: "
                    "give the same, or start a new run"
                )
        _check_net(self._net, arrays, self.folder)
        shapes = {
            id(param): arrays[_array_name(name, 0)].shape
            for name, param in self._net._collect_params_with_prefix().items()
        }
        _check_trainer(self._trainer, state["trainer"], arrays, shapes, self.folder)
        _restore_parameters(self._net, arrays)
        _restore_trainer(self._trainer, state["trainer"], arrays)
        _restore_other_devices(self._net, arrays)
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
        _check_state(state)
    except files.FileFailure as error:
        raise CheckpointError(str(error)) from error
    except (
        *(ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError),
        safetensors.SafetensorError,
    ) as error:
        reason = str(error) if type(error) is ValueError else "it is not a checkpoint"
        raise CheckpointError(f"{path} is damaged ({reason})") from error
    return state, arrays


def _digest(text: str, arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()


def _check_state(state: Any) -> None:
    """Raise an error if `state` is not of the form that `Checkpoint.save` writes."""
    if state["version"] != _VERSION:
        raise ValueError(f"it is of version {state['version']}, and this package knows {_VERSION}")
    progress = Progress(**state["progress"])
    rows = [Epoch(*row) for row in state["history"]]
    whole = [progress.epoch, progress.batch, progress.examples, state["seed"]]
    if state["shuffle_seed"] is not None:
        whole.append(state["shuffle_seed"])
    numbers = [*progress.loss, *progress.correct, progress.seconds]
    numbers += [number for row in rows for number in row]
    trainer = state["trainer"]
    good = (
        all(type(value) is int and 0 <= value < 2**63 for value in whole)
        and all(type(value) in (int, float) and math.isfinite(value) for value in numbers)
        and [row.epoch for row in rows] == list(range(1, progress.epoch))
        and len(progress.loss) == len(progress.correct)
        and isinstance(state["facts"], dict)
        and isinstance(trainer["optimizer"], dict)
        and isinstance(trainer["scheduler"], dict)
        and all(
            isinstance(states, dict) and all(_INDEX.fullmatch(index) for index in states)
            for states in trainer["states"]
        )
        and all(
            type(count) is int and _INDEX.fullmatch(index) and _INDEX.fullmatch(device)
            for device, counts in trainer["counts"].items()
            for index, count in counts.items()
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


def _parameter_arrays(net: gluon.Block) -> Iterator[tuple[str, np.ndarray]]:
    """Each parameter by its place in the net; running statistics once for each device."""
    for name, param in net._collect_params_with_prefix().items():
        values = param.list_data() if param.grad_req == "null" else param.list_data()[:1]
        for device, value in enumerate(values):
            # A copy, made by MXNet's engine: were a weight that oneDNN has rearranged put back in
            # order here, Python's thread would get OpenMP threads (runtime.copy_on_one_thread).
            yield _array_name(name, device), value.copy().asnumpy()


def _array_name(name: str, device: int) -> str:
    return f"net/{name}" + (f"@{device}" if device else "")


def _check_net(net: gluon.Block, arrays: Mapping[str, np.ndarray], folder: Path) -> None:
    expected = {}
    for name, param in net._collect_params_with_prefix().items():
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
    for name, param in net._collect_params_with_prefix().items():
        param.set_data(nd.array(arrays[_array_name(name, 0)], dtype=param.dtype))
        if param._deferred_init:
            param._finish_deferred_init()


def _restore_other_devices(net: gluon.Block, arrays: Mapping[str, np.ndarray]) -> None:
    """Give each further device its running statistics; the trainer gave it the first's."""
    for name, param in net._collect_params_with_prefix().items():
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


def _trainer_state(trainer: gluon.Trainer, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """The trainer's state as JSON; its arrays are added to `arrays`."""
    optimizer = trainer.optimizer
    return {
        "optimizer": _plain(vars(optimizer)),
        "scheduler": _plain(vars(optimizer.lr_scheduler)) if optimizer.lr_scheduler else {},
        "counts": optimizer._all_index_update_counts,
        "states": [
            {
                index: _put(state, f"trainer/{i}/{index}", arrays)
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
    state: dict[str, Any],
    arrays: Mapping[str, np.ndarray],
    shapes: Mapping[int, tuple[int, ...]],
    folder: Path,
) -> None:
    """Raise an error unless the saved state has the form that this optimizer would make anew."""

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

    good = len(state["states"]) <= len(trainer._updaters)
    for states in state["states"]:
        for index, form in states.items():
            if int(index) >= len(trainer._params):
                good = False
                continue
            param = trainer._params[int(index)]
            weight = nd.zeros(shapes.get(id(param), param.shape), dtype=param.dtype)
            fresh = trainer.optimizer.create_state_multi_precision(int(index), weight)
            good = good and fits(form, fresh)
    for target, saved in _settings(trainer.optimizer, state):
        for name, value in saved.items():
            now = getattr(target, name, None)
            numbers = type(now) in (int, float, type(None)) and type(value) in (int, float)
            good = good and hasattr(target, name) and (numbers or type(now) is type(value))
    if not good:
        raise CheckpointError(f"{folder} holds a run of another trainer: start a new run")


def _settings(
    optimizer: mx.optimizer.Optimizer, state: dict[str, Any]
) -> list[tuple[Any, dict[str, Any]]]:
    return [(optimizer, state["optimizer"]), (optimizer.lr_scheduler, state["scheduler"])]


def _restore_trainer(
    trainer: gluon.Trainer, state: dict[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
    optimizer = trainer.optimizer
    trainer._reset_kvstore()  # a store that has been used holds the weights of before
    trainer._init_kvstore()
    trainer._init_params()
    for target, saved in _settings(optimizer, state):
        for name, value in saved.items():
            setattr(target, name, value)
    counts = {
        int(device): {int(index): count for index, count in indices.items()}
        for device, indices in state["counts"].items()
    }
    optimizer._all_index_update_counts = counts
    optimizer._index_update_count = counts.setdefault(0, {})
    for updater, states in zip(_updaters(trainer), state["states"]):
        updater.states = {int(index): _get(form, arrays) for index, form in states.items()}
        updater.states_synced = {index: False for index in updater.states}  # moved when used

"""The file format of a checkpoint, and the checks that a file must pass.

A checkpoint is a safetensors file: other tools can open it, and reading it runs no code. It holds
the parameters and the optimizer's state as arrays, everything else as JSON in its metadata, and a
SHA-256 of both.
"""

from __future__ import annotations

from dataclasses import asdict
import hashlib
import json
import math
import os
import re
from typing import Any, Dict, Mapping, Tuple

import numpy as np
import safetensors
import safetensors.numpy

from ..system import files
from ..training.epochs import Epoch
from ..training.run import CheckpointError
from ..training.tally import Progress

VERSION = 2
#: Settings of optimizers and schedules that are whole numbers.
_COUNTED = {"num_update", "begin_num_update", "aggregate_num", "count", "cur_step_ind"}
_DEVICE = re.compile(r"[0-9]{1,9}")
#: Where the trainer's state has the scale of its losses, if it trains in float16.
LOSS_SCALE = "loss_scale"
#: Each count that something loops up to is less.
_MOST = 10**9

Arrays = Mapping[str, np.ndarray]
#: The state of a run, and its arrays by name.
Parsed = Tuple[Dict[str, Any], Arrays]


class OtherVersion(CheckpointError):
    """A checkpoint is of another version of this package."""


def read(path: str | os.PathLike[str], limit: int) -> Parsed:
    """The state and the arrays of a checkpoint file of at most `limit` bytes.

    Raises
    ------
    CheckpointError
        If the file is not, to the last bit, a checkpoint that `Checkpoint.save` wrote.
    """
    try:
        content = files.read(path, limit)
    except files.FileFailure as error:
        raise CheckpointError(str(error)) from error
    return parse(content, path)


def parse(content: bytes, path: str | os.PathLike[str]) -> Parsed:
    """The same from the bytes of a file; `path` is named in errors."""
    try:
        # The length of the header comes first; what the header says of itself is in it.
        length = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + length])["__metadata__"]
        arrays = safetensors.numpy.load(content)
        text = metadata["state"]
        if metadata["sha256"] != digest(text, arrays):
            raise ValueError("its checksum does not match")
        state = json.loads(text)
        if state["version"] == VERSION:
            check_state(state)
    except (
        *(ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError),
        safetensors.SafetensorError,
    ) as error:
        reason = str(error) if type(error) is ValueError else "it is not a checkpoint"
        raise CheckpointError(f"{path} is damaged ({reason})") from error
    if state["version"] != VERSION:
        raise OtherVersion(
            f"{path} is a checkpoint of version {state['version']}, and this gluonbook reads "
            f"version {VERSION}: resume it with the gluonbook that wrote it, or start a new run"
        )
    return state, arrays


def digest(text: str, arrays: Arrays) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()


def check_state(state: Any) -> None:
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
    scale = trainer.get(LOSS_SCALE, {"now": 1.0, "next": 1.0, "steps": 0})
    counts.append(scale["steps"])
    good = (
        all(type(value) is int and 0 <= value < 2**63 for value in whole)
        and (shuffle_seed is None or type(shuffle_seed) is int and 0 <= shuffle_seed < 2**32)
        and all(type(value) is int and 0 <= value < _MOST for value in counts)
        and all(type(value) in (int, float) and math.isfinite(value) for value in numbers)
        and all(type(scale[k]) is float and 0 < scale[k] < math.inf for k in ("now", "next"))
        and state["progress"].keys() == asdict(progress).keys()
        and progress.correct <= progress.labels
        and progress.seconds >= 0
        and len(rows) == progress.epoch - 1
        and all(row.epoch == place and row.is_sound() for place, row in enumerate(rows, 1))
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

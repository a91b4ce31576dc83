"""What a run's folder says of the run: its file ``config.json``."""

from __future__ import annotations

import json
from pathlib import Path
import re
from typing import Any, NamedTuple

from ..system import files
from ..system.errors import Failure

CONFIG = "config.json"
#: In it, whether the folder keeps a list of digests. A user may have removed that.
LISTED = "keeps_digests"
#: In it, the number of epochs after which the net's files were written.
TRAINED = "trained_epochs"
_TRAINING = ("optimizer", "initializer", "tuning")
#: A name of files, and nothing that leads out of the folder.
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,99}", re.ASCII)


class Config(NamedTuple):
    """The configuration of a run, so far as every run has it."""

    folder: Path
    name: str
    """Of the net's files; for a section of the book, the section's."""
    options: dict[str, Any]
    """Those of the command line that began the run; empty if none did."""
    training: dict[str, Any]
    """What else the training was begun with: ``optimizer``, ``initializer``, ``tuning``."""
    net: str | None
    """The net's `fingerprint`; None if the run is of a version that did not note it."""
    input_shape: Any
    """That of one example, [C, H, W]; None if the run is of a version that did not note it."""
    trained: int | None
    """After how many epochs the net's files were written: None if they have not been, 0 if the run
    is of a version that did not note it."""
    dataset: Any
    """Which Fashion-MNIST the net was trained on; None if the run does not know its data."""
    command: str | None
    """What Python is given to resume the run, but for the folder; None if code of a user's keeps
    it."""

    @property
    def how_to_resume(self) -> str:
        if self.command is None:
            return "the code that trains it"
        return f"python {self.command} {self.folder}"

    def damaged(self, why: object) -> Failure:
        """The error for a value that cannot be right."""
        return Failure(f"{self.folder / CONFIG} is damaged: {why}")


def check_name(name: str) -> None:
    """Raise a `Failure` unless the files of a run's net can have this name."""
    if not _NAME.fullmatch(name):
        raise Failure(
            f"the name {name!r} cannot be that of a run's files: take up to 100 letters from a to "
            "z, digits, dots, hyphens and underscores, such as resnet_wide"
        )


def read_config(folder: Path) -> Config:
    """The configuration of the run in `folder`.

    Raises
    ------
    Failure
        If there is no such run, or its configuration is damaged.
    """
    if not folder.is_dir():
        raise Failure(f"there is no folder {folder}: name that of a run, such as one under runs")
    path = folder / CONFIG
    if not path.exists() and (inside := sorted(folder.glob(f"*/{CONFIG}"))):
        raise Failure(f"{folder} holds runs: name one of them, such as {inside[-1].parent}")
    try:
        content = json.loads(files.read(path, 2**20))
        name, trained = content["section"], content.get(TRAINED, 0)
        if not {"optimizer", "dataset"} <= content.keys():
            raise KeyError
        config = Config(
            folder,
            name,
            dict(content["options"]),
            {each: content[each] for each in _TRAINING if each in content},
            content.get("net"),
            content.get("input"),
            trained,
            content["dataset"],
            content.get("command", f"chapters/{name}.py --resume"),
        )
        for text in (config.net, config.command):
            if not isinstance(text, (str, type(None))):
                raise TypeError
        if not _NAME.fullmatch(name):
            raise ValueError
    except (ValueError, TypeError, KeyError, RecursionError, AttributeError) as error:
        raise Failure(f"{path} is damaged: it is not the configuration of a run") from error
    if not (trained is None or (type(trained) is int and trained >= 0)):
        raise config.damaged(f"{TRAINED} is not a number of epochs")
    if content.get(LISTED) and files.has_strange_list(folder):
        raise files.damaged_list(folder)
    return config

"""What the commands of this package share: a parser, and what a value may be."""

from __future__ import annotations

import argparse
from difflib import get_close_matches
from functools import partial
import math
import os
from pathlib import Path
import re
from typing import Any, NoReturn, Sequence

import numpy as np

from ..data import folders, published_files
from ..runs.trained import LARGEST_SIZE
from ..system.errors import Failure, limit_text, printable
from ..system.output import in_notebook
from ..zoo import pretrained

#: Images of the data set.
TRAINING_IMAGES, TEST_IMAGES = 60_000, 10_000
#: How many test images a quick look uses at least, for an accuracy that is known to one or two
#: hundredths.
LEAST_TESTED = 1_000
#: MXNet computes with learning rates in float32.
_LEAST_RATE, _GREATEST_RATE = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)


def quick_test(limit: int) -> int:
    """Number of test images for a training on `limit` images: a sixth, as of the whole set."""
    return min(max(limit // 6, LEAST_TESTED), TEST_IMAGES)


class _Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Help that states the default of an option that has one, and breaks no command."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        stated = action.default not in (None, argparse.SUPPRESS)
        stated = stated and not isinstance(action.default, bool)
        return super()._get_help_string(action) if stated else action.help


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence, and whose help states defaults.

    Options may stand anywhere on the command line, between the names of files too.
    """

    def __init__(self, description: str, **settings: Any) -> None:
        super().__init__(description=description, formatter_class=_Help, **settings)

    def parse_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        options, unknown = self.parse_known_intermixed_args(args, namespace)
        if unknown:
            self.error(self._unknown(unknown))
        return options

    def _unknown(self, texts: Sequence[str]) -> str:
        """What to say of arguments that are none; names the option that was probably meant."""
        options = [name for action in self._actions for name in action.option_strings]
        known = [name[2:] for name in options if name.startswith("--")]
        for text in texts:
            name = text.partition("=")[0]
            if text.startswith("--") and (meant := get_close_matches(name[2:], known, 1, 0.7)):
                return f"there is no option {name}: did you mean --{meant[0]}?"
        return f"unrecognized arguments: {' '.join(texts)}"

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {printable(message)} (--help lists the options)\n")


# --- what a value may be ----------------------------------------------------------------------


def whole_number(text: str, below: int = 2**31) -> int:
    # Of more digits than a few thousand, Python makes no number.
    number = int(text) if text.isdecimal() and len(text) < 100 else 0
    if not 0 < number < below:
        limit = f" and below {limit_text(below)}" if number else ""
        raise argparse.ArgumentTypeError(
            f"must be a whole number of at least 1{limit}, not {text!r}"
        )
    return number


image_size = partial(whole_number, below=LARGEST_SIZE)
#: Some training images have to be left.
held_out_images = partial(whole_number, below=TRAINING_IMAGES)
process_count = partial(whole_number, below=2**10)


def seed_number(text: str) -> int:
    if not text.isdecimal() or len(text) >= 100 or int(text) >= 2**31:
        raise argparse.ArgumentTypeError(f"must be a whole number below 2**31, not {text!r}")
    return int(text)


def learning_rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text!r}")
    if not _LEAST_RATE <= rate <= _GREATEST_RATE:
        raise argparse.ArgumentTypeError(
            f"must be a number that float32 holds, from {_LEAST_RATE:.2g} to "
            f"{_GREATEST_RATE:.2g}, not {text!r}"
        )
    return rate


def device(text: str) -> str:
    numbers = text.partition(":")[2].split(",")
    if not re.fullmatch(r"auto|all|(cpu|gpu)(:[0-9]{1,3}(,[0-9]{1,3})*)?", text) or len(
        set(numbers)
    ) < len(numbers):
        raise argparse.ArgumentTypeError(
            f"must be auto, cpu, gpu, all, or one or several by number, as gpu:0,1, not {text!r}"
        )
    return text


def data_folder(text: str) -> str:
    try:
        folder = folders.expanded(text)
    except published_files.DatasetError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if folders.folder_with_files(folder) is None:
        raise argparse.ArgumentTypeError(
            f"{text} does not hold the four files {', '.join(published_files.SIZES)} (.gz or not)"
        )
    return os.fspath(folder)


#: Arguments that several commands share.
_SHARED: dict[str, dict[str, Any]] = {
    "run": {
        "metavar": "RUN",
        "help": "folder of a run that has ended, or NAME of a net that comes trained: "
        f"{pretrained.names()}",
    },
    "--data": {
        "type": data_folder,
        "metavar": "DIR",
        "help": "folder with the files of Fashion-MNIST",
    },
    "--device": {
        "type": device,
        "default": "auto",
        "metavar": "DEVICE",
        "help": "auto, cpu, gpu or gpu:1",
    },
    "--debug": {"action": "store_true", "help": "print the traceback of an error"},
}


def add_shared(options: argparse._ActionsContainer, *names: str) -> None:
    """Add some of ``run``, ``--data``, ``--device`` and ``--debug`` to a parser, or to a group."""
    for name in names:
        options.add_argument(name, **_SHARED[name])


def runs_folder() -> Path:
    """Where runs land unless ``--out`` says otherwise: in ``runs`` of the working folder.

    A chapter's notebook works in the folder of the chapter. Its runs land where those of the script
    do, which is started in the folder above.
    """
    clone, here = Path(__file__).resolve().parents[2], Path.cwd()
    if in_notebook() and clone / "chapters" in (here, *here.parents):
        return Path(os.path.relpath(clone / "runs"))
    return Path("runs")


def out_folder(path: str | os.PathLike[str]) -> Path:
    """The folder that ``--out`` names, made if it does not exist.

    Raises
    ------
    Failure
        If it cannot be made.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Failure(f"--out {folder} cannot be made ({error.strerror}); name another") from error
    return folder

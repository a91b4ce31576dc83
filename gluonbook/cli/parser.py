"""The command line of a chapter script: which options there are, and what each may be."""

from __future__ import annotations

import argparse
from functools import partial
import math
import os
from pathlib import Path
import re
from typing import Any, Callable, NoReturn

import numpy as np

from ..data import folders, published_files
from ..nets.edition import EDITIONS
from ..recipes import QUICK_LOOKS, RECIPES, Recipe, Tuning, recipes_of
from ..system.errors import Failure, limit_text, printable

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
    """A parser whose errors are one sentence, and whose help states defaults."""

    def __init__(self, description: str, **settings: Any) -> None:
        super().__init__(description=description, formatter_class=_Help, **settings)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {printable(message)} (--help lists the options)\n")


class ChapterParser(Parser):
    """A parser whose result holds only what was given, so that defaults can come from elsewhere."""

    def __init__(self, description: str, epilog: str) -> None:
        super().__init__(description, epilog=epilog, argument_default=argparse.SUPPRESS)
        self.actions: list[argparse.Action] = []

    def group(self, title: str) -> Callable[..., None]:
        """What adds an option under this title of the help."""
        group = self.add_argument_group(title)
        return lambda *names, **settings: self.actions.append(
            group.add_argument(*names, **settings)
        )


def chapter_parser(section: str) -> ChapterParser:
    recipe, recipes = RECIPES[section], recipes_of(section)
    parser = ChapterParser(
        f"{recipe.title} on Fashion-MNIST. The defaults are the book's.",
        f"A quick look, in which the net learns:\n  {section}.py {QUICK_LOOKS[section]}",
    )
    training = parser.group("training")
    training(
        "--recipe",
        choices=tuple(recipes),
        help="; ".join(f"{name}: {_described(each, section)}" for name, each in recipes.items())
        + " (default: book)"
        if len(recipes) > 1
        else argparse.SUPPRESS,
    )

    def default(name: str) -> str:
        values = {getattr(each, name) for each in recipes.values()}
        return f"(default: {values.pop() if len(values) == 1 else 'that of the recipe'})"

    for name, option, kind, metavar, told in (
        ("num_epochs", "--epochs", whole_number, "N", "passes over the training images"),
        ("lr", "--lr", learning_rate, "RATE", "learning rate"),
        ("batch_size", "--batch-size", whole_number, "N", "images in a batch"),
    ):
        training(option, dest=name, type=kind, metavar=metavar, help=f"{told} {default(name)}")
    training(
        "--seed",
        type=seed_number,
        metavar="N",
        help="of the initial weights, shuffling and dropout; without it, another in each run",
    )
    training(
        "--device",
        type=device,
        metavar="DEVICE",
        help="auto (the default: a GPU if one works), cpu, gpu, one by its number (gpu:1), several "
        "(gpu:0,1) or all; cpu:0,1 tries several without a GPU",
    )
    training(
        "--deterministic",
        action="store_true",
        help="the same numbers in every run on a GPU too, which is slower: no cuDNN autotuning, no "
        "TensorFloat-32 (untried: no GPU was at hand)",
    )
    training(
        "--no-hybridize",
        dest="hybridize",
        action="store_false",
        help="run the net operator by operator, which is slower and easier to debug",
    )
    training(
        "--amp",
        action="store_true",
        help="compute in 16 bits: on the CPU in bfloat16, refused where it is not known to be safe "
        "and faster; on a GPU in float16 (untried: no GPU was at hand)",
    )
    data = parser.group("data")
    data(
        "--size",
        type=image_size,
        metavar="PIXELS",
        help=f"height and width of the images {default('size')}",
    )
    data(
        "--limit", type=whole_number, metavar="N", help="train on the first N images: a quick look"
    )
    data(
        "--limit-test",
        type=whole_number,
        metavar="N",
        help="test on the first N images (default: all; with --limit a sixth of that, but at least "
        f"{LEAST_TESTED:,})",
    )
    data(
        "--data",
        type=data_folder,
        metavar="DIR",
        help="folder with the four .gz files of Fashion-MNIST; else they are found or downloaded",
    )
    parser.group("net")(
        "--edition",
        choices=EDITIONS,
        help=f"text of the book that the net follows (default: {EDITIONS[0]})"
        if recipe.editions_differ
        else argparse.SUPPRESS,
    )
    saving = parser.group("saving")
    saving(
        "--save-every",
        type=whole_number,
        metavar="N",
        help="save the run after every N batches too, not only as each epoch ends",
    )
    saving(
        "--resume",
        metavar="RUN",
        help="go on with the run in this folder, with its options; --epochs may be greater",
    )
    saving(
        "--export",
        choices=("onnx",),
        help="also save the trained net as an ONNX file, for programs without MXNet",
    )
    saving(
        "--tensorboard",
        action="store_true",
        help="also save the figures for TensorBoard, which shows runs with tensorboard --logdir",
    )
    output = parser.group("output")
    output("--out", metavar="DIR", help="folder that the run's folder is made in (default: runs)")
    output("--debug", action="store_true", help="print the traceback of an error")
    return parser


def _described(recipe: Recipe, section: str) -> str:
    """What a recipe's training begins and goes on with, and the net if it is not the section's."""
    net = "" if recipe.title == RECIPES[section].title else f"{recipe.title}, "
    told = f"{net}{recipe.optimizer}, learning rate {recipe.lr}, {recipe.initializer} weights"
    tuning = recipe.tuning
    if tuning == Tuning():
        return told
    *parts, last = (
        name
        for name, is_there in (
            ("momentum", tuning.momentum),
            ("weight decay", tuning.weight_decay),
            ("a schedule", tuning.warm_up is not None),
            ("moved images", tuning.augment),
            ("label smoothing", tuning.smoothing),
        )
        if is_there
    )
    return f"{told}, {recipe.num_epochs} epochs with {', '.join(parts)} and {last}"


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


#: In pixels. A net has to compute before its shapes are known, which for more would need too much
#: memory.
image_size = partial(whole_number, below=2**12)
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


#: Options that several commands share.
_SHARED: dict[str, dict[str, Any]] = {
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
    """Add some of ``--data``, ``--device`` and ``--debug`` to a parser or a group of options."""
    for name in names:
        options.add_argument(name, **_SHARED[name])


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

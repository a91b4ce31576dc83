"""The options of a chapter script: from the command line, a saved run, or the section's recipe."""

from __future__ import annotations

import argparse
import json
import math
import os
from pathlib import Path
import re
from typing import Any, Callable, NoReturn, Sequence

from ..data import fashion_mnist
from ..nets.edition import EDITIONS
from ..recipes import QUICK_LOOKS, RECIPES, Recipe, recipes_of
from ..system import files
from ..system.errors import Failure

CONFIG = "config.json"
#: The options that the section's text states, in the order of `Chapter.choose`.
HYPERPARAMETERS = ("lr", "num_epochs", "batch_size", "size")
#: Options that a run keeps. When it is resumed the first may be given anew, the others may not.
_CHANGEABLE = ("num_epochs", "device", "hybridize", "data", "save_every")
_FIXED = ("recipe", "lr", "batch_size", "seed", "size", "limit", "limit_test", "edition", "amp")
_DEFAULTS: dict[str, Any] = {
    **dict.fromkeys((*_CHANGEABLE, *_FIXED, "resume")),
    **{"recipe": "book", "edition": EDITIONS[0], "amp": False},
    **{"device": "auto", "hybridize": True, "out": "runs", "debug": False},
}
#: Test images of the data set; and how many a quick look uses at least, for an accuracy that is
#: known to one or two hundredths.
_TEST_IMAGES, _LEAST_TESTED = 10_000, 1_000


class Options(argparse.Namespace):
    """The resolved options of a run.

    Attributes
    ----------
    given
        Those of `HYPERPARAMETERS` that the command line, or the run that is resumed, states.
    """

    given: frozenset[str]


def parse(section: str, argv: Sequence[str]) -> Options:
    """The options in `argv`; for the rest those of the run to resume, or of the recipe.

    Raises
    ------
    SystemExit
        With code 2, after one sentence, if an option is wrong; with 0 after ``--help``.
    Failure
        If the run to resume is missing, damaged, or contradicts `argv`.
    """
    parser = _parser(section)
    given = vars(parser.parse_args(argv))
    saved = {}
    if "resume" in given:
        saved = saved_options(section, Path(given["resume"]))
        refuse_changes(saved, given, Path(given["resume"]))
    values = {**_DEFAULTS, **saved, **given}
    options = Options(**values)
    options.given = frozenset(name for name in HYPERPARAMETERS if values[name] is not None)
    recipe = recipes_of(section)[options.recipe]
    for name in set(HYPERPARAMETERS) - options.given:
        setattr(options, name, getattr(recipe, name))
    if options.limit is not None and options.limit_test is None:
        options.limit_test = min(max(options.limit // 6, _LEAST_TESTED), _TEST_IMAGES)
    return options


# --- the options of a saved run ---------------------------------------------------------------


def refuse_changes(saved: dict[str, Any], options: dict[str, Any], folder: Path) -> None:
    """Raise a `Failure` if `options` changes what a resumed run must keep."""
    for name in _FIXED:
        before, now = saved[name], options.get(name, saved[name])
        if before != now:
            option = f"--{name.replace('_', '-')}"
            raise Failure(
                f"the run in {folder} has {option} {before}, not {now}: leave {option} out, or "
                "start a new run without --resume"
            )


def refuse_other_data(folder: Path, edition: str) -> None:
    """Raise a `Failure` if the run in `folder` has another edition of the data set."""
    saved = _read_config(folder)["dataset"]["edition"]
    if saved != edition:
        raise Failure(
            f"the run in {folder} has the data set's edition of {saved}, not of {edition}: name "
            "the folder of that edition with --data, or start a new run"
        )


def saved_options(section: str, folder: Path) -> dict[str, Any]:
    """The options of the run in `folder`, each checked as one of the command line is.

    Raises
    ------
    Failure
        If there is no such run, it is damaged, of another section, or of another version's recipe.
    """
    config = _read_config(folder)
    if config["section"] != section:
        raise Failure(
            f"{folder} holds a run of {config['section']}, not of {section}: use the script "
            "of that section, or name another folder"
        )
    options: dict[str, Any] = dict.fromkeys((*_FIXED, *_CHANGEABLE))
    for action in _parser(section).actions:
        value = config["options"].get(action.dest)
        if action.dest not in options or value is None:
            continue
        try:
            if action.dest == "data" and fashion_mnist.folder_with_files(Path(value)) is None:
                continue  # moved since; then it is looked for
            options[action.dest] = _checked(action, value)
        except (argparse.ArgumentTypeError, ValueError, TypeError) as error:
            option = action.option_strings[0]
            raise Failure(f"{folder / CONFIG} is damaged: argument {option}: {error}") from error
    options = {name: _DEFAULTS[name] if value is None else value for name, value in options.items()}
    recipe = recipes_of(section)[options["recipe"]]
    for name, now in (("optimizer", recipe.optimizer), ("initializer", recipe.initializer)):
        if config[name] != now:
            raise Failure(
                f"the run in {folder} has the {name} {config[name]}, and this version {now}: "
                "start a new run"
            )
    return options


def _checked(action: argparse.Action, value: object) -> object:
    """A saved value, as if its text stood on the command line."""
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise TypeError(f"must be true or false, not {value!r}")
        return value
    result = action.type(str(value)) if callable(action.type) else str(value)
    if action.choices is not None and result not in action.choices:
        raise ValueError(f"invalid choice: {result!r}")
    return result


def _read_config(folder: Path) -> dict[str, Any]:
    """The configuration of the run in `folder`, so far as its form goes."""
    if not folder.is_dir():
        raise Failure(f"--resume {folder}: there is no such folder; name one under --out")
    path = folder / CONFIG
    try:
        config = json.loads(files.read(path, 2**20))
        needed = ("section", "optimizer", "initializer", "dataset", "options")
        strings = [*(config[name] for name in needed[:3]), config["dataset"]["edition"]]
        if not all(isinstance(value, str) for value in strings):
            raise TypeError
        # A run from before there was --limit-test was tested on all images.
        config["options"] = {"limit_test": _TEST_IMAGES, **dict(config["options"])}
        if not all(name in config["options"] for name in _FIXED):
            raise KeyError
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Failure(f"{path} is damaged: it is not the configuration of a run") from error
    return config


# --- the parser -------------------------------------------------------------------------------


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
        self.exit(2, f"error: {message} (--help lists the options)\n")


class _Given(Parser):
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


def _parser(section: str) -> _Given:
    recipe, recipes = RECIPES[section], recipes_of(section)
    parser = _Given(
        f"{recipe.title} on Fashion-MNIST. The defaults are the book's.",
        f"A quick look, in which the net learns:\n  {section}.py {QUICK_LOOKS[section]}",
    )
    training = parser.group("training")
    training(
        "--recipe",
        choices=tuple(recipes),
        help="; ".join(f"{name}: {_described(each)}" for name, each in recipes.items())
        + " (default: book)",
    )
    training(
        "--epochs",
        dest="num_epochs",
        type=whole_number,
        metavar="N",
        help=f"passes over the training images (default: {recipe.num_epochs})",
    )
    training(
        "--lr", type=positive_number, metavar="RATE", help="learning rate (default: the recipe's)"
    )
    training(
        "--batch-size",
        type=whole_number,
        metavar="N",
        help=f"images in a batch (default: {recipe.batch_size})",
    )
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
        "--no-hybridize",
        dest="hybridize",
        action="store_false",
        help="run the net operator by operator, which is slower and easier to debug",
    )
    training(
        "--amp",
        action="store_true",
        help="compute in bfloat16; refused where that is not known to be safe and faster",
    )
    data = parser.group("data")
    data(
        "--size",
        type=whole_number,
        metavar="PIXELS",
        help=f"height and width of the images (default: {recipe.size})",
    )
    data(
        "--limit", type=whole_number, metavar="N", help="train on the first N images: a quick look"
    )
    data(
        "--limit-test",
        type=whole_number,
        metavar="N",
        help="test on the first N images (default: all; with --limit a sixth of that, but at least "
        f"{_LEAST_TESTED:,})",
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
        + ("" if recipe.editions_differ else "; it is the same net in this section"),
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
    output = parser.group("output")
    output("--out", metavar="DIR", help="folder that the run's folder is made in (default: runs)")
    output("--debug", action="store_true", help="print the traceback of an error")
    return parser


def _described(recipe: Recipe) -> str:
    """What a recipe's training begins and goes on with."""
    return f"{recipe.optimizer}, learning rate {recipe.lr}, {recipe.initializer} weights"


def whole_number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text!r}")
    return int(text)


def seed_number(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**31:
        raise argparse.ArgumentTypeError(f"must be a whole number below 2**31, not {text!r}")
    return int(text)


def positive_number(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not (0 < rate < math.inf):
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text!r}")
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
        folder = fashion_mnist.expanded(text)
    except fashion_mnist.DatasetError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if fashion_mnist.folder_with_files(folder) is None:
        raise argparse.ArgumentTypeError(
            f"{text} does not hold the four files {', '.join(fashion_mnist.SIZES)} (.gz or not)"
        )
    return os.fspath(folder)

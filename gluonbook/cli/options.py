"""The options of a chapter script: from the command line, a saved run, or the section's recipe."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any, Mapping, Sequence

from ..data.folders import folder_with_files
from ..distributed.workers import Workers
from ..nets.edition import EDITIONS
from ..recipes import RECIPES, Tuning, recipes_of
from ..system import files
from ..system.errors import Failure
from .parser import TEST_IMAGES, chapter_parser, quick_test

CONFIG = "config.json"
#: In it, the number of epochs after which the net's files were written.
TRAINED = "trained_epochs"
#: In it, whether the folder keeps a list of digests. A user may have removed that.
LISTED = "keeps_digests"
#: The options that the section's text states, in the order of `Chapter.choose`.
HYPERPARAMETERS = ("lr", "num_epochs", "batch_size", "size")
#: Options that a run keeps. When it is resumed the first may be given anew, the others may not.
_CHANGEABLE = (
    *("num_epochs", "device", "deterministic", "hybridize", "data", "save_every"),
    *("export", "tensorboard"),
)
_FIXED = ("recipe", "lr", "batch_size", "seed", "size", "limit", "limit_test", "edition", "amp")
_DEFAULTS: dict[str, Any] = {
    **dict.fromkeys((*_CHANGEABLE, *_FIXED, "resume")),
    **{"recipe": "book", "edition": EDITIONS[0], "amp": False},
    **{"device": "auto", "deterministic": False, "hybridize": True, "tensorboard": False},
    **{"out": "runs", "debug": False},
}


class Options(argparse.Namespace):
    """The resolved options of a run.

    Attributes
    ----------
    given
        Those of `HYPERPARAMETERS` that the command line, or the run that is resumed, states.
    """

    given: frozenset[str] = frozenset()

    def from_first(self, workers: Workers) -> Options:
        """The options of the first worker; the others have read no command line."""
        content = json.dumps({**vars(self), "given": sorted(self.given)}).encode()
        values = json.loads(workers.from_first(content))
        return Options(**{**values, "given": frozenset(values["given"])})


def parse(section: str, argv: Sequence[str]) -> Options:
    """The options in `argv`; for the rest those of the run to resume, or of the recipe.

    Raises
    ------
    SystemExit
        With code 2, after one sentence, if an option is wrong; with 0 after ``--help``.
    Failure
        If the run to resume is missing, damaged, or contradicts `argv`.
    """
    parser = chapter_parser(section)
    given = vars(parser.parse_args(argv))
    saved = {}
    if "resume" in given:
        saved = resumed_options(section, Path(given["resume"]), given)
    values = {**_DEFAULTS, **saved, **given}
    options = Options(**values)
    options.given = frozenset(name for name in HYPERPARAMETERS if values[name] is not None)
    recipe = recipes_of(section)[options.recipe]
    for name in set(HYPERPARAMETERS) - options.given:
        setattr(options, name, getattr(recipe, name))
    if options.seed is None:
        options.seed = int.from_bytes(os.urandom(4), "little") // 2
    if options.limit is not None and options.limit_test is None:
        options.limit_test = quick_test(options.limit)
    return options


# --- the options of a saved run ---------------------------------------------------------------


def resumed_options(section: str, folder: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """The `saved_options` of a run that is to go on with `options`.

    Raises
    ------
    Failure
        As `saved_options` does, and if `options`, or this version's recipe, changes what the run
        must keep.
    """
    config = _read_config(folder)
    saved = _options_in(config, section, folder)
    recipe = recipes_of(section)[saved["recipe"]]
    for name, now in (
        ("optimizer", recipe.optimizer),
        ("initializer", recipe.initializer),
        ("tuning", recipe.tuning._asdict()),
    ):
        if config[name] != now:
            raise Failure(
                f"the run in {folder} has the {name} {config[name]}, and this version {now}: "
                "start a new run"
            )
    # A schedule spans the epochs that the run began with.
    fixed = _FIXED if recipe.tuning.warm_up is None else (*_FIXED, "num_epochs")
    for name in fixed:
        before, now = saved[name], options.get(name, saved[name])
        if before != now:
            option = f"--{name.replace('num_', '').replace('_', '-')}"
            raise Failure(
                f"the run in {folder} has {option} {before}, not {now}: leave {option} out, or "
                "start a new run without --resume"
            )
    return saved


def refuse_other_data(folder: Path, release: str) -> None:
    """Raise a `Failure` if the run in `folder` has another release of the data set."""
    saved = _read_config(folder)["dataset"]["edition"]
    if saved != release:
        raise Failure(
            f"the run in {folder} has the data set's release of {saved}, not of {release}: name "
            "the folder of that release with --data, or start a new run"
        )


def section_of(folder: Path) -> str:
    """The section whose run is in `folder`.

    Raises
    ------
    Failure
        If there is no such run, or its configuration is damaged.
    """
    section = _read_config(folder)["section"]
    if section not in RECIPES:
        raise Failure(f"{folder / CONFIG} is damaged: there is no section {section!r}")
    return section


def saved_options(section: str, folder: Path) -> dict[str, Any]:
    """The options of the run in `folder`, each checked as one of the command line is.

    Raises
    ------
    Failure
        If there is no such run, it is damaged, or of another section.
    """
    return _options_in(_read_config(folder), section, folder)


def trained_epochs(folder: Path) -> int | None:
    """How many epochs of training are in the net's files of the run in `folder`.

    None if they have not been written, 0 if the run is of a version that did not note it.

    Raises
    ------
    Failure
        If there is no such run, or its configuration is damaged.
    """
    config = _read_config(folder)
    if TRAINED not in config:
        return 0
    epochs = config[TRAINED]
    if epochs is None or (type(epochs) is int and epochs > 0):
        return epochs
    raise Failure(f"{folder / CONFIG} is damaged: {TRAINED} is not a number of epochs")


def _options_in(config: dict[str, Any], section: str, folder: Path) -> dict[str, Any]:
    if config["section"] != section:
        raise Failure(
            f"{folder} holds a run of {config['section']}, not of {section}: use the script "
            "of that section, or name another folder"
        )
    options: dict[str, Any] = dict.fromkeys((*_FIXED, *_CHANGEABLE))
    for action in chapter_parser(section).actions:
        value = config["options"].get(action.dest)
        if action.dest not in options or value is None:
            continue
        try:
            if action.dest == "data" and folder_with_files(Path(value)) is None:
                continue  # moved since; then it is looked for
            options[action.dest] = _checked(action, value)
        except (argparse.ArgumentTypeError, ValueError, TypeError) as error:
            option = action.option_strings[0]
            raise Failure(f"{folder / CONFIG} is damaged: argument {option}: {error}") from error
    return {name: _DEFAULTS[name] if value is None else value for name, value in options.items()}


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
        raise Failure(f"there is no folder {folder}: name that of a run, such as one under runs")
    path = folder / CONFIG
    try:
        config = json.loads(files.read(path, 2**20))
        needed = ("section", "optimizer", "initializer", "dataset", "options")
        strings = [*(config[name] for name in needed[:3]), config["dataset"]["edition"]]
        if not all(isinstance(value, str) for value in strings):
            raise TypeError
        # A run from before there was --limit-test was tested on all images, and none was tuned.
        config.setdefault("tuning", Tuning()._asdict())
        config["options"] = {"limit_test": TEST_IMAGES, **dict(config["options"])}
        if not all(name in config["options"] for name in _FIXED):
            raise KeyError
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Failure(f"{path} is damaged: it is not the configuration of a run") from error
    if config.get(LISTED) and files.has_strange_list(folder):
        raise files.damaged_list(folder)
    return config

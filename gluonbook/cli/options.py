"""The options of a training: from the command line, a saved run, or what a section states."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any, Mapping, Sequence

from ..data.folders import folder_with_files
from ..distributed.workers import Workers
from ..nets.edition import EDITIONS
from ..recipes import Recipe, Tuning, recipes_of
from ..runs.config import Config, read_config
from ..system.errors import Failure
from .parser import TEST_IMAGES, quick_test, runs_folder
from .training_parser import (
    HYPERPARAMETERS,
    TRAINER,
    TrainingParser,
    chapter_parser,
    refuse_options_of_the_trainer,
    trainer_parser,
)

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
    **{"out": None, "debug": False},
}


class Options(argparse.Namespace):
    """The resolved options of a run."""

    def from_first(self, workers: Workers) -> Options:
        """The options of the first worker; the others have read no command line."""
        return Options(**json.loads(workers.from_first(json.dumps(vars(self)).encode())))


def of_chapter(name: str, argv: Sequence[str], hyperparameters: Mapping[str, Any]) -> Options:
    """The options in `argv`; for the rest those of the run to resume, or of the chapter.

    Raises
    ------
    SystemExit
        With code 2, after one sentence, if an option is wrong; with 0 after ``--help``.
    Failure
        If the run to resume is missing, damaged, or contradicts `argv`, or if the chapter states
        what no option could be.
    """
    parser = chapter_parser(name, hyperparameters)
    hyperparameters = _stated(parser, hyperparameters)
    refuse_options_of_the_trainer(parser, name, argv)
    given = vars(parser.parse_args(argv))
    saved: dict[str, Any] = {}
    if "resume" in given:
        folder = Path(given["resume"])
        config = _config_of(folder, name)
        for each in ("recipe", "edition", "hybridize"):
            if config.options.get(each, _DEFAULTS[each]) != _DEFAULTS[each]:
                raise Failure(
                    f"the run in {folder} is not one of the chapter's net and training: resume it "
                    f"with `{TRAINER} {name} --resume {folder}`"
                )
        saved = _resumed(parser, config, given, _FIXED)
    return _resolved({**_DEFAULTS, **saved, **given}, hyperparameters)


def of_trainer(name: str, argv: Sequence[str]) -> Options:
    """The options in `argv`; for the rest those of the run to resume, or of the recipe.

    Raises
    ------
    SystemExit, Failure
        As `of_chapter` does.
    UnknownModel
        If `name` is neither a section nor a net.
    """
    parser = trainer_parser(name)
    given = vars(parser.parse_args(argv))
    recipes = recipes_of(name)
    saved: dict[str, Any] = {}
    if "resume" in given:
        config = _config_of(Path(given["resume"]), name)
        recipe = recipes.get(str(config.options.get("recipe")), recipes["book"])
        _refuse_other_recipe(config, recipe)
        # A schedule spans the epochs that the run began with.
        fixed = _FIXED if recipe.tuning.warm_up is None else (*_FIXED, "num_epochs")
        saved = _resumed(parser, config, given, fixed)
    values = {**_DEFAULTS, **saved, **given}
    return _resolved(values, recipes[values["recipe"]]._asdict())


def _resolved(values: dict[str, Any], hyperparameters: Mapping[str, Any]) -> Options:
    options = Options(**values)
    for name in HYPERPARAMETERS:
        if values[name] is None:
            setattr(options, name, hyperparameters[name])
    if options.seed is None:
        options.seed = int.from_bytes(os.urandom(4), "little") // 2
    if options.out is None:
        options.out = str(runs_folder())
    if options.limit is not None and options.limit_test is None:
        options.limit_test = quick_test(options.limit)
    return options


def _stated(parser: TrainingParser, hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """What a chapter states, each checked as the option for it is."""
    stated = dict(hyperparameters)
    for action in parser.actions:
        if action.dest in stated:
            try:
                stated[action.dest] = _checked(action, stated[action.dest])
            except argparse.ArgumentTypeError as error:
                raise Failure(f"in the chapter's arguments, {action.dest} {error}") from error
    return stated


# --- the options of a saved run ---------------------------------------------------------------


def _config_of(folder: Path, name: str) -> Config:
    """The configuration of a run that these options began."""
    config = read_config(folder)
    if config.command is None and not config.options.keys() - {"size"}:
        raise Failure(f"{folder} is kept by a program of yours: run that again to go on with it")
    if config.name != name:
        raise Failure(
            f"{folder} holds a run of {config.name}, not of {name}: use the script of that "
            "section, or name another folder"
        )
    # A run from before there was --limit-test was tested on all images.
    config.options.setdefault("limit_test", TEST_IMAGES)
    missing = [each for each in _FIXED if each not in config.options]
    if missing:
        raise config.damaged("it is not the configuration of a run")
    return config


def _refuse_other_recipe(config: Config, recipe: Recipe) -> None:
    """Raise a `Failure` if this version's recipe changes what the run must keep."""
    # A run from before there was tuning had none.
    before = {"tuning": Tuning()._asdict(), **config.training}
    for name, now in recipe.training().items():
        if before.get(name, now) != now:
            raise Failure(
                f"the run in {config.folder} has the {name} {before[name]}, and this version "
                f"{now}: start a new run"
            )


def _resumed(
    parser: TrainingParser, config: Config, given: Mapping[str, Any], fixed: Sequence[str]
) -> dict[str, Any]:
    """The saved options of a run that is to go on with those that are `given`.

    Raises
    ------
    Failure
        If a saved option could not stand on the command line, or `given` changes what is `fixed`.
    """
    saved = _saved(parser, config)
    for name in fixed:
        before, now = saved[name], given.get(name, saved[name])
        if before != now:
            option = f"--{name.replace('num_', '').replace('_', '-')}"
            raise Failure(
                f"the run in {config.folder} has {option} {before}, not {now}: leave {option} out, "
                "or start a new run without --resume"
            )
    return saved


def _saved(parser: TrainingParser, config: Config) -> dict[str, Any]:
    """The saved options, each checked as one of the command line is."""
    options: dict[str, Any] = dict.fromkeys((*_FIXED, *_CHANGEABLE))
    for action in parser.actions:
        value = config.options.get(action.dest)
        if action.dest not in options or value is None:
            continue
        try:
            if action.dest == "data" and folder_with_files(Path(value)) is None:
                continue  # moved since; then it is looked for
            options[action.dest] = _checked(action, value)
        except (argparse.ArgumentTypeError, ValueError, TypeError) as error:
            raise config.damaged(f"argument {action.option_strings[0]}: {error}") from error
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

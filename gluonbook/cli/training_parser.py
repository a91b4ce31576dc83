"""The options of a training: those of a chapter, and those that only the trainer has."""

from __future__ import annotations

import argparse
import shlex
from typing import Any, Callable, Mapping, Sequence

from ..nets.edition import EDITIONS
from ..recipes import QUICK_LOOKS, RECIPES, Recipe, Tuning, recipes_of
from .parser import (
    LEAST_TESTED,
    Parser,
    data_folder,
    device,
    image_size,
    learning_rate,
    seed_number,
    whole_number,
)

#: The options that a section states.
HYPERPARAMETERS = ("lr", "num_epochs", "batch_size", "size")
TRAINER = "python -m gluonbook.train"


class TrainingParser(Parser):
    """A parser whose result holds only what was given, so that defaults can come from elsewhere.

    Parameters
    ----------
    told
        What the help says of the default of each of `HYPERPARAMETERS`.
    """

    def __init__(self, description: str, told: Mapping[str, object], **settings: Any) -> None:
        super().__init__(description, argument_default=argparse.SUPPRESS, **settings)
        self.actions: list[argparse.Action] = []
        self._told = {name: f"(default: {value})" for name, value in told.items()}
        self.training = self._group("training")
        self._add_training()
        self.data = self._group("data")
        self._add_data()
        self.net = self._group("net")
        self._add_saving(self._group("saving"))
        output = self._group("output")
        output(
            "--out", metavar="DIR", help="folder that the run's folder is made in (default: runs)"
        )
        output("--debug", action="store_true", help="print the traceback of an error")

    def _group(self, title: str) -> Callable[..., None]:
        """What adds an option under this title of the help."""
        group = self.add_argument_group(title)
        return lambda *names, **settings: self.actions.append(
            group.add_argument(*names, **settings)
        )

    def _add_training(self) -> None:
        for name, option, kind, metavar, what in (
            ("num_epochs", "--epochs", whole_number, "N", "passes over the training images"),
            ("lr", "--lr", learning_rate, "RATE", "learning rate"),
            ("batch_size", "--batch-size", whole_number, "N", "images in a batch"),
        ):
            told = f"{what} {self._told[name]}"
            self.training(option, dest=name, type=kind, metavar=metavar, help=told)
        self.training(
            "--seed",
            type=seed_number,
            metavar="N",
            help="of the initial weights, shuffling and dropout; without it, another in each run",
        )
        self.training(
            "--device",
            type=device,
            metavar="DEVICE",
            help="auto (the default: a GPU if one works), cpu, gpu, one by its number (gpu:1), "
            "several (gpu:0,1) or all; cpu:0,1 tries several without a GPU",
        )
        self.training(
            "--deterministic",
            action="store_true",
            help="the same numbers in every run on a GPU too, which is slower: no cuDNN "
            "autotuning, no TensorFloat-32 (untried on a GPU)",
        )
        self.training(
            "--amp",
            action="store_true",
            help="compute in 16 bits: on the CPU in bfloat16, refused where it is not known to be "
            "safe and faster; on a GPU in float16 (untried on a GPU)",
        )

    def _add_data(self) -> None:
        self.data(
            "--size",
            type=image_size,
            metavar="PIXELS",
            help=f"height and width of the images {self._told['size']}",
        )
        self.data(
            "--limit",
            type=whole_number,
            metavar="N",
            help="train on the first N images: a quick look",
        )
        self.data(
            "--limit-test",
            type=whole_number,
            metavar="N",
            help="test on the first N images (default: all; with --limit a sixth of that, but at "
            f"least {LEAST_TESTED:,})",
        )
        self.data(
            "--data",
            type=data_folder,
            metavar="DIR",
            help="folder with the four .gz files of Fashion-MNIST; else they are found or "
            "downloaded",
        )

    def _add_saving(self, saving: Callable[..., None]) -> None:
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
            help="also save the figures for TensorBoard, which shows runs with tensorboard "
            "--logdir",
        )


# --- a chapter --------------------------------------------------------------------------------


def chapter_parser(name: str, hyperparameters: Mapping[str, object]) -> TrainingParser:
    """The options of a chapter that states these `HYPERPARAMETERS`."""
    title = RECIPES[name].title if name in RECIPES else name
    return TrainingParser(
        f"{title} on Fashion-MNIST.",
        hyperparameters,
        usage="%(prog)s [options]",
        epilog=_quick_look(name, f"{name}.py"),
    )


def refuse_options_of_the_trainer(parser: Parser, name: str, argv: Sequence[str]) -> None:
    """End with the command to use instead if an option asks for other than the chapter's net."""
    asked = [text for text in argv if text.partition("=")[0] in _OF_THE_TRAINER]
    if asked:
        command = f"{TRAINER} {shlex.join([name, *argv])}"
        parser.error(f"a chapter trains the net that stands in it: for {asked[0]}, use `{command}`")


#: Options that ask for another net, or another training, than a chapter's.
_OF_THE_TRAINER = ("--recipe", "--edition", "--no-hybridize")


# --- the trainer ------------------------------------------------------------------------------


def trainer_parser(name: str) -> TrainingParser:
    """The options of the trainer for a section, or for a net of `list_models`.

    Raises
    ------
    UnknownModel
        If there is neither.
    """
    recipes = recipes_of(name)
    own = recipes["book"]
    parser = TrainingParser(
        f"{own.title} on Fashion-MNIST.",
        {each: _told_default(each, recipes) for each in HYPERPARAMETERS},
        prog=f"{TRAINER} {name}",
        usage="%(prog)s [options]",
        epilog=_quick_look(name, f"{TRAINER} {name}"),
    )
    told = "; ".join(f"{each}: {_described(recipe, own)}" for each, recipe in recipes.items())
    parser.training(
        "--recipe",
        choices=tuple(recipes),
        help=f"{told} (default: book)" if len(recipes) > 1 else argparse.SUPPRESS,
    )
    parser.training(
        "--no-hybridize",
        dest="hybridize",
        action="store_false",
        help="run the net operator by operator, which is slower and easier to debug",
    )
    parser.net(
        "--edition",
        choices=EDITIONS,
        help=f"text of the book that the net follows (default: {EDITIONS[0]})"
        if own.editions_differ
        else argparse.SUPPRESS,
    )
    return parser


def _told_default(name: str, recipes: Mapping[str, Recipe]) -> str:
    """The book's number, and behind it those of the other recipes that have another."""
    own = getattr(recipes["book"], name)
    others = {each: getattr(recipe, name) for each, recipe in recipes.items()}
    told = [f"{each} {value}" for each, value in others.items() if value != own]
    return f"{own}; {', '.join(told)}" if told else f"{own}"


def _quick_look(name: str, program: str) -> str | None:
    options = QUICK_LOOKS.get(name)
    if options is None:
        return None
    command = f"{TRAINER} {name}" if "--recipe" in options else program
    return f"A quick look, in which the net learns:\n  {command} {options}"


def _described(recipe: Recipe, own: Recipe) -> str:
    """What a recipe's training begins and goes on with, and the net if it is not the section's."""
    net = "" if recipe.title == own.title else f"{recipe.title}, "
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

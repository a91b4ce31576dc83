"""What the chapter scripts share: options, the device, the run folder, one sentence on failure."""

from __future__ import annotations

import argparse
from contextlib import contextmanager
import itertools
import json
import logging
import math
import os
from pathlib import Path
import random
import re
import shlex
import shutil
import sys
import time
from typing import Any, Iterator, NoReturn, Sequence

import mxnet as mx
from mxnet import gluon
from mxnet.gluon import nn
import numpy as np

from . import fashion_mnist, files, machine, precision
from ._version import __version__
from .checkpoint import Checkpoint
from .device import try_gpu, working_gpus
from .errors import Failure, last_line, print_sentences, sentence
from .export import export_symbol, save_parameters
from .history import History
from .interrupts import Interrupted
from .nets.edition import EDITIONS
from .output import say
from .recipes import RECIPES, Recipe, recipes_of
from .summary import Layer, format_table, layer_table
from .training import train_ch5

log = logging.getLogger("gluonbook")

CONFIG = "config.json"
#: Options that a run keeps when it is resumed: those that may be given anew, and those that not.
_CHANGEABLE = ("num_epochs", "device", "hybridize", "data", "save_every")
_FIXED = ("recipe", "lr", "batch_size", "seed", "size", "limit", "limit_test", "edition", "amp")
#: Options whose default is the chosen recipe's.
_OF_THE_RECIPE = ("num_epochs", "lr", "batch_size", "size")
#: Of the data set; and how many of them a quick look uses at least, for an accuracy that is known
#: to one or two hundredths.
_TEST_IMAGES, _LEAST_TESTED = 10_000, 1_000
#: What stands in the folder of a run.
_FOLDER = """\
A run of the section {section}. It is resumed by: python chapters/{section}.py --resume FOLDER

config.json            options, device, machine and versions
layers.txt             the net, layer by layer, with shapes and numbers of parameters
history.csv            loss, accuracies and seconds, a row for each epoch
curve.png              the same as a picture
checkpoint-E-B.safetensors
                       the whole state in epoch E after batch B, to resume the run. Two are kept
                       while it trains, in case one is damaged, and one at its end. Delete it if
                       you will not train on.

Written at the end:
{section}.params       the parameters, for the same net built in Python:
                       gluonbook.export.load_parameters(net, path), or net.load_parameters(path)
{section}-symbol.json, {section}-0000.params
                       the net and its parameters for programs that do not have its class:
                       gluonbook.export.import_symbol("FOLDER/{section}"), or
                       mxnet.gluon.SymbolBlock.imports, or MXNet from another language
"""


class Chapter:
    """One run of a section: its options, and what it does with them.

    As a script, the options are those of the command line. In a notebook they are the
    defaults, or the list given as `argv`, such as ``["--limit", "2000"]``.

    Attributes
    ----------
    options
        The resolved options: ``num_epochs``, ``lr``, ``batch_size``, ``size``, ``edition`` …
    ctx
        The device to train on.
    folder
        The run's folder, once `train` has made it.
    """

    def __init__(self, section: str, argv: Sequence[str] | None = None) -> None:
        if argv is None:
            argv = [] if "ipykernel" in sys.modules else sys.argv[1:]
        print_sentences(describe)
        self.options = _options(section, argv)
        self.recipe = recipes_of(section)[self.options.recipe]
        if self.options.seed is None:
            self.options.seed = int.from_bytes(os.urandom(4), "little") // 2
        self.ctx = _device(self.options.device)
        precision.use(self.options.amp, section, self.options.recipe, self.ctx)
        self.folder: Path | None = None
        self._layers: list[Layer] = []
        random.seed(self.options.seed)
        np.random.seed(self.options.seed)
        mx.random.seed(self.options.seed)

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """(1, 1, H, W): one image of the size that the section trains on."""
        return (1, 1, self.options.size, self.options.size)

    def print_shapes(self, net: nn.HybridSequential) -> None:
        """Initialize `net` and print the output shape of each layer, as the book does."""
        net.initialize()
        try:
            self._layers = layer_table(net, self.input_shape)
        except (mx.base.MXNetError, ValueError) as error:
            if not re.search("kernel size .*exceed", str(error)):
                raise
            raise Failure(
                f"--size {self.options.size} is too small for {self.recipe.title}: a pooling or "
                f"convolution is wider than what reaches it; choose more, up to {self.recipe.size}"
            ) from error
        for layer in self._layers:
            say(f"{layer.name} output shape:\t {layer.output_shape}")

    def train(self, net: nn.HybridSequential) -> History:
        """Train `net` as the section does, and write the run's folder.

        The folder's ``README.txt`` tells what is in it. With ``--resume`` the run in that folder
        goes on.
        """
        options = self.options
        data = fashion_mnist.fashion_mnist(options.data)
        if options.resume is not None:
            _refuse_other_data(Path(options.resume), data.edition)
        self._refuse_too_large()
        train_iter, test_iter = data.batches(
            options.batch_size,
            resize=options.size,
            limit=options.limit,
            limit_test=options.limit_test,
            seed=options.seed,
        )
        net.initialize(mx.init.create(self.recipe.initializer), ctx=self.ctx, force_reinit=True)
        if options.hybridize:
            net.hybridize(static_alloc=True, static_shape=True)
        trainer = gluon.Trainer(
            net.collect_params(), self.recipe.optimizer, {"learning_rate": options.lr}
        )

        folder = self.folder = self._choose_folder()
        checkpoint = Checkpoint(
            folder,
            save_every=options.save_every,
            seed=options.seed,
            facts={"the section": self.recipe.section, "the text": options.edition},
            notes={
                "README.txt": _FOLDER.format(section=self.recipe.section),
                "layers.txt": format_table(self._layers),
                CONFIG: json.dumps(self._config(data), indent=2) + "\n",
            },
        )
        checkpoint.acquire()
        try:
            if options.resume is not None:  # once more, now that nobody else can change it
                _refuse_changes(_saved_options(self.recipe.section, folder), options, folder)
            self._try_outputs(net, folder)
            history = History(folder / "history.csv")
            with self._telling_how_to_go_on(folder, history):
                train_ch5(
                    net,
                    train_iter,
                    test_iter,
                    options.batch_size,
                    trainer,
                    self.ctx,
                    options.num_epochs,
                    progress=True,
                    history=history,
                    checkpoint=checkpoint,
                )
                self._write_outputs(net, history, folder)
                checkpoint.remove_older()
        finally:
            checkpoint.end()
        say(f"written to {folder}", sys.stderr)
        return history

    def _try_outputs(self, net: nn.HybridSequential, folder: Path) -> None:
        """Write what a run leaves at its end, and remove it: if that fails, better before it."""
        try:
            with files.scratch_folder(folder) as trial:
                self._write_outputs(net, History(), trial)
        except BaseException:
            if self.options.resume is None:  # nothing has begun
                shutil.rmtree(folder, ignore_errors=True)
            raise

    def _write_outputs(self, net: nn.HybridSequential, history: History, folder: Path) -> None:
        self._draw(history, folder)
        export_symbol(net, folder / self.recipe.section, self.input_shape, self.ctx)
        save_parameters(net, folder / f"{self.recipe.section}.params")

    def _refuse_too_large(self) -> None:
        """Raise a sentence if one batch is sure to need more memory than there is."""
        values = math.prod(self.input_shape) + sum(
            math.prod(layer.output_shape) for layer in self._layers
        )
        needed, free = 4 * values * self.options.batch_size, machine.available_memory()
        if self.ctx.device_type == "cpu" and needed > free:
            raise Failure(
                f"a batch of {self.options.batch_size:,} images of {self.options.size} pixels "
                f"needs more than {needed / 1e9:,.1f} GB of memory, and {free / 1e9:,.1f} GB are "
                "free: choose a smaller --batch-size or --size"
            )

    def _choose_folder(self) -> Path:
        if self.options.resume is not None:
            return Path(self.options.resume)
        return new_folder(Path(self.options.out), self.recipe.section)

    @contextmanager
    def _telling_how_to_go_on(self, folder: Path, history: History) -> Iterator[None]:
        """Add the command that resumes the run to what stopped it."""
        command = resume_command(folder)
        try:
            yield
        except Interrupted as stop:
            if len(history):
                self._draw(history, folder)
            if "ipykernel" in sys.modules:
                raise
            say(f"{stop}; go on with `{command}`", sys.stderr)
            raise SystemExit(128 + stop.signum) from None
        except (files.FileFailure, MemoryError, mx.base.MXNetError) as error:
            if _lacks_memory(error):
                mend = f"; or make some free and go on with `{command}`"
            else:
                mend = f"; then go on with `{command}`"
            raise Failure(f"{describe(error)}{mend}") from error

    def _draw(self, history: History, folder: Path) -> None:
        history.draw(folder / "curve.png", f"{self.recipe.title} on Fashion-MNIST")

    def _config(self, data: fashion_mnist.FashionMNIST) -> dict[str, Any]:
        return {
            "section": self.recipe.section,
            "options": vars(self.options),
            "optimizer": self.recipe.optimizer,
            "initializer": self.recipe.initializer,
            "dataset": {"edition": data.edition, "folder": str(data.folder)},
            "device": str(self.ctx),
            "threads": os.environ.get("OMP_NUM_THREADS"),
            "machine": machine.describe(),
            "versions": {
                "gluonbook": __version__,
                "mxnet": mx.__version__,
                "numpy": np.__version__,
            },
        }


def _device(choice: str) -> mx.Context:
    if choice == "cpu":
        return mx.cpu()
    if choice == "gpu":
        gpus, faults = working_gpus()
        if not gpus:
            raise Failure(f"--device gpu: {'; '.join(faults)}; use --device cpu")
        return gpus[0]
    return try_gpu()


def new_folder(parent: Path, section: str) -> Path:
    """Make ``<parent>/<section>-<time>``, with a number behind it if that is taken."""
    name = f"{section}-{time.strftime('%Y%m%d-%H%M%S')}"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for i in itertools.count(2):
            try:
                (parent / name).mkdir()
                break
            except FileExistsError:
                name = f"{name[: len(section) + 16]}-{i}"
    except OSError as error:
        raise Failure(
            f"--out {parent} cannot take a run's folder ({error.strerror}): name another"
        ) from error
    return parent / name


def resume_command(folder: Path) -> str:
    """A line for the shell, from the folder that this process is in."""
    return shlex.join([_shorter(sys.executable), _shorter(sys.argv[0]), "--resume", str(folder)])


def _shorter(path: str) -> str:
    """`path` as seen from the working folder, if that is shorter and still the path of a file."""
    relative = os.path.relpath(path)
    return relative if os.sep in relative and len(relative) < len(path) else path


def describe(error: BaseException) -> str | None:
    """What to tell a user about `error`, or None if it is a defect of this package."""
    if isinstance(error, KeyboardInterrupt):
        return str(error) or "interrupted"
    if _lacks_memory(error):
        return f"not enough memory ({last_line(error)}): try a smaller --batch-size or --size"
    if isinstance(error, mx.base.MXNetError):
        return f"MXNet stopped: {last_line(error)}"
    if isinstance(error, OSError) and not isinstance(error, Failure):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return sentence(error)


def _lacks_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or (
        isinstance(error, mx.base.MXNetError)
        and re.search(r"allocate|out of memory|bad_alloc", str(error)) is not None
    )


# --- options --------------------------------------------------------------------------------


def _options(section: str, argv: Sequence[str]) -> argparse.Namespace:
    """The options in `argv`; for the rest those of the run to resume, or of the recipe."""
    parser = _parser(section, Parser)
    options = parser.parse_args(argv)
    if options.resume is not None:
        folder = Path(options.resume)
        saved = _saved_options(section, folder)
        options = parser.parse_args(argv, argparse.Namespace(**vars(saved)))
        _refuse_changes(saved, options, folder)
    recipe = recipes_of(section)[options.recipe]
    for name in _OF_THE_RECIPE:
        if getattr(options, name) is None:
            setattr(options, name, getattr(recipe, name))
    if options.limit is not None and options.limit_test is None:
        options.limit_test = min(max(options.limit // 6, _LEAST_TESTED), _TEST_IMAGES)
    return options


def _refuse_changes(saved: argparse.Namespace, options: argparse.Namespace, folder: Path) -> None:
    for name in _FIXED:
        before, now = getattr(saved, name), getattr(options, name)
        if before != now:
            option = f"--{name.replace('_', '-')}"
            raise Failure(
                f"the run in {folder} has {option} {before}, not {now}: leave {option} out, or "
                "start a new run without --resume"
            )


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


def _saved_options(section: str, folder: Path) -> argparse.Namespace:
    """The options of the run in `folder`, checked as if they were given anew."""
    config = _read_config(folder)
    if config["section"] != section:
        raise Failure(
            f"{folder} holds a run of {config['section']}, not of {section}: use the script "
            "of that section, or name another folder"
        )
    parser = _parser(section, _SavedParser)
    try:
        options = parser.parse_args(_as_arguments(parser, config["options"]))
    except (argparse.ArgumentTypeError, TypeError) as error:
        raise Failure(f"{folder / CONFIG} is damaged: {error}") from error
    recipe = recipes_of(section)[options.recipe]
    for name, now in (("optimizer", recipe.optimizer), ("initializer", recipe.initializer)):
        if config[name] != now:
            raise Failure(
                f"the run in {folder} has the {name} {config[name]}, and this version {now}: "
                "start a new run"
            )
    return options


def _refuse_other_data(folder: Path, edition: str) -> None:
    saved = _read_config(folder)["dataset"]["edition"]
    if saved != edition:
        raise Failure(
            f"the run in {folder} has the data set's edition of {saved}, not of {edition}: name "
            "the folder of that edition with --data, or start a new run"
        )


def _as_arguments(parser: argparse.ArgumentParser, saved: dict[str, Any]) -> list[str]:
    """The saved options that a resumed run keeps, as they would stand on the command line."""
    arguments = []
    for action in parser._actions:
        value = saved.get(action.dest)
        if action.dest not in _FIXED + _CHANGEABLE or value is None:
            continue
        if action.dest == "data" and fashion_mnist.folder_with_files(Path(value)) is None:
            continue  # moved since; then it is looked for
        if action.nargs != 0:
            arguments.append(f"{action.option_strings[0]}={value}")
        elif value is action.const:
            arguments.append(action.option_strings[0])
    return arguments


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Help that states the default of an option that has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        stated = action.default is not None and not isinstance(action.default, bool)
        return super()._get_help_string(action) if stated else action.help


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence, and whose help states defaults."""

    def __init__(self, description: str) -> None:
        super().__init__(description=description, formatter_class=_Help)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message} (--help lists the options)\n")


class _SavedParser(Parser):
    """A parser of options that were saved, which raises its errors."""

    def error(self, message: str) -> NoReturn:
        raise argparse.ArgumentTypeError(message)


def _parser(section: str, kind: type[Parser]) -> Parser:
    recipe, recipes = RECIPES[section], recipes_of(section)
    parser = kind(f"{recipe.title} on Fashion-MNIST. The defaults are the book's.")
    training = parser.add_argument_group("training")
    training.add_argument(
        "--recipe",
        choices=tuple(recipes),
        default="book",
        help="; ".join(f"{name}: {_described(each)}" for name, each in recipes.items()),
    )
    training.add_argument(
        "--epochs",
        dest="num_epochs",
        type=whole_number,
        metavar="N",
        help=f"passes over the training images (default: {recipe.num_epochs})",
    )
    training.add_argument(
        "--lr", type=positive_number, metavar="RATE", help="learning rate (default: the recipe's)"
    )
    training.add_argument(
        "--batch-size",
        type=whole_number,
        metavar="N",
        help=f"images in a batch (default: {recipe.batch_size})",
    )
    training.add_argument(
        "--seed",
        type=seed_number,
        metavar="N",
        help="of the initial weights, shuffling and dropout; without it, another in each run",
    )
    training.add_argument(
        "--device",
        choices=("auto", "cpu", "gpu"),
        default="auto",
        help="auto takes the GPU if one works",
    )
    training.add_argument(
        "--no-hybridize",
        dest="hybridize",
        action="store_false",
        default=True,
        help="run the net operator by operator, which is slower and easier to debug",
    )
    training.add_argument(
        "--amp",
        action="store_true",
        help="compute in bfloat16; refused where that is not known to be safe and faster",
    )
    data = parser.add_argument_group("data")
    data.add_argument(
        "--size",
        type=whole_number,
        metavar="PIXELS",
        help=f"height and width of the images (default: {recipe.size})",
    )
    data.add_argument(
        "--limit", type=whole_number, metavar="N", help="train on the first N images: a quick look"
    )
    data.add_argument(
        "--limit-test",
        type=whole_number,
        metavar="N",
        help="test on the first N images (default: all; with --limit a sixth of that, but at least "
        f"{_LEAST_TESTED:,})",
    )
    data.add_argument(
        "--data",
        type=data_folder,
        metavar="DIR",
        help="folder with the four .gz files of Fashion-MNIST; else they are found or downloaded",
    )
    net = parser.add_argument_group("net")
    net.add_argument(
        "--edition",
        choices=EDITIONS,
        default=EDITIONS[0],
        help="text of the book that the net follows"
        + ("" if recipe.editions_differ else " (the same net in this section)"),
    )
    saving = parser.add_argument_group("saving")
    saving.add_argument(
        "--save-every",
        type=whole_number,
        metavar="N",
        help="save the run after every N batches too, not only as each epoch ends",
    )
    saving.add_argument(
        "--resume",
        metavar="RUN",
        help="go on with the run in this folder, with its options; --epochs may be greater",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--out", default="runs", metavar="DIR", help="folder that the run's folder is made in"
    )
    output.add_argument("--debug", action="store_true", help="print the traceback of an error")
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


def data_folder(text: str) -> str:
    try:
        folder = fashion_mnist.expanded(text)
    except fashion_mnist.DatasetError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if fashion_mnist.folder_with_files(folder) is None:
        raise argparse.ArgumentTypeError(
            f"{text} does not hold the four files {', '.join(fashion_mnist.SIZES)} (.gz or not)"
        )
    return str(folder)

"""What the chapter scripts share: options, the device, the run folder, one sentence on failure."""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import math
import os
from pathlib import Path
import random
import sys
import time
from typing import Any, NoReturn, Sequence

import mxnet as mx
from mxnet import gluon
from mxnet.gluon import nn
import numpy as np

from . import fashion_mnist, machine
from ._version import __version__
from .device import last_line, try_gpu, working_gpus
from .export import export_symbol
from .history import History
from .nets.edition import EDITIONS
from .recipes import INITIALIZER, OPTIMIZER, RECIPES, Recipe
from .runtime import Failure, print_sentences, sentence
from .summary import Layer, format_table, layer_table
from .training import train_ch5

log = logging.getLogger("gluonbook")


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
        self.recipe = RECIPES[section]
        if argv is None:
            argv = [] if "ipykernel" in sys.modules else sys.argv[1:]
        self.options = _parser(self.recipe).parse_args(argv)
        if self.options.seed is None:
            self.options.seed = int.from_bytes(os.urandom(4), "little") // 2
        print_sentences(describe)
        self.ctx = _device(self.options.device)
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
        self._layers = layer_table(net, self.input_shape)
        for layer in self._layers:
            print(layer.name, "output shape:\t", layer.output_shape)

    def train(self, net: nn.HybridSequential) -> History:
        """Train `net` as the section does, and write the run's folder.

        The folder holds ``config.json`` (options, device, versions), ``layers.txt``,
        ``history.csv`` (a row as each epoch ends), ``curve.png``, the parameters and the
        exported symbol.
        """
        options = self.options
        data = fashion_mnist.fashion_mnist(options.data)
        train_iter, test_iter = data.batches(
            options.batch_size,
            resize=options.size,
            limit=options.limit,
            seed=options.seed,
        )
        net.initialize(mx.init.create(INITIALIZER), ctx=self.ctx, force_reinit=True)
        if options.hybridize:
            net.hybridize(static_alloc=True, static_shape=True)
        trainer = gluon.Trainer(net.collect_params(), OPTIMIZER, {"learning_rate": options.lr})

        self.folder = new_folder(Path(options.out), self.recipe.section)
        (self.folder / "layers.txt").write_text(format_table(self._layers), encoding="utf-8")
        (self.folder / "config.json").write_text(
            json.dumps(self._config(data), indent=2) + "\n", encoding="utf-8"
        )
        history = History(self.folder / "history.csv")
        try:
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
            )
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"the epochs that ended are in {self.folder}") from None
        finally:
            if len(history):
                history.draw(self.folder / "curve.png", f"{self.recipe.title} on Fashion-MNIST")
        mx.nd.waitall()  # oneDNN may still be rearranging weights after the last inference
        net.save_parameters(str(self.folder / f"{self.recipe.section}.params"))
        export_symbol(net, self.folder / self.recipe.section, self.input_shape, self.ctx)
        print(f"written to {self.folder}", file=sys.stderr)
        return history

    def _config(self, data: fashion_mnist.FashionMNIST) -> dict[str, Any]:
        return {
            "section": self.recipe.section,
            "options": vars(self.options),
            "optimizer": OPTIMIZER,
            "initializer": INITIALIZER,
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


def describe(error: BaseException) -> str | None:
    """What to tell a user about `error`, or None if it is a defect of this package."""
    if isinstance(error, KeyboardInterrupt):
        return f"interrupted; {error}" if error.args else "interrupted"
    if isinstance(error, MemoryError):
        return f"not enough memory ({error}): try a smaller --batch-size or --size"
    if isinstance(error, mx.base.MXNetError):
        return f"MXNet stopped: {last_line(error)}"
    if isinstance(error, OSError) and not isinstance(error, Failure):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return sentence(error)


# --- options --------------------------------------------------------------------------------


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


def _parser(recipe: Recipe) -> argparse.ArgumentParser:
    parser = Parser(f"{recipe.title} on Fashion-MNIST. The defaults are the book's.")
    training = parser.add_argument_group("training")
    training.add_argument(
        "--epochs",
        dest="num_epochs",
        type=whole_number,
        default=recipe.num_epochs,
        metavar="N",
        help="passes over the training images",
    )
    training.add_argument(
        "--lr", type=positive_number, default=recipe.lr, metavar="RATE", help="learning rate"
    )
    training.add_argument(
        "--batch-size",
        type=whole_number,
        default=recipe.batch_size,
        metavar="N",
        help="images in a batch",
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
    data = parser.add_argument_group("data")
    data.add_argument(
        "--size",
        type=whole_number,
        default=recipe.size,
        metavar="PIXELS",
        help="height and width of the images",
    )
    data.add_argument(
        "--limit", type=whole_number, metavar="N", help="train on the first N images: a quick look"
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
    output = parser.add_argument_group("output")
    output.add_argument(
        "--out", default="runs", metavar="DIR", help="folder that the run's folder is made in"
    )
    output.add_argument("--debug", action="store_true", help="print the traceback of an error")
    return parser


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
    if fashion_mnist.folder_with_files(Path(text).expanduser()) is None:
        raise argparse.ArgumentTypeError(
            f"{text} does not hold the four files {', '.join(fashion_mnist.SIZES)} (.gz or not)"
        )
    return text

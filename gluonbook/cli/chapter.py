"""One run of a chapter script: its command line and its folder."""

from __future__ import annotations

from contextlib import contextmanager
import itertools
import json
import math
import os
from pathlib import Path
import random
import shutil
import sys
import time
from typing import Any, Iterator, Sequence, TextIO, cast

import mxnet as mx
from mxnet.gluon import nn
import numpy as np

from ..data import fashion_mnist
from ..data.image_batches import refuse_uneven_parts
from ..distributed.environment import is_first
from ..distributed.workers import workers
from ..export import export_symbol, fashion_mnist_to_onnx, save_parameters
from ..plots.figure import save_picture
from ..plots.predictions import draw_images
from ..predictions.classifier import Classifier
from ..recipes import recipes_of
from ..runs.checkpoint import Checkpoint, checkpoints_in
from ..runs.follower import Follower
from ..runs.history import History
from ..summary import Layer, format_table, layer_table
from ..system import files, machine
from ..system.device import be_deterministic, devices
from ..system.errors import Failure, print_sentences, printable
from ..system.interrupts import Interrupted
from ..system.output import TolerantStream, in_notebook, say, show_picture
from ..system.ownership import versions
from ..training import precision
from .messages import describe, is_too_small, lacks_memory, resume_command
from .options import (
    CONFIG,
    HYPERPARAMETERS,
    LISTED,
    TRAINED,
    Options,
    parse,
    refuse_other_data,
    resumed_options,
    trained_epochs,
)

#: Pictures that a run leaves.
_PICTURES = ("curve.png", "predictions.png")
#: Test images in the picture of predictions.
_PREDICTED = 27
#: The README.txt of a run's folder.
_FOLDER = """\
A run of the section {section}. It is resumed by: python chapters/{section}.py --resume FOLDER

config.json       options, device, machine and versions; at the end of the training, also after how
                  many epochs the net's files were written
SHA256SUMS        the SHA-256 of each file here but checkpoints and events, which have checksums
                  inside: this package checks what it reads, sha256sum -c SHA256SUMS checks all;
                  remove it to have nothing checked
layers.txt        the net, layer by layer, with shapes and numbers of parameters
history.csv       loss, accuracies and seconds, a row for each epoch
curve.png         the same as a picture
predictions.png   the net's predictions for the first test images, wrong ones in red

checkpoint-E-B.safetensors
    The whole state in epoch E after batch B, to resume the run. Two are kept while it trains, in
    case one is damaged, and one at its end. Delete it if you will not train on.

{section}.params
    The trained parameters, for the same net built in Python: gluonbook.export.load_parameters(net,
    path), or net.load_parameters(path).

{section}-symbol.json, {section}-0000.params
    The net with its parameters, for programs that do not have its class:
    gluonbook.export.import_symbol("FOLDER/{section}"), mxnet.gluon.SymbolBlock.imports, or MXNet
    from another language.

{section}-int8.json, {section}-int8-symbol.json, {section}-int8-0000.params
    From python -m gluonbook.predict FOLDER --int8: how the net was quantized, and the net in int8,
    read as the files above are. It is made anew if it is not that of {section}.params.

{section}.onnx
    With --export onnx, or from python -m gluonbook.export FOLDER: the net for programs without
    MXNet. chapters/classify_onnx.py classifies with it.

predictions
    From python -m gluonbook.predict FOLDER: pictures of what the net answers.

events.out.tfevents.N.gluonbook
    With --tensorboard: the figures for `tensorboard --logdir FOLDER`, or --logdir runs for all.
"""


class Chapter:
    """One run of a section: its options and its folder.

    As a script, the options are those of the command line. In a notebook they are the
    defaults, or the list given as `argv`, such as ``["--limit", "2000"]``.

    Attributes
    ----------
    options
        The resolved options: ``num_epochs``, ``lr``, ``batch_size``, ``size``, ``edition`` …
    ctxs
        The devices to train on.
    folder
        The run's folder, once `keep` has made it.
    """

    def __init__(self, section: str, argv: Sequence[str] | None = None) -> None:
        if argv is None and in_notebook():
            argv = []
        elif argv is None:
            argv = sys.argv[1:]
            sys.stdout = cast(TextIO, TolerantStream(sys.stdout))
        print_sentences(describe)
        options = parse(section, argv) if is_first() else Options()
        self.workers = workers()
        self.options = options.from_first(self.workers)
        self.recipe = recipes_of(section)[self.options.recipe]
        if self.options.deterministic:
            be_deterministic()
        self.ctxs = devices(self.options.device)
        precision.use(
            *(self.options.amp, section, self.options.recipe, self.ctxs),
            alone=self.workers.alone,
        )
        self.folder: Path | None = None
        random.seed(self.options.seed)
        np.random.seed(self.options.seed)
        mx.random.seed(self.options.seed)

    def choose(
        self, lr: float, num_epochs: int, batch_size: int, size: int
    ) -> tuple[float, int, int, int]:
        """These values, except where the command line or the resumed run states another."""
        for name, value in zip(HYPERPARAMETERS, (lr, num_epochs, batch_size, size)):
            if name not in self.options.given:
                setattr(self.options, name, value)
        options = self.options
        refuse_uneven_parts(self.workers.count, options.batch_size)
        return options.lr, options.num_epochs, options.batch_size, options.size

    @property
    def seed(self) -> int:
        """Of the initial weights, the order of the images, and dropout."""
        return self.options.seed

    @property
    def data(self) -> dict[str, Any]:
        """The arguments of `load_data_fashion_mnist` besides the batch size and the image size."""
        options = self.options
        return {
            "root": options.data,
            "limit": options.limit,
            "limit_test": options.limit_test,
            "seed": options.seed,
            "augment": self.recipe.tuning.augment,
            "part": self.workers.part,
        }

    @property
    def kvstore(self) -> Any:
        """What adds up the gradients of several devices, or of several workers."""
        return self.workers.kvstore

    @contextmanager
    def keep(self, net: nn.HybridSequential) -> Iterator[dict[str, Any]]:
        """Keep the training inside the ``with`` block in a folder; see `_FOLDER` for its files.

        `net` is initialized anew here, to learn its shapes, so the block begins with its own
        initial weights. What the block gives to `train_ch5` or `train` is a progress bar, the
        history and the checkpoint. With ``--resume`` the run in that folder goes on.

        Raises
        ------
        Failure
            If the images are too small for the net, a batch is sure not to fit into memory, or
            the run to resume cannot be; nothing is left then.
        """
        options = self.options
        facts = {"the section": self.recipe.section, "the text": options.edition}
        if not self.workers.is_first:
            with self._following(facts) as kept:
                yield kept
            return
        data = fashion_mnist.fashion_mnist(options.data)
        if options.resume is not None:
            refuse_other_data(Path(options.resume), data.release)
            if Path(options.resume, f"{self.recipe.section}.onnx").exists():
                options.export = "onnx"  # it would stay that of the net trained so far
        layers = self._layers_of(net)
        self._refuse_too_large(layers)
        folder = self.folder = self._choose_folder()
        checkpoint = Checkpoint(
            folder,
            save_every=options.save_every,
            seed=options.seed,
            facts=facts,
            notes={
                "README.txt": _FOLDER.format(section=self.recipe.section),
                "layers.txt": format_table(layers),
            },
        )
        checkpoint.acquire()
        try:
            trained = None
            if options.resume is not None:  # once more, now that nobody else can change it
                saved = resumed_options(self.recipe.section, folder, vars(options))
                trained = trained_epochs(folder)
                if trained == 0:
                    trained = self._trained_by_older(folder, saved["num_epochs"])
            listed = not files.has_strange_list(folder)
            checkpoint.notes[CONFIG] = self._config(data, listed, trained)
            self._try_outputs(net, data, folder)
            history = self._history(folder)
            with self._telling_how_to_go_on(folder, history):
                yield {"progress": True, "history": history, "checkpoint": checkpoint}
                # While they are written, they are not all of one epoch.
                files.write(folder / CONFIG, self._config(data, listed, None))
                self._write_outputs(net, history, data, folder)
                files.write(folder / CONFIG, self._config(data, listed, len(history)))
                checkpoint.remove_older()
        finally:
            checkpoint.end()
        say(printable(f"written to {folder}"), sys.stderr)

    @contextmanager
    def _following(self, facts: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The part of a worker that is not the first, which keeps the run."""
        try:
            yield {"checkpoint": Follower(self.options.save_every, facts)}
        except Interrupted as stop:
            raise SystemExit(128 + stop.signum) from None

    def show(self) -> None:
        """In a notebook, show the run's pictures; a script leaves them in its folder."""
        if self.folder is not None:
            for name in _PICTURES:
                show_picture(self.folder / name)

    def _layers_of(self, net: nn.HybridSequential) -> list[Layer]:
        size = self.options.size
        net.initialize(force_reinit=True)
        net.hybridize(False)
        try:
            return layer_table(net, (1, 1, size, size))
        except (mx.base.MXNetError, ValueError) as error:
            if not is_too_small(error):
                raise
            raise Failure(
                f"--size {size} is too small for {self.recipe.title}: a pooling or "
                f"convolution is wider than what reaches it; choose more, up to {self.recipe.size}"
            ) from error

    def _refuse_too_large(self, layers: Sequence[Layer]) -> None:
        """Raise a sentence if one batch is sure to need more memory than there is."""
        options = self.options
        values = options.size**2 + sum(math.prod(layer.output_shape) for layer in layers)
        share = options.batch_size // self.workers.count
        needed, free = 4 * values * share, machine.available_memory()
        if self.ctxs[0].device_type == "cpu" and needed > free:
            raise Failure(
                f"a batch of {share:,} images of {options.size} pixels "
                f"needs more than {needed / 1e9:,.1f} GB of memory, and {free / 1e9:,.1f} GB are "
                "free: choose a smaller --batch-size or --size"
            )

    def _choose_folder(self) -> Path:
        if self.options.resume is not None:
            return Path(self.options.resume)
        return new_folder(Path(self.options.out), self.recipe.section)

    def _trained_by_older(self, folder: Path, num_epochs: int) -> int | None:
        """The epochs in a net that a version wrote which did not note them; None if it did not."""
        ends = (".params", "-symbol.json", "-0000.params")
        is_whole = all((folder / f"{self.recipe.section}{end}").exists() for end in ends)
        epoch, batch = max(checkpoints_in(folder), default=(0, 0))
        has_ended = (epoch - 1, batch) == (num_epochs, 0)
        return num_epochs if is_whole and has_ended else None

    def _history(self, folder: Path) -> History:
        """An empty history that will be written into `folder`."""
        events = folder if self.options.tensorboard else None
        return History(folder / "history.csv", tensorboard=events)

    def _try_outputs(
        self, net: nn.HybridSequential, data: fashion_mnist.FashionMNIST, folder: Path
    ) -> None:
        """Write the files that a run ends with, and remove them, so that a failure comes early."""
        try:
            with files.scratch_folder(folder) as trial:
                self._write_outputs(net, self._history(trial), data, trial)
        except BaseException:
            if self.options.resume is None:  # nothing has begun
                shutil.rmtree(folder, ignore_errors=True)
            raise

    def _write_outputs(
        self,
        net: nn.HybridSequential,
        history: History,
        data: fashion_mnist.FashionMNIST,
        folder: Path,
    ) -> None:
        size, section = self.options.size, self.recipe.section
        self._draw(history, folder)
        self._draw_predictions(net, data.test, folder)
        export_symbol(net, folder / section, (1, 1, size, size))
        save_parameters(net, folder / f"{section}.params")
        if self.options.export == "onnx":
            fashion_mnist_to_onnx(net, folder / f"{section}.onnx", size, section)

    def _draw_predictions(
        self, net: nn.HybridSequential, test: fashion_mnist.Split, folder: Path
    ) -> None:
        """Draw the first test images with the net's answers, computed where its weights are."""
        images, labels = (array[:_PREDICTED] for array in test)
        [ctx, *_] = next(iter(net.collect_params().values())).list_ctx()
        probabilities = Classifier(net, self.options.size, ctx).probabilities(images)
        page = draw_images(images, probabilities, fashion_mnist.CLASSES, labels)
        save_picture(page, folder / "predictions.png")

    def _draw(self, history: History, folder: Path) -> None:
        history.draw(folder / "curve.png", f"{self.recipe.title} on Fashion-MNIST")

    @contextmanager
    def _telling_how_to_go_on(self, folder: Path, history: History) -> Iterator[None]:
        """Add the command that resumes the run to the error that stopped it."""
        command = resume_command(folder)
        try:
            yield
        except Interrupted as stop:
            if len(history):
                self._draw(history, folder)
            if in_notebook():
                raise
            say(printable(f"{stop}; go on with `{command}`"), sys.stderr)
            raise SystemExit(128 + stop.signum) from None
        except (files.FileFailure, MemoryError, mx.base.MXNetError) as error:
            if lacks_memory(error):
                how = f"; or make some free and go on with `{command}`"
            else:
                how = f"; then go on with `{command}`"
            raise Failure(f"{describe(error)}{how}") from error

    def _config(self, data: fashion_mnist.FashionMNIST, listed: bool, trained: int | None) -> str:
        """The run's configuration; `trained` is the number of epochs in the net's files."""
        options = {name: value for name, value in vars(self.options).items() if name != "given"}
        config = {
            "section": self.recipe.section,
            "options": options,
            "optimizer": self.recipe.optimizer,
            "initializer": self.recipe.initializer,
            "tuning": self.recipe.tuning._asdict(),
            "dataset": {"edition": data.release, "folder": str(data.folder)},
            "device": ", ".join(map(str, self.ctxs)),
            "workers": self.workers.count,
            "threads": os.environ.get("OMP_NUM_THREADS"),
            "machine": machine.describe(),
            "versions": versions(),
            LISTED: listed,
            TRAINED: trained,
        }
        return json.dumps(config, indent=2) + "\n"


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
            f"--out {parent}: no folder can be made there ({error.strerror}); name another"
        ) from error
    return parent / name

"""A run on disk: one folder that keeps a training, from its first batch to its pictures."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
import json
import logging
import math
import os
from pathlib import Path
import shlex
import shutil
import signal
import sys
import time
from typing import Any, Callable, Iterable, Iterator, Mapping, Sequence

import mxnet as mx
from mxnet import gluon

from ..data.batches import split_batches
from ..data.fashion_mnist import CLASSES
from ..data.image_batches import ImageBatches
from ..distributed.environment import launched_by
from ..distributed.workers import Workers
from ..export.onnx import NotConvertible, fashion_mnist_to_onnx, refuse_unknown_operators
from ..export.symbol import export_symbol, save_parameters
from ..operations import fingerprint
from ..plots.figure import save_picture
from ..plots.predictions import draw_images
from ..predictions.classifier import Classifier
from ..summary import Layer, format_table, layer_table
from ..system import files, machine, nvidia_driver
from ..system.errors import Failure, printable
from ..system.interrupts import Interrupted
from ..system.messages import describe, lacks_memory, shorter
from ..system.output import say, show_picture
from ..system.ownership import refuse_foreign, versions
from ..training.run import CheckpointError, Keeper
from .checkpoint import Checkpoint, checkpoints_in
from .config import CONFIG, LISTED, TRAINED, check_name, read_config
from .follower import Follower
from .history import History

log = logging.getLogger("gluonbook")

#: Pictures that a run leaves.
_PICTURES = ("curve.png", "predictions.png")
#: Test images in the picture of predictions.
_PREDICTED = 27
#: The README.txt of a run's folder.
_README = """\
A run of {title}. It is resumed by: {command}

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

{name}.params
    The trained parameters, for the same net built in Python: gluonbook.export.load_parameters(net,
    path), or net.load_parameters(path).

{name}-symbol.json, {name}-0000.params
    The net with its parameters, for programs that do not have its class:
    gluonbook.export.import_symbol("FOLDER/{name}"), mxnet.gluon.SymbolBlock.imports, or MXNet
    from another language.

{name}-int8.json, {name}-int8-symbol.json, {name}-int8-0000.params
    From python -m gluonbook.predict FOLDER --int8: how the net was quantized, and the net in int8,
    read as the files above are. It is made anew if it is not that of {name}.params.

{name}.onnx
    With --export onnx, or from python -m gluonbook.export FOLDER: the net for programs without
    MXNet. chapters/classify_onnx.py classifies with it.

predictions
    From python -m gluonbook.predict FOLDER: pictures of what the net answers.

events.out.tfevents.N.gluonbook
    With --tensorboard: the figures for `tensorboard --logdir FOLDER`, or --logdir runs for all.
"""


class RunFolder:
    """A folder that keeps one training, as ``run=`` of `train_ch5` and `train`.

    It takes checkpoints, and a run that is in it already is gone on with. When the training ends it
    takes the net, and pictures of the learning curve and of predictions. Its ``README.txt``
    explains each file.

    Parameters
    ----------
    folder
        Made if it does not exist. With None, a new one is made in `parent`.
    name
        Of the net's files.
    title
        Of the run, for the picture of the curve.
    options
        What to record in ``config.json``.
    training
        More to record there: ``optimizer``, ``initializer``, ``tuning``. The optimizer is otherwise
        read from the trainer.
    command
        What Python is given to resume the run, but for the folder; None for code of one's own.
    facts, save_every, seed
        As `Checkpoint` takes them.
    export_onnx, tensorboard
        Whether to leave an ONNX file, and the figures for TensorBoard, too.
    check_net
        Called with the net before anything else is done; may refuse it.

    Attributes
    ----------
    folder
        The run's folder; None until a new one has been made.

    Raises
    ------
    Failure
        If no file can begin with `name`.
    ValueError
        If `folder` is empty text.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        parent: str | os.PathLike[str] = "runs",
        name: str = "net",
        title: str | None = None,
        options: Mapping[str, Any] | None = None,
        training: Mapping[str, Any] | None = None,
        command: str | None = None,
        facts: Mapping[str, Any] | None = None,
        save_every: int | None = None,
        seed: int | None = None,
        export_onnx: bool = False,
        tensorboard: bool = False,
        check_net: Callable[[gluon.Block], None] | None = None,
    ) -> None:
        if folder is not None and not os.fspath(folder):
            raise ValueError("the run's folder has no name: give one such as runs/mine")
        check_name(name)
        self.folder = None if folder is None else Path(folder)
        self._parent, self._name, self._title = Path(parent), name, title or name
        self._options, self._training, self._command = options or {}, training or {}, command
        self._facts, self._save_every, self._seed = dict(facts or {}), save_every, seed
        self._export_onnx, self._tensorboard = export_onnx, tensorboard
        self._check_net = check_net

    @contextmanager
    def keep(
        self,
        net: gluon.Block,
        trainer: gluon.Trainer,
        loaders: tuple[Iterable[Any], Iterable[Any]],
        ctxs: Sequence[mx.Context],
        workers: Workers,
    ) -> Iterator[tuple[History, Keeper]]:
        """Keep the training inside the ``with`` block, which gets its history and its keeper.

        Raises
        ------
        Failure
            If the net cannot be kept, a batch is sure not to fit into memory, an extra is not
            installed, the run in the folder is another one, or a file of a user's stands in its
            place; nothing is left then.
        """
        if not workers.is_first:
            try:
                yield History(), Follower(self._save_every, self._facts)
            except Interrupted as stop:
                raise Interrupted(stop.signum, "") from None  # the first worker says it
            return
        if self._check_net is not None:
            self._check_net(net)
        kept = _Kept(net, trainer, *loaders, list(ctxs), workers)
        kept.refuse_too_large()
        with ExitStack() as opened:
            history, checkpoint = self._open(kept, opened)
            with self._telling_how_to_go_on(checkpoint.folder, history):
                yield history, checkpoint
                self._finish(kept, history, checkpoint)
        say(printable(f"written to {self.folder}"), sys.stderr)
        say(printable(f"next: {self._next(kept)}"), sys.stderr)

    def show(self) -> None:
        """In a notebook, show the run's pictures; a script leaves them in its folder."""
        if self.folder is not None:
            for path in filter(Path.exists, map(self.folder.joinpath, _PICTURES)):
                show_picture(path)

    def _next(self, kept: _Kept) -> str:
        """What a user will want to do with the run."""
        look = "look at curve.png there"
        channels, height, width = (*kept.input_shape[1:], 0, 0)[:3]
        outputs = math.prod(kept.layers[-1].output_shape)
        if channels != 1 or height != width or outputs != len(CLASSES):
            return look
        python, folder = shlex.quote(shorter(sys.executable)), shlex.quote(str(self.folder))
        return f"{look}, then try the net: `{python} -m gluonbook.predict {folder}`"

    def _open(self, kept: _Kept, opened: ExitStack) -> tuple[History, Checkpoint]:
        """Make or find the folder, lock it, and try what could fail at the end."""
        is_new = self.folder is None
        folder = self.folder = self.folder or new_folder(self._parent, self._name)
        try:
            if self._export_onnx:
                refuse_unknown_operators(kept.net)
            command = f"python {self._command} FOLDER" if self._command else "the code that made it"
            checkpoint = Checkpoint(
                folder,
                save_every=self._save_every,
                seed=self._seed,
                facts=self._facts,
                notes={
                    "README.txt": _README.format(
                        name=self._name, title=self._title, command=command
                    ),
                    "layers.txt": format_table(kept.layers),
                },
            )
            checkpoint.acquire()
            opened.callback(checkpoint.end)
            # Only now can nobody else change it.
            trained = None
            if (folder / CONFIG).exists():
                trained = self._trained(kept)
            elif not files.lists_digests(folder):  # of a run whose configuration is gone
                names = [*checkpoint.notes, "history.csv", *_PICTURES, *self._net_files()]
                names += [f"{self._name}.onnx"] if self._export_onnx else []
                refuse_foreign(map(folder.joinpath, names), "run=")
            kept.listed = not files.has_strange_list(folder)
            # Written first: by it a folder is known as a run's.
            checkpoint.notes = {CONFIG: self._config(kept, trained), **checkpoint.notes}
            _refuse_full_disk(folder, kept.num_bytes)
            history = History(
                folder / "history.csv", tensorboard=folder if self._tensorboard else None
            )
        except BaseException:
            if is_new:  # nothing has begun
                shutil.rmtree(folder, ignore_errors=True)
                self.folder = None
            raise
        return history, checkpoint

    def _trained(self, kept: _Kept) -> int | None:
        """After how many epochs the net's files in the folder were written; None if they were not.

        Raises
        ------
        CheckpointError
            If the folder holds the run of another net, or on inputs of another shape.
        """
        assert self.folder is not None
        config = read_config(self.folder)
        if config.net not in (None, kept.fingerprint):
            raise CheckpointError(
                f"{self.folder} holds a run of another net, which computes otherwise: give the "
                "same net, or start a new run"
            )
        if config.input_shape not in (None, list(kept.input_shape[1:])):
            raise CheckpointError(
                f"{self.folder} holds a run on inputs of {config.input_shape}, and this one has "
                f"{list(kept.input_shape[1:])}: give the same data, or start a new run"
            )
        # What was exported before would stay the net of then.
        self._export_onnx = self._export_onnx or (self.folder / f"{self._name}.onnx").exists()
        if config.trained != 0:
            return config.trained
        is_whole = all((self.folder / name).exists() for name in self._net_files())
        num_epochs = config.options.get("num_epochs")
        epoch, batch = max(checkpoints_in(self.folder), default=(0, 0))
        return num_epochs if is_whole and (epoch - 1, batch) == (num_epochs, 0) else None

    def _net_files(self) -> list[str]:
        return [f"{self._name}{end}" for end in (".params", "-symbol.json", "-0000.params")]

    @contextmanager
    def _telling_how_to_go_on(self, folder: Path, history: History) -> Iterator[None]:
        """Add how the run is resumed to the error that stopped it."""
        python, how = launched_by() or shlex.quote(shorter(sys.executable)), _RUN_AGAIN
        if self._command is not None:
            how = f"go on with `{python} {self._command} {shlex.quote(str(folder))}`"
        try:
            with _telling(how, folder):
                try:
                    yield
                except Interrupted:
                    # Who asks twice goes without the picture. An import that is cut short fails.
                    with suppress(KeyboardInterrupt, ImportError):
                        if len(history):
                            self._draw(history)
                    raise
        except (files.FileFailure, MemoryError, mx.base.MXNetError) as error:
            if self._command is None:
                raise
            more = "or make some free and" if lacks_memory(error) else "then"
            raise Failure(f"{describe(error)}; {more} {how}") from error

    def leave_net(self, kept: _Kept, history: History) -> None:
        """Write the net beside the checkpoints of a run that has nothing else.

        The run of a `RunFolder`, and files of a user's, stay as they are.

        Raises
        ------
        Failure
            If the net cannot be exported, or a file of a user's stands in its place.
        """
        folder = self.folder
        assert folder is not None
        if (folder / "README.txt").exists():
            return
        if not (folder / CONFIG).exists():
            refuse_foreign(folder / name for name in self._net_files())
        files.list_digests(folder)
        kept.listed = not files.has_strange_list(folder)
        self._write_net(kept)
        files.write(folder / CONFIG, self._config(kept, len(history)))

    def _write_net(self, kept: _Kept) -> None:
        assert self.folder is not None
        # While they are written, they are not all of one epoch.
        files.write(self.folder / CONFIG, self._config(kept, None))
        export_symbol(kept.net, self.folder / self._name, kept.input_shape)
        save_parameters(kept.net, self.folder / f"{self._name}.params")

    def _finish(self, kept: _Kept, history: History, checkpoint: Checkpoint) -> None:
        """Write what a run ends with: first the net, then what is drawn and made from it."""
        folder = checkpoint.folder
        self._write_net(kept)
        not_convertible = self._write_onnx(kept, folder / f"{self._name}.onnx")
        self._draw(history)
        kept.draw_predictions(folder / "predictions.png")
        files.write(folder / CONFIG, self._config(kept, len(history)))
        checkpoint.remove_older()
        if not_convertible is not None:
            raise NotConvertible(
                f"{not_convertible}; all else is written to {folder}"
            ) from not_convertible

    def _write_onnx(self, kept: _Kept, path: Path) -> NotConvertible | None:
        """Write the ONNX file, if there is to be one; the error of a net that cannot be one."""
        if self._export_onnx:
            try:
                fashion_mnist_to_onnx(kept.net, path, kept.input_shape[-1], self._name)
            except NotConvertible as error:
                path.unlink(missing_ok=True)  # it would be the net of an earlier epoch
                return error
        return None

    def _draw(self, history: History) -> None:
        assert self.folder is not None
        history.draw(self.folder / "curve.png", self._title)

    def _config(self, kept: _Kept, trained: int | None) -> str:
        """The run's configuration; `trained` is the number of epochs in the net's files."""
        devices = kept.devices()
        config = {
            "section": self._name,
            "options": {**self._options, "size": kept.input_shape[-1]},
            "optimizer": type(kept.trainer.optimizer).__name__.lower(),
            **self._training,
            "dataset": kept.dataset,
            "command": self._command,
            "net": kept.fingerprint,
            "input": list(kept.input_shape[1:]),
            "device": ", ".join(map(str, devices)),
            **({"gpus": gpus} if (gpus := nvidia_driver.names_of(devices)) else {}),
            "workers": kept.workers.count,
            "threads": os.environ.get("OMP_NUM_THREADS"),
            "machine": machine.describe(),
            "versions": versions(),
            LISTED: kept.listed,
            TRAINED: trained,
        }
        return json.dumps(config, indent=2) + "\n"


class _Kept:
    """What the training was given, and what follows from it."""

    def __init__(
        self,
        net: gluon.Block,
        trainer: gluon.Trainer,
        train_iter: Iterable[Any],
        test_iter: Iterable[Any],
        ctxs: list[mx.Context],
        workers: Workers,
    ) -> None:
        self.net, self.trainer, self.test_iter = net, trainer, test_iter
        self.ctxs, self.workers = ctxs, workers
        self._train_iter = train_iter
        self.fingerprint = fingerprint(net)
        self.input_shape = (1, *_shape_of_an_example(test_iter))
        self.layers: list[Layer] = layer_table(net, self.input_shape)
        self.listed = True  # whether the folder's list of digests was ours as the run began

    @property
    def num_bytes(self) -> int:
        """At least what the folder will take: two checkpoints and the net's two files."""
        return 4 * 4 * sum(layer.parameters for layer in self.layers)

    @property
    def dataset(self) -> dict[str, str | None] | None:
        loader = self.test_iter
        if not isinstance(loader, ImageBatches):
            return None
        return {"edition": loader.release, "folder": str(loader.folder)}

    def refuse_too_large(self) -> None:
        """Raise a sentence if one batch is sure to need more memory than there is."""
        batch_size = getattr(self._train_iter, "batch_size", 1)
        if not isinstance(batch_size, int):  # a loader of a user's, which may not know it
            return
        values = math.prod(self.input_shape) + sum(
            math.prod(layer.output_shape) for layer in self.layers
        )
        share = batch_size // self.workers.count
        needed, free = 4 * values * share, machine.available_memory()
        if self.ctxs[0].device_type == "cpu" and needed > free:
            raise Failure(
                f"a batch of {share:,} images of {self.input_shape[-1]} pixels "
                f"needs more than {needed / 1e9:,.1f} GB of memory, and {free / 1e9:,.1f} GB are "
                "free: choose a smaller --batch-size or --size"
            )

    def devices(self) -> list[mx.Context]:
        """Where the weights are: on the CPU, if a GPU was found to compute otherwise."""
        return next(iter(self.net.collect_params().values())).list_ctx()

    def draw_predictions(self, path: Path) -> None:
        """Draw the first test images with the net's answers, computed where its weights are."""
        loader = self.test_iter
        if not isinstance(loader, ImageBatches) or loader.release is None:
            return
        images, labels = loader.images[:_PREDICTED], loader.labels[:_PREDICTED]
        ctx = self.devices()[0]
        probabilities = Classifier(self.net, self.input_shape[-1], ctx).probabilities(images)
        names = [*CLASSES, *map(str, range(len(CLASSES), probabilities.shape[1]))]
        save_picture(draw_images(images, probabilities, names, labels), path)


#: How a training of one's own goes on.
_RUN_AGAIN = "run the same program again to go on"


@contextmanager
def _telling(how: str, folder: Path) -> Iterator[None]:
    """Add to the interruption of the training in `folder` how it goes on."""
    try:
        yield
    except Interrupted as stop:
        raise Interrupted(stop.signum, f"{stop}; {how}") from None
    except KeyboardInterrupt:  # while no training waits for signals: at its beginning and end
        if not ((folder / CONFIG).exists() or checkpoints_in(folder)):
            raise Interrupted(signal.SIGINT, "interrupted") from None
        raise Interrupted(signal.SIGINT, f"interrupted; {how}") from None


@contextmanager
def leaving_net(
    checkpoint: Checkpoint,
    net: gluon.Block,
    trainer: gluon.Trainer,
    loaders: tuple[Iterable[Any], Iterable[Any]],
    ctxs: Sequence[mx.Context],
    workers: Workers,
    history: History,
) -> Iterator[None]:
    """Within the ``with`` block trains what `checkpoint` alone keeps; its net is left there.

    So `load_run` reads the folder as any run's, if the net can be exported.
    """
    checkpoint.acquire()
    with ExitStack() as opened:
        opened.callback(checkpoint.end)
        with _telling(_RUN_AGAIN, checkpoint.folder):
            yield
            try:
                kept = _Kept(net, trainer, *loaders, list(ctxs), workers)
                RunFolder(checkpoint.folder).leave_net(kept, history)
            except files.FileFailure as error:
                log.warning("%s; the checkpoints are whole", error)
            except (Failure, ValueError, mx.base.MXNetError) as error:
                log.info("the net is not left in %s: %s", checkpoint.folder, error)


def _shape_of_an_example(test_iter: Iterable[Any]) -> tuple[int, ...]:
    """The shape (C, H, W) of one example of a loader."""
    if isinstance(test_iter, ImageBatches):
        return (1, test_iter.size, test_iter.size)
    if iter(test_iter) is test_iter and not isinstance(test_iter, mx.io.DataIter):
        raise ValueError("run= needs test data that can be gone through more than once")
    for [(X, _), *_] in split_batches(test_iter, [mx.cpu()]):
        return X.shape[1:]
    raise ValueError("the test data gave no batch")


def _refuse_full_disk(folder: Path, needed: int) -> None:
    """Raise a sentence if the disk is sure to be too small for what the run will leave."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise files.FileFailure(
            f"{folder} cannot hold the run: it takes {needed / 1e6:,.0f} MB and more, and "
            f"{free / 1e6:,.0f} MB are free; make room on that disk, or name another folder"
        )


def new_folder(parent: Path, name: str) -> Path:
    """Make ``<parent>/<name>-<time>``, with a number behind it if that is taken.

    Raises
    ------
    Failure
        If none can be made there.
    """
    first = parent / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder, number = first, 1
    try:
        parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                folder.mkdir()
                return folder
            except FileExistsError:
                number += 1
                folder = first.with_name(f"{first.name}-{number}")
    except OSError as error:
        raise Failure(
            f"--out {parent}: no folder can be made there ({error.strerror}); name another"
        ) from error

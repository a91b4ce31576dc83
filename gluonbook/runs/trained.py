"""Trained nets: of a run's folder, or those that come with the package, by their names."""

from __future__ import annotations

from contextlib import suppress
import logging
import math
import os
from pathlib import Path

import mxnet as mx
from mxnet import gluon

from ..data.fashion_mnist import CLASSES
from ..export.symbol import import_symbol, load_parameters
from ..nets.edition import EDITIONS
from ..operations import fingerprint, trace
from ..predictions.classifier import Classifier
from ..recipes import recipe_of
from ..system import files
from ..system.errors import Failure, printable
from ..zoo import pretrained
from ..zoo.models import UnknownModel, get_model
from .checkpoint import checkpoints_in
from .config import CONFIG, Config, read_config
from .history import History
from .int8 import int8_of_run

log = logging.getLogger("gluonbook")

#: In pixels. A net has to compute before its shapes are known, which for more would need too much
#: memory.
LARGEST_SIZE = 2**12


def load_run(folder: str | os.PathLike[str], ctx: mx.Context | None = None) -> Classifier:
    """The trained net of a run's folder, or the one that comes trained under that name.

    Configuration and parameters are held against the digests in the run's ``SHA256SUMS``. A run of
    a version that wrote none, or whose list was removed, is refused if its files are cut short, or
    a parameter is not finite; other damage is not noticed there.

    A net of a section or of `list_models` is built by its function. One that was changed in its
    chapter, or made in code of your own, is the run's exported symbol.

    If the run has been resumed since and has not ended again, the net is the one from before, and
    one warning is logged that says so.

    Raises
    ------
    Failure
        If there is no such run, it is damaged, or it has not ended; or if its net takes other
        inputs than gray images.
    """
    if comes_trained := pretrained_of(folder):
        net = get_model(comes_trained.model, pretrained=pretrained.DATASET)
        net.collect_params().reset_ctx(ctx or mx.cpu())
        return _classifier(net, comes_trained.size, ctx)
    config = _config_of(Path(folder))
    path = config.folder / f"{config.name}.params"
    if not path.exists() or config.trained is None:
        what = "is not complete" if path.exists() else f"has no {path.name}"
        raise Failure(
            f"{folder} {what}: the run has not ended; resume it with {config.how_to_resume}"
        )
    size = config.options.get("size")
    if not (type(size) is int and 0 < size < LARGEST_SIZE):
        raise config.damaged(f"the size {size!r} is not that of an image")
    if config.input_shape not in (None, [1, size, size]):
        raise Failure(
            f"{folder} holds a net for inputs of {config.input_shape}, and only square gray images "
            "are classified here: load it with gluonbook.export.import_symbol"
        )
    if config.trained:
        _warn_of_later_epochs(config)
    try:
        net = _net_of(config, path, ctx)
    except files.Damaged as error:
        raise Failure(f"{error}; {config.how_to_resume} writes it anew") from error
    return _classifier(net, size, ctx)


def _classifier(net: gluon.HybridBlock, size: int, ctx: mx.Context | None) -> Classifier:
    net.hybridize(static_alloc=True, static_shape=True)
    return Classifier(net, size, ctx)


def pretrained_of(run: str | os.PathLike[str]) -> pretrained.Pretrained | None:
    """The net that comes trained under that name, unless a file or folder has it."""
    return None if Path(run).exists() else pretrained.find(os.fspath(run))


def folder_of(run: str | os.PathLike[str]) -> Path:
    """Where what is made of a trained net goes: the run's folder, or one under ``runs``."""
    comes_trained = pretrained_of(run)
    return Path(run) if comes_trained is None else Path("runs", comes_trained.name)


def _net_of(config: Config, path: Path, ctx: mx.Context | None) -> gluon.HybridBlock:
    """The net with its parameters: by its own class, where that gives what was trained."""
    net = _built(config)
    if net is None or config.net not in (None, fingerprint(net)):
        return import_symbol(config.folder / config.name, ctx)
    load_parameters(net, path, ctx)
    return net


def _built(config: Config) -> gluon.HybridBlock | None:
    """The net of the run's name, not initialized; None if only the run's files know it."""
    edition, recipe = (config.options.get(each) for each in ("edition", "recipe"))
    try:
        return recipe_of(config.name, recipe or "book").net(edition or EDITIONS[0])
    except UnknownModel:
        if config.net is None:
            raise config.damaged(f"there is no section {config.name!r}") from None
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise config.damaged(f"there is no such net ({error})") from error


def _warn_of_later_epochs(config: Config) -> None:
    """Log a warning if a checkpoint, or the history, goes on after the net was written."""
    rows, epochs = 0, config.trained or 0
    with suppress(Failure):  # it may be gone; it only warns
        rows = len(History.read(config.folder / "history.csv"))
    epoch, batch = max([*checkpoints_in(config.folder), (rows + 1, 0)])
    if (epoch, batch) > (epochs + 1, 0):
        log.warning(
            "the net in %s is that after epoch %d, and the training has gone on to epoch %d, batch "
            "%d: %s finishes it and writes the newest net",
            *(printable(str(config.folder)), epochs, epoch, batch),
            printable(config.how_to_resume),
        )


def check_classes(run: Classifier, folder: str | os.PathLike[str]) -> None:
    """Raise a `Failure` if the net of a run does not tell the classes of Fashion-MNIST apart.

    If the run does not know what it was trained on, one warning is logged.
    """
    _, [shape], _ = trace(run.net).infer_shape(data=(1, 1, run.size, run.size))
    outputs = math.prod(shape[1:])
    if outputs != len(CLASSES):
        raise Failure(
            f"{folder} holds a net of {outputs:,} outputs, which are not the {len(CLASSES)} "
            "classes of Fashion-MNIST: load it in code of your own, by gluonbook.runs.trained."
            "load_run or gluonbook.export.import_symbol"
        )
    if pretrained_of(folder) is None and _config_of(Path(folder)).dataset is None:
        log.warning(
            "the run in %s does not say which data it was trained on: classes, and accuracies, are "
            "those of Fashion-MNIST",
            printable(str(folder)),
        )


def load_run_in_int8(
    folder: str | os.PathLike[str], data: str | os.PathLike[str] | None = None
) -> Classifier:
    """The net of a run as `load_run` gives it, but in int8, on the CPU.

    The first call quantizes it and keeps the result in the folder; see `int8_of_run`, which also
    explains `data`.

    Raises
    ------
    Failure
        As `load_run`, `check_classes` and `int8_of_run` do.
    """
    run = load_run(folder)
    check_classes(run, folder)
    comes_trained, kept_in = pretrained_of(folder), folder_of(folder)
    kept_in.mkdir(parents=True, exist_ok=True)
    weights = comes_trained.weights if comes_trained else kept_in / f"{name_of(folder)}.params"
    return int8_of_run(run, weights, kept_in, data)


def name_of(folder: str | os.PathLike[str]) -> str:
    """The name of the files of a trained net.

    Raises
    ------
    Failure
        If there is no such run, or its configuration is damaged.
    """
    comes_trained = pretrained_of(folder)
    return _config_of(Path(folder)).name if comes_trained is None else comes_trained.name


def _config_of(folder: Path) -> Config:
    if not folder.exists():
        raise Failure(
            f"there is no folder {folder}: name that of a run, such as one under runs, or a net "
            f"that comes trained: {pretrained.names()}"
        )
    if folder.is_dir() and not (folder / CONFIG).exists():
        if checkpoints_in(folder):
            raise Failure(
                f"{folder} holds checkpoints and no net: run the program that trains it to its "
                "end; it leaves a net that is made of HybridBlocks"
            )
        if comes_trained := pretrained_of(folder.name):
            raise Failure(
                f"{folder} holds no run, only what was made of a net that comes trained: give its "
                f"name alone, {comes_trained.name}"
            )
    return read_config(folder)

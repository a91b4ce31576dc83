"""The int8 form of a run's net: made once, and kept in the run's folder."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
import sys

from mxnet import gluon
import numpy as np

from ..data import fashion_mnist
from ..data.fashion_mnist import Split
from ..data.image_batches import ImageBatches
from ..export.int8 import Quantized, load_quantized, needs_seven_bits, quantize_within
from ..export.symbol import export_symbol
from ..predictions.classifier import Classifier
from ..system import files
from ..system.machine import available_memory
from ..system.output import say

#: The first training images calibrate the net, and the last tell what it loses.
_CALIBRATING, _HELD_OUT = 512, 2000
_BATCH_SIZE = 128
#: Of how a net is quantized. What another version has kept is made anew.
_VERSION = 2


def int8_of_run(
    trained: Classifier, weights: Path, folder: Path, data: str | os.PathLike[str] | None = None
) -> Classifier:
    """The `trained` net, whose parameters are in the file `weights`, in int8.

    It is quantized by the first call and kept in the folder for the next. The first training
    images of the data set calibrate it, and it may lose half a point of accuracy on the last. Two
    lines on standard error say so.

    Parameters
    ----------
    folder
        Where it is kept, under the name of `weights`.
    data
        Folder to look for the data set in; see `fashion_mnist`.

    Raises
    ------
    QuantizationError
        If the net loses more, or cannot be quantized.
    FileFailure
        If the result cannot be kept.
    DatasetError
        If the data set is needed, and is damaged or not to be had.
    """
    net = _kept(folder, weights, trained.size)
    if net is None:
        quantized, facts = _quantized(trained, data)
        _keep(folder, weights, quantized, trained.size, facts)
        told = ", ".join(f"{share:.4f} in {form}" for form, share in quantized.accuracy.items())
        left = "; in float32 stay " + ", ".join(quantized.float32_layers)
        say(
            f"its accuracy on these is {told}{left if quantized.float32_layers else ''}; kept in "
            f"{folder / _facts_of(weights)} and beside it",
            sys.stderr,
        )
        net = quantized.net
    return Classifier(net, trained.size)


def training_images(train: Split, size: int) -> tuple[np.ndarray, ImageBatches]:
    """What a net for images of `size` pixels is quantized with, from the training images.

    The first few to calibrate it, float32 (N, 1, size, size), and batches of the last to tell what
    it loses.
    """
    calibrating = min(_CALIBRATING, len(train.labels) // 2)
    held_out = min(_HELD_OUT, len(train.labels) - calibrating)
    first, last = (
        ImageBatches(train.images[part], train.labels[part], _BATCH_SIZE, size=size)
        for part in (slice(calibrating), slice(-held_out, None))
    )
    return np.concatenate([X for X, _ in first.arrays()]), last


def _quantized(
    trained: Classifier, data: str | os.PathLike[str] | None
) -> tuple[Quantized, dict[str, object]]:
    """The net in int8, and the facts of how it was made."""
    found = fashion_mnist.fashion_mnist(data)
    images, held_out = training_images(found.train, trained.size)
    say(
        f"quantizing to int8: calibrated on {len(images):,} training images, and compared with "
        f"float32 on {held_out.num_examples:,} others",
        sys.stderr,
    )
    quantized = quantize_within(trained.net, images, held_out)
    facts = {"calibrating_images": len(images), "held_out_images": held_out.num_examples}
    return quantized, {**facts, "dataset": found.release}


def _keep(
    folder: Path, weights: Path, quantized: Quantized, size: int, facts: dict[str, object]
) -> None:
    """Write the net, and last its facts with the digests of all files that belong together."""
    with files.scratch_folder(folder) as scratch:
        export_symbol(quantized.net, scratch / f"{weights.stem}-int8", (1, 1, size, size))
        net_files = sorted(scratch.iterdir())
        paths = [weights, *net_files]
        facts = {
            **facts,
            "float32_layers": quantized.float32_layers,
            "accuracy": quantized.accuracy,
            "version": _VERSION,
            "seven_bits": needs_seven_bits(),
            "sha256": {path.name: _digest(path) for path in paths},
        }
        facts_file = scratch / _facts_of(weights)
        files.write(facts_file, json.dumps(facts, indent=2) + "\n")
        for path in (*net_files, facts_file):
            with files.replacing(folder / path.name) as place:
                os.replace(path, place)


def _kept(folder: Path, weights: Path, size: int) -> gluon.SymbolBlock | None:
    """The net that `_keep` wrote, every byte checked; None if it is not there, or not whole.

    None too if the run has been trained on, and its parameters are no longer those quantized, if
    this processor needs seven bits and the one that made it did not, or if an earlier version of
    this package made it, some of whose layers were wrong.
    """
    net = folder / f"{weights.stem}-int8"
    paths = [weights, Path(f"{net}-0000.params"), Path(f"{net}-symbol.json")]
    try:
        facts = json.loads(files.read(folder / _facts_of(weights), 2**20))
        digests = facts["sha256"]
        if facts.get("version") != _VERSION:
            return None
        if needs_seven_bits() and not facts.get("seven_bits"):
            return None
        if any(_digest(path) != digests[path.name] for path in paths):
            return None
    except (files.FileFailure, ValueError, LookupError, TypeError, RecursionError):
        return None
    return load_quantized(net, (1, 1, size, size))


def _facts_of(weights: Path) -> str:
    return f"{weights.stem}-int8.json"


def _digest(path: Path) -> str:
    return hashlib.sha256(files.read(path, available_memory() // 4)).hexdigest()

"""The nets that come trained on Fashion-MNIST, with their weights in this package.

For each there are three files in ``gluonbook/weights``: the weights as safetensors, half of them in
16 bits; the history of the training, whose test accuracy is that on 5,000 training images which
were held out; and a card, which tells how the net was trained and what it reached.
``benchmarks/pretrain.py`` and ``benchmarks/trained_nets.py`` wrote them.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Mapping, NamedTuple

from mxnet import gluon, nd
from safetensors import numpy as safetensors

from ..data.fashion_mnist import CLASSES
from ..system.errors import Failure
from ..system.files import FileFailure, read
from ..system.mxnet_private import give_values, parameters_by_place

FOLDER = Path(__file__).parents[1] / "weights"
DATASET = "fashion_mnist"
NUM_CLASSES = len(CLASSES)
#: In bytes. All files together are to have less.
_LARGEST = 2**23


class NotPretrained(Failure, ValueError):
    """There are no such weights here."""


class Pretrained(NamedTuple):
    """A net that comes trained."""

    name: str
    """Of its files, and for commands."""
    model: str
    """For `get_model`."""
    size: int
    """Height and width of the images that it was trained on."""
    sha256: str
    """Of its file of weights."""

    @property
    def weights(self) -> Path:
        return FOLDER / f"{self.name}.safetensors"

    @property
    def history(self) -> Path:
        return FOLDER / f"{self.name}.csv"

    def card(self) -> dict[str, Any]:
        """How the net was trained, and its accuracy and confusion on the 10,000 test images."""
        return json.loads(_content(FOLDER / f"{self.name}.json"))


PRETRAINED = (
    Pretrained(
        "densenet",
        "densenet",
        96,
        "acf8cfca2ed1338643283544af41e590ea42a99821269a064428cc24f4318a3c",
    ),
    Pretrained(
        "lenet",
        "lenet",
        28,
        "afcd086271e1977f736219c5a801bbdf8482d812eb622aa456ddca569931c118",
    ),
    Pretrained(
        "resnet20",
        "cifar_resnet20_v1",
        28,
        "a7443b39f370ce8fa94f863e10f6ea261b39a869f05480441dc5c7647a400b20",
    ),
    Pretrained(
        "wideresnet",
        "cifar_wideresnet28_2",
        28,
        "838fd5c9b42acf80873c67c00975db9d5b095bf402c0893139e7159ca4663f70",
    ),
)


def find(name: str) -> Pretrained | None:
    """The net of that name, a command's or `get_model`'s, if it comes trained."""
    return next((each for each in PRETRAINED if name in (each.name, each.model)), None)


def names() -> str:
    """The names of all, for a sentence."""
    return ", ".join(each.name for each in PRETRAINED)


def choose(
    model: str, dataset: str, num_classes: int | None, options: Mapping[str, Any]
) -> Pretrained:
    """The weights that `get_model` is asked for.

    Raises
    ------
    NotPretrained
        If there are none of that net, for that data set, that number of classes or these options.
    """
    found = find(model)
    if dataset != DATASET:
        why = f"pretrained={dataset!r}: the weights here are of {DATASET!r}"
    elif found is None:
        why = f"no weights of {model} are here, but of {names()}"
    elif num_classes not in (None, NUM_CLASSES):
        why = f"the weights of {model} tell {NUM_CLASSES} classes apart, not {num_classes}"
    elif options:
        why = f"the weights of {model} are of the net without {', '.join(options)}"
    else:
        return found
    raise NotPretrained(f"{why}: `gluonbook.train` trains any net")


def load(net: gluon.Block, trained: Pretrained) -> None:
    """Give `net`, fresh from its function, its weights, in float32 on the CPU.

    Raises
    ------
    FileFailure
        If their file is missing, or is not the one that was shipped.
    """
    content = _content(trained.weights)
    if hashlib.sha256(content).hexdigest() != trained.sha256:
        raise FileFailure(f"{trained.weights} is damaged: install gluonbook again")
    params = parameters_by_place(net)
    for name, values in safetensors.load(content).items():
        give_values(params[name], nd.array(values, dtype="float32"))


def _content(path: Path) -> bytes:
    try:
        return read(path, _LARGEST)
    except FileFailure as error:
        raise FileFailure(f"{error}: install gluonbook again") from error

"""Every net of this package by its name."""

from __future__ import annotations

import difflib
from typing import Any, Callable

from mxnet.gluon import nn

from .. import nets
from ..system.errors import Failure
from ..system.numpy_mode import refuse_numpy_mode
from . import cifar_resnet, densenet_family, preresnet, resnet_family, vgg_family, wide_resnet
from . import pretrained as weights
from .bninception import bninception
from .inceptionresnet import inceptionresnetv1, inceptionresnetv2
from .inceptionv3 import inceptionv3
from .inceptionv4 import inceptionv4
from .nin_cifar10 import nin_cifar10


class UnknownModel(Failure, ValueError):
    """No net has that name."""


#: The book's seven sections, and the families of the papers by GluonCV's names where it has them.
MODELS: dict[str, Callable[..., nn.HybridSequential]] = {
    "alexnet": nets.alexnet,
    "densenet": nets.densenet,
    "googlenet": nets.googlenet,
    "lenet": nets.lenet,
    "nin": nets.nin,
    "resnet": nets.resnet,
    "vgg": nets.vgg,
    "bninception": bninception,
    "inceptionresnetv1": inceptionresnetv1,
    "inceptionresnetv2": inceptionresnetv2,
    "inceptionv3": inceptionv3,
    "inceptionv4": inceptionv4,
    "nin_cifar10": nin_cifar10,
    **cifar_resnet.MODELS,
    **densenet_family.MODELS,
    **preresnet.MODELS,
    **resnet_family.MODELS,
    **vgg_family.MODELS,
    **wide_resnet.MODELS,
}


def get_model(
    name: str, num_classes: int | None = None, *, pretrained: str | None = None, **options: Any
) -> nn.HybridSequential:
    """The net of that name; input (N, C, H, W), output (N, num_classes), logits.

    It is not initialized, unless it comes trained.

    Parameters
    ----------
    name
        One of `list_models`.
    num_classes
        1,000 by default, as in the papers; of a trained net, those of its data set.
    pretrained
        With ``"fashion_mnist"``, the net has the weights that come with this package, on the CPU.
        They are of `gluonbook.zoo.pretrained.PRETRAINED`, for gray images of its ``size``.
    options
        Given to the function that makes the net: ``small_images=True`` for a stem that suits images
        of 28 to 64 pixels, and whatever else it takes.

    Raises
    ------
    UnknownModel
        If no net has that name; the message names those that are nearest.
    NotPretrained
        If there are no such weights.
    FileFailure
        If the weights are damaged or missing.
    NumpyMode
        If ``npx.set_np()`` is on.
    """
    refuse_numpy_mode()
    if name not in MODELS:
        nearest = difflib.get_close_matches(str(name).lower(), MODELS, n=4, cutoff=0)
        raise UnknownModel(
            f"there is no model {name!r}: the nearest names are {', '.join(nearest)}, and "
            "gluonbook.list_models() gives all"
        )
    if pretrained is None:
        return MODELS[name](1000 if num_classes is None else num_classes, **options)
    trained = weights.choose(name, pretrained, num_classes, options)
    net = MODELS[name](weights.NUM_CLASSES)
    weights.load(net, trained)
    return net


def list_models() -> list[str]:
    """The names that `get_model` takes, in alphabetical order."""
    return sorted(MODELS)

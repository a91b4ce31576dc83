"""torchvision's nets beside ours: the same architectures by the same names.

Weights go across by structure, both ways::

    from gluonbook.pytorch import torchvision, transfer

    theirs, ours = torchvision.net("resnet50_v1b"), gb.get_model("resnet50_v1b")
    transfer.to_gluon(theirs, ours)
"""

from __future__ import annotations

from contextlib import nullcontext
import importlib
from typing import Any
from unittest import mock

import torch
from torch import nn

from ..system.errors import Failure, last_line
from ..zoo.models import UnknownModel

#: torchvision's name of each model that it shares with `gluonbook.list_models`.
NAMES = {
    **{f"resnet{depth}_v1b": f"resnet{depth}" for depth in (18, 34, 50, 101, 152)},
    **{f"densenet{depth}": f"densenet{depth}" for depth in (121, 161, 169, 201)},
    **{f"vgg{depth}{bn}": f"vgg{depth}{bn}" for depth in (11, 13, 16, 19) for bn in ("", "_bn")},
    "inceptionv3": "inception_v3",
}


class TorchvisionUnavailable(Failure, ImportError):
    """torchvision is not installed, or cannot be imported."""


def models() -> Any:
    """The module ``torchvision.models``.

    torchvision's compiled part is built for one build of torch and does not load beside another,
    such as the one for CPUs alone. The nets need none of it, so torchvision is then imported
    without what it declares of its compiled operators.

    A caller may build the net under ``torch.device("meta")``. The import computes small tensors,
    so it is done on the CPU: PyTorch 2.8 fails if they are on the device ``meta``.

    Raises
    ------
    TorchvisionUnavailable
        If it is not installed.
    """
    # PyTorch 1.13 has no contexts of devices.
    on_cpu = torch.device("cpu") if hasattr(torch.device, "__enter__") else nullcontext()
    try:
        with on_cpu:
            try:
                return importlib.import_module("torchvision.models")
            except RuntimeError:  # operator torchvision::nms does not exist
                undeclared = mock.patch.object(
                    torch.library, "register_fake", lambda name: lambda function: function
                )
                with undeclared:
                    return importlib.import_module("torchvision.models")
    except ImportError as error:
        raise TorchvisionUnavailable(
            f"torchvision cannot be imported ({last_line(error)}): run `pip install "
            "'gluonbook[pytorch]'`, in a clone `pip install -e '.[pytorch]'`"
        ) from error


def net(name: str, num_classes: int = 1000, num_channels: int = 3) -> nn.Module:
    """torchvision's net for one of our names, with random weights.

    Input (N, num_channels, H, W); output (N, num_classes), logits. torchvision itself makes nets
    for three channels; for another number the first convolution is made anew.

    Raises
    ------
    UnknownModel
        If torchvision has no such net.
    TorchvisionUnavailable
        If torchvision is not installed.
    """
    if name not in NAMES:
        raise UnknownModel(f"torchvision has no model {name!r}: it has {', '.join(NAMES)}")
    options = {"aux_logits": False, "init_weights": False} if name == "inceptionv3" else {}
    net = getattr(models(), NAMES[name])(num_classes=num_classes, **options)
    if num_channels != 3:
        first = next(layer for layer in net.modules() if isinstance(layer, nn.Conv2d))
        shape = (first.out_channels, num_channels, *first.kernel_size)
        first.in_channels, first.weight = num_channels, nn.Parameter(torch.empty(shape))
        first.reset_parameters()
    return net

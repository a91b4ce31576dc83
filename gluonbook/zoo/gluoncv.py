"""GluonCV's models as ours: the same nets with its parameters, so that its weights run here.

GluonCV (https://cv.gluon.ai) publishes weights that were trained on ImageNet or on CIFAR-10. Its
nets and ours are matched operation by operation, in the order of computation.
"""

from __future__ import annotations

import importlib
from itertools import zip_longest
import sys
from typing import Any
import warnings

import mxnet as mx
from mxnet import gluon, nd
from mxnet.gluon import nn

from ..data.download import reason
from ..operations import Op, gluon_ops
from ..system.errors import Failure, last_line
from ..system.mxnet_private import give_values
from . import cifar_resnet
from .models import get_model

#: Height and width of the images of a model, where they are not 224.
SIZES = {"inceptionv3": 299, **dict.fromkeys(cifar_resnet.MODELS, 32)}


class GluonCVUnavailable(Failure, ImportError):
    """GluonCV is not installed, or cannot be imported."""


class WeightsUnavailable(Failure):
    """GluonCV's trained weights cannot be loaded."""


class ModelMismatch(Failure, ValueError):
    """GluonCV has no such model, or one that computes differently."""


def model_zoo() -> Any:
    """The module ``gluoncv.model_zoo``.

    GluonCV refuses to be imported where it finds PyTorch 2, which its models do not need: torch is
    hidden while GluonCV loads.

    Raises
    ------
    GluonCVUnavailable
        If it is not installed.
    """
    torch = sys.modules.get("torch")
    sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of NumPy's older names
            return importlib.import_module("gluoncv.model_zoo")
    except ImportError as error:
        raise GluonCVUnavailable(
            f"GluonCV cannot be imported ({last_line(error)}): run `pip install "
            "'gluonbook[gluoncv]'`, in a clone `pip install -e '.[gluoncv]'`"
        ) from error
    finally:
        del sys.modules["torch"]
        if torch is not None:
            sys.modules["torch"] = torch


def from_gluoncv(
    name: str,
    pretrained: bool = False,
    *,
    num_classes: int | None = None,
    ctx: mx.Context | None = None,
) -> nn.HybridSequential:
    """Our net of that name with the parameters of GluonCV's.

    Parameters
    ----------
    name
        A name that both have, such as ``"resnet50_v1b"``, ``"densenet121"`` or ``"vgg16_bn"``.
    pretrained
        Take GluonCV's trained weights, which it downloads to ``~/.mxnet/models``. They expect
        images in RGB, from 0 to 1, less a mean and divided by a deviation: for ImageNet (0.485,
        0.456, 0.406) and (0.229, 0.224, 0.225), for CIFAR-10 (``cifar_resnet*``) (0.4914, 0.4822,
        0.4465) and (0.2023, 0.1994, 0.2010). Otherwise the weights are random.
    num_classes
        Number of outputs; by default as many as the trained weights have: 1000, or 10 for CIFAR-10.
    ctx
        Where the parameters are, by default on the CPU.

    Raises
    ------
    GluonCVUnavailable
        If GluonCV is not installed.
    WeightsUnavailable
        If the trained weights cannot be downloaded or read.
    ModelMismatch
        If GluonCV has no model of that name, or it computes differently; names the operations.
    UnknownModel
        If we have none.
    """
    published = 10 if name in cifar_resnet.MODELS else 1000
    if num_classes is None:
        num_classes = published
    ours = get_model(name, num_classes)
    zoo = model_zoo()
    if name not in zoo.get_model_list():
        raise ModelMismatch(f"GluonCV has no model {name!r}: gluonbook.get_model makes it")
    if pretrained and num_classes != published:
        raise WeightsUnavailable(
            f"GluonCV's weights of {name} are for {published} classes, not {num_classes!r}: leave "
            "num_classes out, or pretrained"
        )
    if pretrained:
        try:
            theirs = zoo.get_model(name, pretrained=True, ctx=ctx or mx.cpu())
        except Exception as error:  # its download, lock and archive raise errors of many kinds
            raise WeightsUnavailable(
                f"GluonCV's weights of {name} cannot be loaded ({reason(error)}): it downloads "
                "them once, from the web, into ~/.mxnet/models"
            ) from error
    else:
        theirs = zoo.get_model(name, classes=num_classes)
        size = SIZES.get(name, 224)
        theirs.infer_shape(nd.zeros((1, 3, size, size)))  # so that no forward pass is needed
        theirs.initialize(mx.init.Xavier(), ctx)
    copy_parameters(theirs, ours, ctx)
    return ours


def copy_parameters(theirs: gluon.Block, ours: gluon.Block, ctx: mx.Context | None = None) -> None:
    """Copy all weights and running statistics of GluonCV's net into ours.

    `ours` need not be initialized, nor know its input sizes; its parameters are then made on `ctx`,
    by default the CPU.

    Raises
    ------
    ModelMismatch, TraceError
        As `pairs` does; `ours` is then as it was.
    """
    matched = pairs(theirs, ours)
    nd.waitall()  # oneDNN may still be rearranging weights after the last inference
    for source, target in matched:
        give_values(target, source.data(source.list_ctx()[0]), ctx)


def pairs(theirs: gluon.Block, ours: gluon.Block) -> list[tuple[gluon.Parameter, gluon.Parameter]]:
    """The parameters of both nets, matched operation by operation.

    Raises
    ------
    ModelMismatch
        At the first operations that differ; names both.
    TraceError
        If a net is not made of hybrid blocks.
    """
    matched = []
    for a, b in zip_longest(_operations(theirs), _operations(ours)):
        if a is None or b is None or not _same(a, b):
            raise ModelMismatch(
                f"the nets differ: GluonCV's has {_told(a)} where ours has {_told(b)}"
            )
        matched += [(a.weights[role], b.weights[role]) for role in a.weights]
    return matched


def _operations(net: gluon.Block) -> list[Op]:
    """The operations of `net`, those that average over the whole image all alike.

    GluonCV pools over 7×7 pixels in the end, since 224×224 leaves so many, and we over all.
    """
    ops = gluon_ops(net)
    for op in reversed(ops):
        if op.kind == "average pool" and set(op.settings["padding"]) == {0}:
            op.kind, op.settings = "global average pool", {}
        if op.kind not in ("dense", "dropout"):
            break
    return ops


def _same(a: Op, b: Op) -> bool:
    """Whether they compute the same, where a 0 in the shape of a weight is a size not known yet."""
    if (a.kind, a.settings, a.inputs, [*a.weights]) != (b.kind, b.settings, b.inputs, [*b.weights]):
        return False
    return all(
        0 in (n, m) or n == m
        for role, weight in a.weights.items()
        for n, m in zip(weight.shape, b.weights[role].shape)
    )


def _told(op: Op | None) -> str:
    return "nothing more" if op is None else f"{op.name} ({op})"

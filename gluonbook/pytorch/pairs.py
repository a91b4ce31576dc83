"""The arrays of numbers that a PyTorch net and a Gluon net have in common."""

from __future__ import annotations

from typing import NamedTuple

from mxnet import gluon
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from ..operations import Op, gluon_ops
from ..system.errors import Failure
from .operations import torch_ops


class TransferError(Failure, ValueError):
    """The nets do not have the same layers with weights, or a file does not fit a net."""


class Pair(NamedTuple):
    """One array of numbers that both nets have."""

    torch_name: str
    gluon_name: str
    role: str
    """``"weight"``, ``"bias"``, ``"running mean"`` or ``"running var"``."""
    tensor: torch.Tensor
    parameter: gluon.Parameter
    torch_fixed: bool = False
    """Whether PyTorch's norm has no such tensor: `tensor` is then the ones or zeros for it."""
    gluon_fixed: bool = False
    """Whether MXNet takes 1 for the parameter, whatever it holds."""


def pairs(torch_net: nn.Module, gluon_net: gluon.Block) -> list[Pair]:
    """The arrays of both nets, matched layer by layer in the order of computation.

    All that the answers of the nets depend on has its pair.

    Raises
    ------
    TransferError
        At the first layers that do not match; names both and their shapes. At a layer of PyTorch's
        that has no numbers yet.
    TraceError
        If a net cannot be traced.
    """
    theirs = [op for op in torch_ops(torch_net) if op.weights]
    ours = [op for op in gluon_ops(gluon_net) if op.weights]
    for op in theirs:
        for role, tensor in op.weights.items():
            if is_lazy(tensor) or tensor.is_meta or not tensor.numel():
                raise TransferError(
                    f"the PyTorch net's {op.name} has no {role} yet: run the net once on an image "
                    "if its layers are lazy, or load its weights"
                )
    matched = []
    for a, b in zip(theirs, ours):
        if a.kind != b.kind or a.weights.keys() != b.weights.keys() or not _fit(a, b):
            raise TransferError(
                f"the nets differ: PyTorch's {_with_shapes(a)} stands where Gluon has "
                f"{_with_shapes(b)}"
            )
        for role, tensor in a.weights.items():
            trained = {"weight": "scale", "bias": "center"}.get(role, "")
            fixed = (
                a.settings.get(trained) is False,
                b.kind == "batch norm" and role == "weight" and not b.settings["scale"],
            )
            matched.append(Pair(a.name, b.name, role, tensor, b.weights[role], *fixed))
    if len(theirs) != len(ours):
        extra, side = (theirs, "PyTorch") if len(theirs) > len(ours) else (ours, "Gluon")
        raise TransferError(
            f"the nets differ: {side} has {len(extra)} layers with weights, the other "
            f"{min(len(theirs), len(ours))}; the first without a counterpart is "
            f"{_with_shapes(extra[min(len(theirs), len(ours))])}"
        )
    return matched


def _fit(a: Op, b: Op) -> bool:
    """Whether all shapes agree, where a 0 of Gluon's is a size it does not know yet.

    PyTorch's group norm has a weight for each channel and MXNet's one for each group.
    """
    for role, tensor in a.weights.items():
        theirs, ours = tuple(tensor.shape), tuple(b.weights[role].shape)
        if a.kind == "group norm" and theirs[0] % ours[0] == 0:
            continue
        if len(theirs) != len(ours) or any(n not in (0, m) for m, n in zip(theirs, ours)):
            return False
    return True


def _with_shapes(op: Op) -> str:
    shapes = ", ".join(f"{role} {tuple(value.shape)}" for role, value in op.weights.items())
    return f"{op.name} ({op.kind}: {shapes})"

"""Copies weights between the editions, matched by structure and not by name.

Weights, biases and running statistics are carried over exactly; both editions keep a
convolution's weight as (out, in, height, width) and a dense layer's as (out, in).
"""

from __future__ import annotations

import io
import logging
import os
import pickletools
from typing import Any, NamedTuple
import zipfile

from mxnet import gluon, nd
import numpy as np
import safetensors.torch
import torch
from torch import nn

from ..operations import Op, gluon_ops
from ..system import files
from ..system.errors import Failure
from ..system.mxnet_private import has_values, is_initialized
from .architecture import architecture
from .operations import torch_ops

log = logging.getLogger("gluonbook")


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


def pairs(torch_net: nn.Module, gluon_net: gluon.Block) -> list[Pair]:
    """The arrays of both nets, matched layer by layer in the order of computation.

    Raises
    ------
    TransferError
        At the first layers that do not match; names both and their shapes.
    TraceError
        If a net cannot be traced.
    """
    theirs = [op for op in torch_ops(torch_net) if op.weights]
    ours = [op for op in gluon_ops(gluon_net) if op.weights]
    matched = []
    for a, b in zip(theirs, ours):
        if a.kind != b.kind or a.weights.keys() != b.weights.keys() or not _fit(a, b):
            raise TransferError(
                f"the nets differ: PyTorch's {_with_shapes(a)} stands where Gluon has "
                f"{_with_shapes(b)}"
            )
        matched += [
            Pair(a.name, b.name, role, a.weights[role], b.weights[role]) for role in a.weights
        ]
    if len(theirs) != len(ours):
        extra, side = (theirs, "PyTorch") if len(theirs) > len(ours) else (ours, "Gluon")
        raise TransferError(
            f"the nets differ: {side} has {len(extra)} layers with weights, the other "
            f"{min(len(theirs), len(ours))}; the first without a counterpart is "
            f"{_with_shapes(extra[min(len(theirs), len(ours))])}"
        )
    return matched


def _fit(a: Op, b: Op) -> bool:
    """Whether all shapes agree, where a 0 of Gluon's is a size it does not know yet."""
    for role, tensor in a.weights.items():
        theirs, ours = tuple(tensor.shape), tuple(b.weights[role].shape)
        if len(theirs) != len(ours) or any(n not in (0, m) for m, n in zip(theirs, ours)):
            return False
    return True


def _with_shapes(op: Op) -> str:
    shapes = ", ".join(f"{role} {tuple(value.shape)}" for role, value in op.weights.items())
    return f"{op.name} ({op.kind}: {shapes})"


def to_gluon(torch_net: nn.Module, gluon_net: gluon.Block) -> None:
    """Copy all weights and running statistics of `torch_net` into `gluon_net`.

    `gluon_net` need not be initialized, nor know its input sizes. Where the weights fit but the
    nets compute differently (say, with another padding), each difference is logged as a warning.

    Raises
    ------
    TransferError, TraceError
        As `pairs` does; `gluon_net` is then as it was.
    """
    matched = pairs(torch_net, gluon_net)
    _warn_of_differences(torch_net, gluon_net)
    for pair in matched:
        if not is_initialized(pair.parameter):
            pair.parameter.initialize()
    for pair in matched:
        pair.parameter.set_data(nd.array(pair.tensor.detach().cpu().numpy(), dtype=np.float32))


def to_torch(gluon_net: gluon.Block, torch_net: nn.Module) -> None:
    """Copy all weights and running statistics of `gluon_net` into `torch_net`.

    Differences of computation are logged as by `to_gluon`.

    Raises
    ------
    TransferError, TraceError
        As `pairs` does, and if `gluon_net` has no weights yet; `torch_net` is then as it was.
    """
    matched = pairs(torch_net, gluon_net)
    for pair in matched:
        if not has_values(pair.parameter):
            raise TransferError(
                f"the Gluon net's {pair.gluon_name} has no {pair.role} yet: initialize the net "
                "and run it once"
            )
    _warn_of_differences(torch_net, gluon_net)
    # After an inference oneDNN rearranges a convolution's weight in place, in the background;
    # reading it meanwhile gives a mixture.
    nd.waitall()
    with torch.no_grad():
        for pair in matched:
            value = pair.parameter.data(pair.parameter.list_ctx()[0]).asnumpy()
            pair.tensor.copy_(torch.from_numpy(value))


def _warn_of_differences(torch_net: nn.Module, gluon_net: gluon.Block) -> None:
    for layer in architecture(gluon_net, torch_net):
        for difference in layer.differences:
            log.warning("the nets compute differently at %s: %s", layer.either.name, difference)


def save_weights(torch_net: nn.Module, path: str | os.PathLike[str]) -> None:
    """Write the net's ``state_dict``: as safetensors if `path` ends so, else as torch does.

    Raises
    ------
    FileFailure
        If the file cannot be written; it is then as it was.
    """
    state = {name: tensor.contiguous() for name, tensor in torch_net.state_dict().items()}
    if str(path).endswith(".safetensors"):
        content = safetensors.torch.save(state)
    else:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getvalue()
    files.write(path, content)


def load_weights(torch_net: nn.Module, path: str | os.PathLike[str]) -> None:
    """Read a ``state_dict`` into `torch_net`, executing nothing that the file may hold.

    Raises
    ------
    TransferError
        If the file holds no ``state_dict``, or one of another net; `torch_net` is then as it
        was.
    FileFailure
        If the file is missing or unreadable.
    """
    expected = torch_net.state_dict()
    largest = sum(8 * tensor.numel() + 1024 for tensor in expected.values())
    try:
        state = _read_state(path, limit=2**20 + largest)
    except files.TooLarge as error:
        raise TransferError(f"{error}: it is of another net") from error
    for name in expected.keys() | state.keys():
        if name not in state or name not in expected:
            where = "the file" if name not in state else "the net"
            raise TransferError(f"{path} is of another net: {where} has no {name}")
        if state[name].shape != expected[name].shape:
            raise TransferError(
                f"{path} is of another net: {name} is {tuple(state[name].shape)} in the file and "
                f"{tuple(expected[name].shape)} in the net"
            )
        if not torch.can_cast(state[name].dtype, expected[name].dtype):
            raise TransferError(
                f"{path} is of another net: {name} is {state[name].dtype} in the file and "
                f"{expected[name].dtype} in the net, which cannot hold it"
            )
    # `expected` keeps the net's own metadata; a file's may be anything, and stop torch halfway.
    for name, tensor in state.items():
        expected[name] = tensor.detach().to(expected[name].dtype)
    torch_net.load_state_dict(expected)


def _read_state(path: str | os.PathLike[str], limit: int) -> dict[str, torch.Tensor]:
    content = files.read(path, limit)
    try:
        if str(path).endswith(".safetensors"):
            state: Any = safetensors.torch.load(content)
        else:
            _refuse_what_is_no_state_dict(content)
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:
        raise TransferError(
            f"{path} cannot be read as weights ({_first_line(error)}): save the net's "
            "state_dict() with torch.save or as .safetensors"
        ) from error
    # `dict.items`, since a file can give its OrderedDict an attribute `items` of any kind.
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor)
        for name, tensor in dict.items(state)
    ):
        raise TransferError(f"{path} holds no state_dict: save net.state_dict(), not the net")
    return dict(dict.items(state))


def _refuse_what_is_no_state_dict(content: bytes) -> None:
    """Look into a file of ``torch.save`` before its own reader does, which trusts it more.

    The file is a zip archive with a pickle of the names and shapes. It must not be compressed,
    or a small file could fill the memory, and must not ask for anything but tensors.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except zipfile.BadZipFile as error:
        raise ValueError("it is not a file of torch.save since PyTorch 1.6") from error
    entries = archive.infolist()
    if sum(entry.file_size for entry in entries) > len(content):
        raise ValueError("it is compressed or damaged")
    [pickled] = [entry for entry in entries if entry.filename.endswith("/data.pkl")]
    for code, argument, _ in pickletools.genops(archive.read(pickled)):
        if code.name in _IMPORTING and argument not in _IMPORTS:
            raise ValueError(f"it holds more than tensors: {argument or code.name}")


_IMPORTING = {"GLOBAL", "STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"}
_STORAGES = ["Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool"]
_IMPORTS = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    *(f"torch {kind}Storage" for kind in _STORAGES),
}


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

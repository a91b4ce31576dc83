"""A PyTorch net's weights in a file, read without executing anything that the file may hold."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickletools
from typing import Any, Mapping
import zipfile

import safetensors.torch
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from ..system import files
from ..system.errors import not_finite
from .operations import is_counter
from .pairs import TransferError


def save_weights(torch_net: nn.Module, path: str | os.PathLike[str]) -> None:
    """Write the net's ``state_dict``: as safetensors if `path` ends so, else as torch does.

    Both kinds of file have checksums: safetensors a SHA-256 among its metadata, torch's a CRC-32
    for each array.

    Raises
    ------
    TransferError
        If the net has a lazy layer that has not been run.
    FileFailure
        If the file cannot be written; it is then as it was.
    """
    state = {name: tensor.contiguous() for name, tensor in _state(torch_net).items()}
    if str(path).endswith(".safetensors"):
        state = {name: tensor.clone() for name, tensor in state.items()}  # none may share memory
        metadata = {"format": "pt", "written by": _US, _DIGEST: _digest(state)}
        content = safetensors.torch.save(state, metadata)
    else:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getvalue()
    files.write(path, content)


def load_weights(torch_net: nn.Module, path: str | os.PathLike[str]) -> None:
    """Read a ``state_dict`` into `torch_net`, executing nothing that the file may hold.

    As in PyTorch, batch norm's counts of batches may be missing, which files of before PyTorch
    0.4.1 lack. The net's stay then.

    Checksums are checked where the file has them. Others' safetensors have none, so damage there
    is noticed only if it shows.

    Raises
    ------
    TransferError
        If the file holds no ``state_dict``, or one of another net, is damaged, or has a parameter
        or running statistic that is not finite, or the net has a lazy layer that has not been run;
        `torch_net` is then as it was. Other buffers, such as a mask, may be infinite.
    FileFailure
        If the file is missing or unreadable.
    """
    expected = _state(torch_net)
    constants = {
        name
        for name, value in torch_net.state_dict(keep_vars=True).items()
        if not isinstance(value, nn.Parameter)
        and not name.endswith(("running_mean", "running_var"))
    }
    largest = sum(8 * tensor.numel() + 1024 for tensor in expected.values())
    try:
        state = _read_state(path, limit=2**20 + largest)
    except files.TooLarge as error:
        raise TransferError(f"{error}: it is of another net") from error
    for name in expected.keys() | state.keys():
        if name not in state and is_counter(name):
            continue
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
        if name not in constants and not torch.isfinite(state[name]).all():
            raise TransferError(not_finite(path, name))
    # `expected` keeps the net's own metadata; a file's may be anything, and stop torch halfway.
    for name, tensor in state.items():
        expected[name] = tensor.detach().to(expected[name].dtype)
    torch_net.load_state_dict(expected)


def _state(torch_net: nn.Module) -> dict[str, Any]:
    state = torch_net.state_dict()
    for name, tensor in state.items():
        if is_lazy(tensor):
            raise TransferError(f"the net's {name} has no shape yet: run the net once on an image")
    return state


def _read_state(path: str | os.PathLike[str], limit: int) -> dict[str, torch.Tensor]:
    content = files.read(path, limit)
    try:
        if str(path).endswith(".safetensors"):
            state: Any = safetensors.torch.load(content)
            _check_digest(content, state)
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


#: Where our safetensors files have a SHA-256 of their arrays, among the metadata.
_DIGEST = "gluonbook.sha256"
#: Who wrote them: a damaged name of the digest does not make them others' files.
_US = "gluonbook"


def _digest(state: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _check_digest(content: bytes, state: Mapping[str, torch.Tensor]) -> None:
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    ours = _DIGEST in metadata or metadata.get("written by") == _US
    if ours and metadata.get(_DIGEST) != _digest(state):
        raise ValueError("it is damaged: its checksum does not match")


def _refuse_what_is_no_state_dict(content: bytes) -> None:
    """Look into a file of ``torch.save`` before its own reader does, which trusts it more.

    The file is a zip archive with a pickle of the names and shapes. It must not be compressed,
    or a small file could fill the memory, its checksums must be right, which torch does not check,
    and it must not ask for anything but tensors.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except zipfile.BadZipFile as error:
        raise ValueError("it is not a file of torch.save since PyTorch 1.6") from error
    entries = archive.infolist()
    if sum(entry.file_size for entry in entries) > len(content):
        raise ValueError("it is compressed or damaged")
    if archive.testzip() is not None:
        raise ValueError("it is damaged: a checksum does not match")
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

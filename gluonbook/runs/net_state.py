"""The parameters of a net as arrays under the names of their places, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

from mxnet import gluon, nd
import numpy as np

from ..system import mxnet_private
from ..system.parameters import parameters_of, shape_fits
from ..training.run import CheckpointError
from .format import Arrays


def parameter_arrays(net: gluon.Block) -> Iterator[tuple[str, np.ndarray]]:
    """Each parameter by its place in the net; running statistics once for each device."""
    for name, param, device in _kept(net):
        # A copy, made by MXNet's engine: were a weight that oneDNN has rearranged put back in
        # order here, Python's thread would get OpenMP threads (MXNET_CPU_PARALLEL_SIZE).
        yield name, param.list_data()[device].copy().asnumpy()


def _kept(net: gluon.Block) -> Iterator[tuple[str, gluon.Parameter, int]]:
    """The name of each array that is kept, its parameter, and the number of its device."""
    for place, param in parameters_of(net).items():
        for device in range(len(param.list_ctx()) if param.grad_req == "null" else 1):
            yield array_name(place, device), param, device


def array_name(place: str, device: int = 0) -> str:
    return f"net/{place}" + (f"@{device}" if device else "")


def check_net(net: gluon.Block, arrays: Arrays, folder: Path) -> None:
    expected = {name: param for name, param, _ in _kept(net)}
    saved = {name for name in arrays if name.startswith("net/")}
    other = f"{folder} holds a run of another net"
    for name in sorted(expected.keys() ^ saved):
        place = "it" if name in saved else "this one"
        raise CheckpointError(f"{other}: only {place} has {name[len('net/') :]}")
    for name, param in expected.items():
        value, dtype = arrays[name], np.dtype(param.dtype)
        there: object
        here: object
        if not shape_fits(param, value.shape):
            there, here = value.shape, param.shape
        elif value.dtype != dtype:
            there, here = value.dtype, dtype
        else:
            continue
        raise CheckpointError(f"{other}: {name[len('net/') :]} is {there} there, {here} here")


def restore_parameters(net: gluon.Block, arrays: Arrays) -> None:
    for place, param in parameters_of(net).items():
        param.set_data(nd.array(arrays[array_name(place)], dtype=param.dtype))
        mxnet_private.stop_waiting(param)


def restore_other_devices(net: gluon.Block, arrays: Arrays) -> None:
    """Give each further device its running statistics; the trainer gave it the first's."""
    for name, param, device in _kept(net):
        if device:
            param.list_data()[device][:] = nd.array(arrays[name], dtype=param.dtype)

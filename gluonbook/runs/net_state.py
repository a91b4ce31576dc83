"""The parameters of a net as arrays under the names of their places, and back."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Iterator, Mapping

from mxnet import gluon, nd
import numpy as np

from ..system import mxnet_private
from ..system.machine import available_memory
from .format import CheckpointError


def size_limit(net: gluon.Block) -> int:
    """Bytes that a file of `net` may have: its arrays eight times, for any optimizer's state."""
    params = net.collect_params().values()
    if any(param.shape is None or 0 in param.shape for param in params):
        return available_memory() // 4
    return 2**24 + 8 * sum(
        math.prod(param.shape) * np.dtype(param.dtype).itemsize for param in params
    )


def parameters_of(net: gluon.Block) -> dict[str, gluon.Parameter]:
    """Each parameter by its place in the net's structure; a shared one by the first of its places.

    Automatic names, such as ``batchnorm10_gamma``, depend on what else the process has built.
    """
    places: dict[gluon.Parameter, str] = {}
    for place, param in mxnet_private.parameters_by_place(net).items():
        places.setdefault(param, place)
    return {place: param for param, place in places.items()}


def parameter_arrays(net: gluon.Block) -> Iterator[tuple[str, np.ndarray]]:
    """Each parameter by its place in the net; running statistics once for each device."""
    for name, param in parameters_of(net).items():
        values = param.list_data() if param.grad_req == "null" else param.list_data()[:1]
        for device, value in enumerate(values):
            # A copy, made by MXNet's engine: were a weight that oneDNN has rearranged put back in
            # order here, Python's thread would get OpenMP threads (runtime.copy_on_one_thread).
            yield array_name(name, device), value.copy().asnumpy()


def array_name(name: str, device: int) -> str:
    return f"net/{name}" + (f"@{device}" if device else "")


def check_net(net: gluon.Block, arrays: Mapping[str, np.ndarray], folder: Path) -> None:
    expected = {}
    for name, param in parameters_of(net).items():
        devices = len(param.list_ctx()) if param.grad_req == "null" else 1
        expected.update({array_name(name, device): param for device in range(devices)})
    saved = {name for name in arrays if name.startswith("net/")}
    other = f"{folder} holds a run of another net"
    for name in sorted(expected.keys() ^ saved):
        place = "it" if name in saved else "this one"
        raise CheckpointError(f"{other}: only {place} has {name[len('net/') :]}")
    for name, param in expected.items():
        shape = arrays[name].shape
        if not shape_fits(param, shape):
            raise CheckpointError(
                f"{other}: {name[len('net/') :]} is {shape} there, {param.shape} here"
            )
        if arrays[name].dtype != np.dtype(param.dtype):
            raise CheckpointError(
                f"{other}: {name[len('net/') :]} is {arrays[name].dtype} there, "
                f"{np.dtype(param.dtype)} here"
            )


def shape_fits(param: gluon.Parameter, shape: tuple[int, ...]) -> bool:
    """Whether `param` may have this shape; sizes that it does not know yet may be any."""
    if param.shape is None:
        return True
    return len(param.shape) == len(shape) and all(
        known < 1 or known == size for known, size in zip(param.shape, shape)
    )


def restore_parameters(net: gluon.Block, arrays: Mapping[str, np.ndarray]) -> None:
    for name, param in parameters_of(net).items():
        param.set_data(nd.array(arrays[array_name(name, 0)], dtype=param.dtype))
        mxnet_private.stop_waiting(param)


def restore_other_devices(net: gluon.Block, arrays: Mapping[str, np.ndarray]) -> None:
    """Give each further device its running statistics; the trainer gave it the first's."""
    for name, param in parameters_of(net).items():
        if param.grad_req == "null":
            for device, value in enumerate(param.list_data()[1:], start=1):
                value[:] = nd.array(arrays[array_name(name, device)], dtype=param.dtype)

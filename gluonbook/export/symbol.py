"""Saves a net as files that MXNet reads without this package, and loads them again."""

from __future__ import annotations

import json
import math
import os
import struct
from typing import Callable, Collection, Mapping

import mxnet as mx
from mxnet import gluon, nd
from mxnet.gluon import nn
import numpy as np

from ..operations import trace
from ..system import files, mxnet_private
from ..system.errors import Failure, not_finite
from ..system.machine import available_memory
from ..system.parameters import shape_fits, size_limit

_LIST, _ARRAY = 0x112, 0xF993FAC9
_DTYPES = dict(
    enumerate((np.float32, np.float64, np.float16, np.uint8, np.int32, np.int8, np.int64))
)
_KINDS = {np.dtype(dtype): kind for kind, dtype in _DTYPES.items()}
_CPU = (1, 0)
_MOST_AXES = 32
_LONGEST_SYMBOL = 2**26


class ParametersError(Failure, ValueError):
    """A file of parameters is damaged, or is of another net."""


def save_parameters(net: gluon.Block, path: str | os.PathLike[str]) -> None:
    """Write the parameters as ``net.save_parameters`` does, wholly or not at all.

    The bytes are the same. MXNet's own writer says nothing when the disk is full, and takes no
    path that is not UTF-8.

    Raises
    ------
    FileFailure
        If the file cannot be written; it is then as it was.
    """
    write_arrays(path, _values(mxnet_private.parameters_by_place(net)))


def write_arrays(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays as ``mxnet.nd.save`` does; `_parse` tells the format.

    Raises
    ------
    FileFailure
        If the file cannot be written; it is then as it was.
    ParametersError
        If an array is of a type that such a file does not hold, such as bfloat16.
    """
    for name, array in arrays.items():
        if array.dtype not in _KINDS:
            raise ParametersError(
                f"{name} is of type {array.dtype}, which a file of parameters cannot hold: cast "
                "the net to float32 first"
            )
    with files.replacing(path) as scratch, open(scratch, "wb") as file:
        file.write(struct.pack("<QQQ", _LIST, 0, len(arrays)))
        for array in arrays.values():
            shape = struct.pack(f"<I{array.ndim}q", array.ndim, *array.shape)
            file.write(struct.pack("<Ii", _ARRAY, 0) + shape)
            file.write(struct.pack("<iii", *_CPU, _KINDS[array.dtype]))
            file.write(np.ascontiguousarray(array).data)
        file.write(struct.pack("<Q", len(arrays)))
        for text in map(str.encode, arrays):
            file.write(struct.pack("<Q", len(text)) + text)


def _values(params: Mapping[str, gluon.Parameter]) -> dict[str, np.ndarray]:
    """The values of each, averaged over the devices as MXNet saves them."""
    nd.waitall()  # oneDNN may still be rearranging weights after the last inference
    return {
        name: mxnet_private.mean_over_devices(param).asnumpy() for name, param in params.items()
    }


def load_parameters(
    net: gluon.Block, path: str | os.PathLike[str], ctx: mx.Context | None = None
) -> None:
    """Read into `net` what `save_parameters`, or ``net.save_parameters``, wrote.

    MXNet's own reader is native code that trusts the sizes in the file, so it is not used: here
    every size is checked first. A net that is not initialized yet is initialized on `ctx`, by
    default the CPU.

    Raises
    ------
    FileFailure
        If the file is missing or unreadable.
    Damaged
        If the folder's ``SHA256SUMS``, as a run has it, lists another digest for the file.
    ParametersError
        If the file is damaged so far that it shows, has a value that is not finite but in a
        ``gluon.Constant``, or is of another net; `net` is then as it was. The format has no
        checksum.
    """
    params = mxnet_private.parameters_by_place(net)
    constants = {name for name, param in params.items() if isinstance(param, gluon.Constant)}
    _assign(params, path, size_limit(net), ctx, constants)


def _assign(
    params: Mapping[str, gluon.Parameter],
    path: str | os.PathLike[str],
    limit: int,
    ctx: mx.Context | None,
    constants: Collection[str],
    stored_as: Callable[[str], str] = str,
) -> None:
    """Give every parameter the array that the file holds under ``stored_as(name)``, or none.

    Only `constants` may be infinite or not a number, as a mask is.
    """
    try:
        arrays = read_parameters(path, limit)
    except files.TooLarge as error:
        raise ParametersError(f"{error}: it is of another net") from error
    keys = {stored_as(name): name for name in params}
    for key in sorted(keys.keys() ^ arrays.keys()):
        where = "the file" if key in arrays else "the net"
        raise ParametersError(f"{path} is of another net: only {where} has {key}")
    for key, name in keys.items():
        shape = arrays[key].shape
        if not shape_fits(params[name], shape):
            raise ParametersError(
                f"{path} is of another net: {name} is {shape} in the file and "
                f"{params[name].shape} in the net"
            )
        if name not in constants and not np.isfinite(arrays[key]).all():
            raise ParametersError(not_finite(path, name))
    for key, name in keys.items():
        values = nd.array(arrays[key], dtype=params[name].dtype)
        mxnet_private.give_values(params[name], values, ctx)


def read_parameters(path: str | os.PathLike[str], limit: int) -> dict[str, np.ndarray]:
    """The named arrays of a ``.params`` file of at most `limit` bytes.

    Raises
    ------
    FileFailure
        If the file is missing or unreadable.
    ParametersError
        If its bytes are not those of dense arrays with a name each.
    """
    content = files.read(path, limit)
    try:
        return _parse(content)
    except (struct.error, ValueError, KeyError, OverflowError) as error:
        reason = (
            str(error)
            if type(error) is ValueError
            else "it is truncated, or its sizes are inconsistent"
        )
        raise ParametersError(f"{path} is not a whole file of parameters ({reason})") from error


def _parse(content: bytes) -> dict[str, np.ndarray]:
    """A list is: its mark, 0, the number of arrays, the arrays, the number of names, the names.

    An array is: its mark, how it is stored (0: dense), the number of axes, their sizes, the
    device, the type, and the values.
    """
    place = 0

    def take(form: str) -> tuple[int, ...]:
        nonlocal place
        values = struct.unpack_from("<" + form, content, place)
        place += struct.calcsize("<" + form)
        return values

    mark, _, count = take("QQQ")
    if mark != _LIST:
        raise ValueError("it does not begin like one")
    arrays = []
    for _ in range(count):
        mark, storage, num_axes = take("IiI")
        if mark != _ARRAY or storage != 0 or num_axes > _MOST_AXES:
            raise ValueError("it holds something other than dense arrays")
        shape = take(f"{num_axes}q")
        _, _, kind = take("iii")
        if min(shape, default=0) < 1:
            raise ValueError("it holds an array without values")
        dtype, size = np.dtype(_DTYPES[kind]), math.prod(shape)
        if size * dtype.itemsize > len(content) - place:
            raise ValueError("it is truncated")
        arrays.append(np.frombuffer(content, dtype, size, place).reshape(shape))
        place += size * dtype.itemsize
    (num_names,) = take("Q")
    if num_names != count:
        raise ValueError("the numbers of names and arrays differ")
    names = []
    for _ in range(num_names):
        (length,) = take("Q")
        names.append(content[place : place + length].decode())
        place += length
    if place != len(content):
        raise ValueError("it is truncated, or continues after its end")
    if len(set(names)) < count:
        raise ValueError("two arrays have the same name")
    return dict(zip(names, arrays))


def traced(
    net: nn.HybridBlock,
    input_shape: tuple[int, ...],
    ctx: mx.Context | None = None,
    input_name: str = "data",
) -> tuple[mx.sym.Symbol, dict[str, np.ndarray]]:
    """The graph of a net's answer, and the values of the parameters that it needs, by their names.

    A net that does not know its input sizes yet is run once on zeros of `input_shape` (N, C, H, W)
    on `ctx`, the CPU by default.

    Raises
    ------
    TraceError
        If the net is not made of hybrid blocks, or takes several inputs.
    ParametersError
        If a parameter has no values.
    """
    params = net.collect_params()
    if not all(map(mxnet_private.is_initialized, params.values())):
        raise ParametersError(
            "the net's parameters have no values yet: call net.initialize(), or load them first"
        )
    if any(map(mxnet_private.waits_for_its_shape, params.values())):
        net(nd.zeros(input_shape, ctx=ctx or mx.cpu()))
    symbol = trace(net, input_name)
    needed = set(symbol.list_inputs())
    return symbol, _values({name: param for name, param in params.items() if name in needed})


def export_symbol(
    net: nn.HybridBlock,
    prefix: str | os.PathLike[str],
    input_shape: tuple[int, ...],
    ctx: mx.Context | None = None,
) -> None:
    """Write ``<prefix>-symbol.json`` and ``<prefix>-0000.params``, each wholly or not at all.

    `import_symbol` reads them back, as MXNet's own ``SymbolBlock.imports`` does. The arguments are
    those of `traced`. Of a net with auxiliary classifiers only the answer is exported.

    Raises
    ------
    FileFailure
        If the files cannot be written.
    TraceError, ParametersError
        As `traced` does.
    """
    symbol, values = traced(net, input_shape, ctx)
    auxiliary = set(symbol.list_auxiliary_states())
    write_arrays(
        f"{os.fspath(prefix)}-0000.params",
        {_stored_as(name, auxiliary): value for name, value in values.items()},
    )
    graph = json.loads(symbol.tojson(remove_amp_cast=True))
    for node in graph["nodes"]:
        # MXNet counts here how often the process has traced running statistics. Nothing reads it.
        node["inputs"] = [[source, output, 0] for source, output, _ in node["inputs"]]
    files.write(f"{os.fspath(prefix)}-symbol.json", json.dumps(graph, indent=2) + "\n")


def import_symbol(
    prefix: str | os.PathLike[str], ctx: mx.Context | None = None
) -> gluon.SymbolBlock:
    """The net that `export_symbol`, or ``net.export``, wrote as ``<prefix>-symbol.json``.

    Its class is not needed. The parameters are read from ``<prefix>-0000.params`` to `ctx`, by
    default the CPU, and checked as `load_parameters` does. ``SymbolBlock.imports`` checks nothing,
    and warns that types cannot be decided.

    Raises
    ------
    FileFailure
        If a file is missing or unreadable; as `Damaged`, as `load_parameters` does.
    ParametersError
        If a file is damaged so far that it shows, or the two are not of the same net.
    """
    path = f"{os.fspath(prefix)}-symbol.json"
    try:
        symbol = mx.sym.load_json(files.read(path, _LONGEST_SYMBOL).decode())
    except (mx.base.MXNetError, UnicodeDecodeError) as error:
        raise ParametersError(f"{path} is damaged: it is not a symbol that MXNet reads") from error
    net = gluon.SymbolBlock(symbol, [mx.sym.var("data", dtype="float32")])
    auxiliary = set(symbol.list_auxiliary_states())
    constants = {  # so MXNet names the initializer of each
        name
        for name, attributes in symbol.attr_dict().items()
        if attributes.get("__init__", "").startswith("Constant_")
    }
    _assign(
        net.params,
        f"{os.fspath(prefix)}-0000.params",
        available_memory() // 4,
        ctx,
        constants,
        lambda name: _stored_as(name, auxiliary),
    )
    return net


def _stored_as(name: str, auxiliary: set[str]) -> str:
    """The name under which the file of an exported net has a value."""
    return f"{'aux' if name in auxiliary else 'arg'}:{name}"

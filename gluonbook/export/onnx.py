"""A net as an ONNX file, for programs without MXNet.

ONNX (https://onnx.ai) is a format for graphs of operations and their weights. onnxruntime runs such
files, other programs compile them for a phone or a web page.
"""

from __future__ import annotations

import importlib
import json
import os
from typing import Any, Mapping, Sequence
import warnings

import mxnet as mx
from mxnet import gluon, nd
from mxnet.gluon import nn
import numpy as np

from .._version import __version__
from ..data.fashion_mnist import CLASSES
from ..data.image_batches import transform_of
from ..operations import trace
from ..system import files, mxnet_private
from ..system.errors import Failure, last_line
from ..system.onednn import nodes_of
from .symbol import traced

#: Names of the graph's input and output.
INPUT, OUTPUT = "images", "logits"
#: The newest operator set that MXNet's converters know, and the version of the format that came
#: with it, of 2020: programs of today read both.
_OPERATOR_SET, _FORMAT = 13, 7
#: How far onnxruntime's answer may lie from MXNet's, relative to the greatest. Rounding gives 1e-6.
_TOLERANCE = 1e-3


class ONNXUnavailable(Failure, ImportError):
    """onnx or onnxruntime is not installed, or cannot be imported."""


class NotConvertible(Failure, ValueError):
    """A net cannot be written as an ONNX file."""


def to_onnx(
    net: nn.HybridBlock,
    path: str | os.PathLike[str],
    input_shape: tuple[int, ...],
    *,
    name: str | None = None,
    classes: Sequence[str] | None = None,
    transform: Mapping[str, Any] | None = None,
    ctx: mx.Context | None = None,
) -> None:
    """Write a net as an ONNX file, wholly or not at all.

    The graph takes ``images``, float32 of `input_shape` (N, C, H, W) with any number N of them, and
    gives ``logits``, for a classifier (N, classes). Weights have the names that they have in a
    ``.params`` file. Batch normalisation uses its running statistics, and of a net with auxiliary
    classifiers only the answer is written. Before the file is written, onnxruntime's answer for two
    images of noise is compared with MXNet's.

    Parameters
    ----------
    net
        Initialized, in float32, and made of operations that MXNet's exporter knows.
    name
        Of the net, kept in the file's metadata; by default that of its class.
    classes, transform
        Kept in the metadata as JSON if they are given: the names of the classes in the order of the
        logits, and how an image becomes the net's input, as
        `gluonbook.data.image_batches.transform_of` tells it.
    ctx
        Where a net that does not know its input sizes yet is run once, by default on the CPU.

    Raises
    ------
    ONNXUnavailable
        If onnx or onnxruntime is not installed.
    TraceError, ParametersError
        If the net is not made of hybrid blocks, or has no values.
    NotConvertible
        If MXNet's exporter does not know one of the operations, or converts it to another, or the
        net is not in float32.
    FileFailure
        If the file cannot be written; it is then as it was.
    """
    # Else onnxruntime reports its use to its makers, and keeps an identifier in the home folder.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    onnx = check_installed()
    told = {"classes": classes and list(classes), "transform": transform and dict(transform)}
    metadata = {key: json.dumps(value) for key, value in told.items() if value}
    metadata["name"] = name or type(net).__name__
    symbol, values = traced(net, input_shape, ctx, INPUT)
    symbol = mx.sym.load_json(symbol.tojson(remove_amp_cast=True))
    places = {p.name: place for place, p in mxnet_private.parameters_by_place(net).items()}
    for parameter, value in values.items():
        if value.dtype != np.float32:
            raise NotConvertible(
                f"{places.get(parameter, parameter)} is of type {value.dtype}, and an ONNX file is "
                "written in float32: cast the net first"
            )
    arrays = {parameter: nd.array(value) for parameter, value in values.items()}
    arrays.update((scale, nd.ones_like(arrays[scale])) for scale in _ignored_scales(symbol))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of names that onnx will drop
            model = _model(onnx, symbol, arrays, input_shape, places)
        model.graph.name = metadata["name"]
        onnx.helper.set_model_props(model, metadata)
        content = model.SerializeToString()
        onnx.checker.check_model(content, full_check=True)
        same = _answers_alike(content, symbol, arrays, input_shape)
    except Exception as error:  # converters, checker and onnxruntime raise errors of many kinds
        raise NotConvertible(
            f"MXNet's exporter cannot write this net as ONNX ({' '.join(last_line(error).split())})"
            ": use other operations, or export_symbol"
        ) from error
    if not same:
        raise NotConvertible(
            "MXNet's exporter wrote a net that answers otherwise than this one: use other "
            "operations, or export_symbol"
        )
    files.write(path, content)


def check_installed() -> Any:
    """The package ``onnx``.

    Raises
    ------
    ONNXUnavailable
        If it or onnxruntime is not installed.
    """
    _package("onnxruntime")
    _package("onnx.mapping")  # which MXNet's converters take, and later versions do not have
    return _package("onnx")


def refuse_unknown_operators(net: gluon.Block) -> None:
    """Raise an error that `to_onnx` would raise, before a net is trained for it.

    Nothing is computed. That a net passes does not mean that `to_onnx` takes it.

    Raises
    ------
    ONNXUnavailable, TraceError, NotConvertible
        As `to_onnx` does.
    """
    check_installed()
    graph = json.loads(trace(net).tojson(remove_amp_cast=True))
    known = mxnet_private.onnx_operators(_OPERATOR_SET) | {"null"}
    unknown = [node["op"] for node in graph["nodes"] if node["op"] not in known]
    if unknown:
        raise NotConvertible(
            f"MXNet's exporter cannot write this net as ONNX, as it does not know {unknown[0]}: "
            "use other operations, or export_symbol"
        )


def fashion_mnist_to_onnx(
    net: nn.HybridBlock, path: str | os.PathLike[str], size: int, name: str
) -> None:
    """Write a net that was trained on Fashion-MNIST at `size` pixels, as `to_onnx` does.

    The file says which classes there are and how an image becomes the net's input.
    """
    to_onnx(
        *(net, path, (1, 1, size, size)), name=name, classes=CLASSES, transform=transform_of(size)
    )


def onnxruntime_session(content: bytes, threads: int, profile: str | None = None) -> Any:
    """An ``onnxruntime.InferenceSession`` of an ONNX file's content, on so many threads of the CPU.

    With `profile` it writes the time of each node to a file whose name begins so.

    Raises
    ------
    ONNXUnavailable
        If onnxruntime is not installed.
    """
    onnxruntime = _package("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, profile
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ONNXUnavailable(
            f"{name} cannot be imported ({last_line(error)}): run `pip install 'gluonbook[onnx]'`, "
            "in a clone `pip install -e '.[onnx]'`"
        ) from error


def _ignored_scales(symbol: Any) -> list[str]:
    """The scales of batch normalisation that MXNet takes as 1, whatever the net has for them.

    ONNX's operator has no such setting.
    """
    nodes = nodes_of(symbol)
    return [
        nodes[node["inputs"][1][0]]["name"]
        for node in nodes
        if node["op"] == "BatchNorm" and node["attrs"].get("fix_gamma", "True") == "True"
    ]


def _model(
    onnx: Any,
    symbol: Any,
    values: Mapping[str, nd.NDArray],
    input_shape: tuple[int, ...],
    places: Mapping[str, str],
) -> Any:
    """The ``onnx.ModelProto``, with the weights named by their places."""
    open_shape: tuple[int | str, ...] = ("N", *input_shape[1:])
    graph = mxnet_private.onnx_graph(symbol, values, open_shape, input_shape, _OPERATOR_SET)
    # Among the inputs, a weight could be replaced by the caller, and is not optimised away.
    weights = {tensor.name for tensor in graph.initializer}
    _keep(graph.input, [value for value in graph.input if value.name not in weights])
    used = {name for node in graph.node for name in node.input}
    _keep(graph.initializer, [tensor for tensor in graph.initializer if tensor.name in used])
    # MXNet numbers its layers through the process, so their names differ from export to export.
    names = {"": "", **places, graph.output[0].name: OUTPUT}
    for i, tensor in enumerate(graph.initializer):
        tensor.name = names.setdefault(tensor.name, f"constant{i}")
    for i, node in enumerate(graph.node):
        node.name = f"{node.op_type}{i}"
        for j, output in enumerate(node.output):
            names.setdefault(output, f"{node.name}.{j}")
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names[name] for name in node.output]
    _, [shape], _ = symbol.infer_shape(**{INPUT: input_shape})
    output = onnx.helper.make_tensor_value_info(
        OUTPUT, graph.output[0].type.tensor_type.elem_type, ("N", *shape[1:])
    )
    graph.output[0].CopyFrom(output)
    return onnx.helper.make_model(
        graph,
        ir_version=_FORMAT,
        opset_imports=[onnx.helper.make_opsetid("", _OPERATOR_SET)],
        producer_name="gluonbook",
        producer_version=__version__,
    )


def _keep(field: Any, kept: list[Any]) -> None:
    """Take all but these out of a repeated field."""
    del field[:]
    field.extend(kept)


def _answers_alike(
    content: bytes, symbol: Any, values: Mapping[str, nd.NDArray], input_shape: tuple[int, ...]
) -> bool:
    """Whether onnxruntime and MXNet answer alike for two images of noise."""
    images = np.random.RandomState(0).rand(2, *input_shape[1:]).astype(np.float32)
    net = gluon.SymbolBlock(symbol, [mx.sym.var(INPUT, dtype="float32")])
    for name, parameter in net.collect_params().items():
        mxnet_private.give_values(parameter, values[name])
    expected = net(nd.array(images)).asnumpy()
    # One thread: no team beside MXNet's for two images.
    session = onnxruntime_session(content, threads=1)
    [found] = session.run([OUTPUT], {INPUT: images})
    allowed = _TOLERANCE * np.abs(expected).max()
    return found.shape == expected.shape and np.allclose(found, expected, rtol=0, atol=allowed)

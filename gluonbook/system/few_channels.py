"""Nets of few channels, such as LeNet and ResNet-20, on oneDNN's fast kernels.

Its convolutions take channels in blocks of 8 or 16. oneDNN would round an array's channels up,
which MXNet does not let it do: a convolution of 6 channels is left with a matrix product for each
image. And for the gradient of a global average pooling of few channels oneDNN lays out memory in a
way that has slow kernels alone, there and in the batch norms before it.
"""

from __future__ import annotations

from collections import defaultdict
import json
from typing import Any, Mapping

import mxnet as mx
from mxnet import gluon
import numpy as np

from .mxnet_private import has_values, is_initialized
from .onednn import Node, may_use_avx512, num_axes

#: Of one input, what computes each channel from itself alone.
_CHANNEL_BY_CHANNEL = {"Activation", "Pooling"}
#: Channels in a row in oneDNN's layouts, with AVX-512 and without.
_WIDE_BLOCK, _BLOCK = 16, 8
#: How many times the channels may become at most. Beyond, zeros cost more than the kernel saves.
_MOST = 3
#: Channels of a global average pooling with which oneDNN may choose the slow layout: up to 96 of
#: 12×12 pixels, and fewer of fewer pixels.
_FEW = 96
#: What keeps the number of channels.
_SAME_CHANNELS = {"Activation", "BatchNorm", "elemwise_add"}


def for_training(outputs: Any, params: Mapping[str, gluon.Parameter]) -> Any:
    """The graph of a net, `widened`, and with means for poolings.

    No number changes beyond rounding. `params` are the net's parameters by name. What is no graph
    is left as it is, and so are several outputs.
    """
    if not isinstance(outputs, mx.sym.Symbol):
        return outputs
    return with_means(widened(outputs, params), params)


def with_means(symbol: mx.sym.Symbol, params: Mapping[str, gluon.Parameter]) -> mx.sym.Symbol:
    """The graph in which means stand for the global average poolings of few channels.

    That is done on the CPU, in float32, where the channels are those of a convolution.
    """
    graph = json.loads(symbol.tojson(remove_amp_cast=False))
    nodes, changed = graph["nodes"], False
    for node in nodes:
        attrs = node.get("attrs", {})
        kind = attrs.get("global_pool"), attrs.get("pool_type"), attrs.get("layout", "")[1:2]
        if node["op"] != "Pooling" or kind not in {("True", "avg", ""), ("True", "avg", "C")}:
            continue
        source = nodes[node["inputs"][0][0]]
        while source["op"] in _SAME_CHANNELS:
            source = nodes[source["inputs"][0][0]]
        channels = int(source["attrs"]["num_filter"]) if source["op"] == "Convolution" else 0
        if channels > _FEW or channels % _BLOCK or not channels:
            continue
        weight = nodes[source["inputs"][1][0]]["name"]
        if weight in params and _may_be_changed(params[weight]):
            axes = tuple(range(2, num_axes(source)))
            node["op"], node["attrs"] = "mean", {"axis": str(axes), "keepdims": "True"}
            changed = True
    return mx.sym.load_json(json.dumps(graph)) if changed else symbol


def widened(symbol: mx.sym.Symbol, params: Mapping[str, gluon.Parameter]) -> mx.sym.Symbol:
    """The graph in which few channels become as many as oneDNN's fast kernels take.

    The weights of such a convolution, and of the convolutions that take its channels, get channels
    of zeros besides. So the zeros count for nothing, and no number changes beyond rounding.

    That is done on the CPU, in float32, where activations and poolings alone stand between these
    convolutions. Weights of an unknown number of axes are left as they are. An unknown length stays
    unknown: MXNet infers it in this graph as in the one before.
    """
    graph = json.loads(symbol.tojson(remove_amp_cast=False))
    nodes, ends = graph["nodes"], {index for index, *_ in graph["heads"]}
    uses = defaultdict(list)
    for index, node in enumerate(nodes):
        for source, *_ in node["inputs"]:
            uses[source].append(index)
    #: Of the weights that may be widened.
    shapes = {
        index: _shape_of(params[node["name"]])
        for index, node in enumerate(nodes)
        if node["name"] in params
        and len(uses[index]) == 1
        and _may_be_changed(params[node["name"]])
    }

    def takers(index: int) -> list[Node] | None:
        """The convolutions that take the channels of a node; None if anything else does."""
        if index in ends:
            return None
        found = []
        for user in uses[index]:
            node = nodes[user]
            if node["op"] == "Convolution" and node["inputs"][0][0] == index:
                found.append(node)
            elif (
                node["op"] in _CHANNEL_BY_CHANNEL
                and len(node["inputs"]) == 1
                and not node["attrs"].get("layout", "").endswith("C")
            ):
                behind = takers(user)
                if behind is None:
                    return None
                found += behind
            else:
                return None
        return found

    def pad(node: Node, place: int, axis: int, length: int, by: int) -> None:
        """Join `by` zeros to an input of a convolution, along an axis of `length`."""
        [source, *_] = entry = node["inputs"][place]
        shape = (*shapes[source][:axis], length, *shapes[source][axis + 1 :])
        if nodes[source]["op"] == "null":  # MXNet's shape of it may be from before
            nodes[source].setdefault("attrs", {})["__shape__"] = str(shape)
        name = f"{node['name']}_{place}_{axis}"
        zeros = {"shape": str((*shape[:axis], by, *shape[axis + 1 :])), "dtype": "float32"}
        nodes.append({"op": "_zeros", "name": f"{name}_zeros", "attrs": zeros, "inputs": []})
        both = [entry, [len(nodes) - 1, 0, 0]]
        joined = {"num_args": "2", "dim": str(axis)}
        nodes.append({"op": "Concat", "name": f"{name}_joined", "attrs": joined, "inputs": both})
        index = len(nodes) - 1
        shapes[index] = (*shape[:axis], length + by, *shape[axis + 1 :])
        node["inputs"][place] = [index, 0, 0]

    block = _WIDE_BLOCK if may_use_avx512() else _BLOCK
    as_it_was = list(nodes)
    for index, node in enumerate(as_it_was):
        behind = takers(index) if node["op"] == "Convolution" else None
        if not behind or not all(
            int(each["attrs"].get("num_group", 1)) == 1
            and all(weight in shapes for weight, *_ in each["inputs"][1:])
            for each in (node, *behind)
        ):
            continue
        channels = int(node["attrs"]["num_filter"])
        more = -channels % block
        if channels % _BLOCK == 0 or channels + more > _MOST * channels:
            continue
        node["attrs"]["num_filter"] = str(channels + more)
        for place in range(1, len(node["inputs"])):
            pad(node, place, 0, channels, more)
        for each in behind:
            pad(each, 1, 1, channels, more)
    return symbol if nodes == as_it_was else mx.sym.load_json(json.dumps(graph))


def _shape_of(param: gluon.Parameter) -> Any:
    """Unknown lengths are 0, an unknown number of axes is None."""
    if param.shape is None and has_values(param):  # as of a net that was read from a file
        return param.list_data()[0].shape
    return param.shape


def _may_be_changed(param: gluon.Parameter) -> bool:
    return (
        np.dtype(param.dtype) == np.float32
        and is_initialized(param)
        and bool(_shape_of(param))
        and all(ctx.device_type == "cpu" for ctx in param.list_ctx())
    )

"""Which parts of a graph MXNet and oneDNN compute rightly in 8 bits.

MXNet quantizes every operation of a kind that it knows. Some it computes wrongly without a word,
and some end the process. So this file lists what is known to be right, and the rest stays in
float32.
"""

from __future__ import annotations

import mxnet as mx

from ..system.onednn import Node, nodes_of, separated
from ..system.output import without_log_of_library

_CONVOLUTION, _DENSE = "_sg_mkldnn_conv", "_sg_mkldnn_fully_connected"
#: oneDNN's operators, each with what is fused into it.
LAYERS = (_CONVOLUTION, _DENSE)

#: Their output is never negative.
_NEVER_NEGATIVE = {"relu", "sigmoid", "softrelu"}
#: Their output is never negative if no input is.
_PASS_ON = {"BlockGrad", "Concat", "Dropout", "Flatten", "Pooling", "Reshape"}


def fused_nodes(symbol: mx.sym.Symbol) -> list[Node]:
    """The graph as MXNet fuses it before it quantizes."""
    with without_log_of_library():
        return nodes_of(symbol.get_backend_symbol("MKLDNN_QUANTIZE"))


def separated_for_int8(symbol: mx.sym.Symbol, unsigned_images: bool) -> mx.sym.Symbol:
    """The same graph, in which MXNet fuses only what is right in 8 bits too."""
    nodes = nodes_of(symbol)
    ends = set()
    for node in nodes:
        source = nodes[node["inputs"][0][0]] if node["inputs"] else node
        if node["op"] == "LeakyReLU" and not _is_right_behind(node, source):
            ends.add(source["name"])
    fused = fused_nodes(separated(symbol, ends))
    unsigned = _unsigned(fused, unsigned_images)
    for node in fused:
        parts = fused_parts(node)
        kinds = [part["op"] for part in parts]
        if "elemwise_add" in kinds:
            # oneDNN adds to the other term in its place, so the result has to be of its type.
            place, other = kinds.index("elemwise_add"), unsigned[node["inputs"][-1][0]]
            is_last = place == len(kinds) - 1
            if other is False and not is_last:
                ends.add(parts[place]["name"])  # signed it stays, until the activation
            elif other is None or other == is_last:
                ends.add(parts[place - 1]["name"])
    return separated(symbol, ends)


def float32_nodes(
    nodes: list[Node], *, seven_bits: bool = False, unsigned_images: bool = True
) -> list[str]:
    """The nodes of a fused graph that have to stay in float32.

    With `seven_bits`, a dense layer is among them unless its input is of the unsigned type: oneDNN
    shifts a signed one by 128, so halving its range would not help. A convolution of a signed input
    halves its weights itself.
    """
    in_int8, unsigned = _in_int8(nodes), _unsigned(nodes, unsigned_images)

    def would_be_cut_off(node: Node) -> bool:
        return seven_bits and node["op"] == _DENSE and not unsigned[node["inputs"][0][0]]

    return [
        node["name"]
        for node, right in zip(nodes, in_int8)
        if node["op"] != "null" and (not right or would_be_cut_off(node))
    ]


def fused_parts(node: Node) -> list[Node]:
    """The operations that are fused into one, in their order; none for other operations."""
    return [
        part
        for graph in node.get("subgraphs", [])
        for part in graph["nodes"]
        if part["op"] != "null"
    ]


def _in_int8(nodes: list[Node]) -> list[bool]:
    """Whether each operation is known to be right in 8 bits."""
    found: list[bool] = []
    for node in nodes:
        op, attrs = node["op"], node.get("attrs", {})
        if op == _CONVOLUTION:
            settings = fused_parts(node)[0]["attrs"]
            # One scale for each group is read where there is one for each channel.
            right = settings.get("num_group", "1") in ("1", settings["num_filter"])
        elif op == "Pooling":
            # MXNet ends the process for other kinds, and averages padding in if it rounds up.
            kind, rounding = attrs.get("pool_type", "max"), attrs.get("pooling_convention", "valid")
            right = kind == "max" or (kind, rounding) == ("avg", "valid")
        elif op == "BatchNorm":
            right = attrs.get("axis", "1") == "1"
        elif op == "Activation":  # alone it pays behind a batch norm in int8, as in DenseNet
            right = attrs["act_type"] == "relu" and found[node["inputs"][0][0]]
        else:
            right = op in (_DENSE, "Flatten", "Concat")
        found.append(right)
    return found


def _unsigned(nodes: list[Node], unsigned_images: bool) -> list[bool | None]:
    """Whether the 8-bit type of each output is unsigned; None where calibration decides that."""
    in_int8 = _in_int8(nodes)
    found: list[bool | None] = []
    for i, node in enumerate(nodes):
        op, inputs = node["op"], [found[source] for source, *_ in node["inputs"]]
        unsigned: bool | None
        if op == "null":
            unsigned = unsigned_images if node["name"] == "data" else None
        elif op in LAYERS:
            last = fused_parts(node)[-1]
            unsigned = last["op"] == "clip" or last.get("attrs", {}).get("act_type") == "relu"
        elif op == "BatchNorm" and in_int8[i]:
            unsigned = False
        elif in_int8[i]:
            unsigned = False if False in inputs else all(inputs) or None
        elif op in _PASS_ON:
            unsigned = all(inputs) or None
        else:
            unsigned = node.get("attrs", {}).get("act_type", op) in _NEVER_NEGATIVE or None
        found.append(unsigned)
    return found


def _is_right_behind(node: Node, source: Node) -> bool:
    """Whether a `LeakyReLU` of any kind is right in 8 bits when it is fused into `source`.

    GELU is not in a convolution, nor leaky ReLU in a dense layer: they lose what is below zero.
    """
    return node["attrs"].get("act_type", "leaky") == "leaky" and source["op"] in (
        "Convolution",
        "BatchNorm",
    )

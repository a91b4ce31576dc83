"""What may be given to oneDNN's fused operators inside MXNet.

On the CPU, MXNet puts a convolution and the batch norm, sum and activation behind it into one
operator, and so a dense layer and its activation. It also does that where this operator computes
something else, or writes outside its memory.
"""

from __future__ import annotations

import ast
from collections import Counter
import json
import os
from typing import Any, Collection, Dict

import mxnet as mx

from . import machine

#: By this variable, oneDNN uses no later instructions than the ones that it names.
ISA_VARIABLE = "DNNL_MAX_CPU_ISA"
_BEFORE_VNNI = {"SSE41", "AVX", "AVX2", "AVX512_MIC", "AVX512_MIC_4OPS", "AVX512_CORE"}

#: An operation of a graph, as MXNet's JSON has it.
Node = Dict[str, Any]

#: What others are fused into. Behind a sum only one activation is, which goes well.
_FUSED_INTO = {"Convolution", "FullyConnected", "BatchNorm"}


def nodes_of(symbol: mx.sym.Symbol) -> list[Node]:
    """The operations and variables of a graph, each after its inputs."""
    return json.loads(symbol.tojson())["nodes"]


def separated(symbol: mx.sym.Symbol, ends: Collection[str] = ()) -> mx.sym.Symbol:
    """The same graph, in which MXNet fuses only what gives the graph's own numbers.

    An identity that costs nothing stands behind

    - a convolution before a batch norm over another axis than the channels: the fused operator
      would scale the weights of each output channel by it, and write past them;
    - what is used twice: fused into one use, it would be missing from the other;
    - the operations named in `ends`.
    """
    graph = json.loads(symbol.tojson())
    nodes = graph["nodes"]
    uses = Counter(source for node in nodes for source, *_ in node["inputs"])
    identities: dict[int, int] = {}
    for node in list(nodes):
        for entry in node["inputs"]:
            index = entry[0]
            source = nodes[index]
            if source["name"] in ends or (
                source["op"] in _FUSED_INTO
                and (uses[index] > 1 or _is_over_another_axis(node, source))
            ):
                if index not in identities:
                    identities[index] = len(nodes)
                    # MXNet takes an operator that is called identity out again.
                    name = f"{source['name']}_end"
                    nodes.append({"op": "BlockGrad", "name": name, "inputs": [[index, 0, 0]]})
                entry[:] = [identities[index], 0, 0]
    return mx.sym.load_json(json.dumps(graph))


def _is_over_another_axis(node: Node, source: Node) -> bool:
    """Whether `node` normalizes another axis than the channels of the convolution `source`."""
    if (node["op"], source["op"]) != ("BatchNorm", "Convolution"):
        return False
    return int(node.get("attrs", {}).get("axis", 1)) % num_axes(source) != 1


def num_axes(convolution: Node) -> int:
    """Of what a convolution takes and gives: images, channels, and those of its kernel."""
    return 2 + len(ast.literal_eval(convolution["attrs"]["kernel"]))


def may_use_avx512() -> bool:
    """Whether oneDNN takes AVX-512 instructions here."""
    allowed = os.environ.get(ISA_VARIABLE) not in ("SSE41", "AVX", "AVX2")
    return allowed and "AVX-512" in machine.instruction_sets()


def may_use_vnni() -> bool:
    """Whether the environment lets oneDNN use AVX-512 VNNI, if the processor has it."""
    return os.environ.get(ISA_VARIABLE) not in _BEFORE_VNNI

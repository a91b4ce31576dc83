"""The layers of a net: shapes, parameters, multiply-adds, and the memory that training plans."""

from __future__ import annotations

import math
import os
import re
from typing import Any, NamedTuple

import mxnet as mx
from mxnet import nd
from mxnet.gluon import nn

from .system.output import without_log_of_library


class Layer(NamedTuple):
    """One layer of a net's top level."""

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    """Numbers that training changes (no running statistics)."""
    multiply_adds: int
    """Of the convolutions and dense layers, for one example."""


def layer_table(net: nn.HybridSequential, input_shape: tuple[int, ...]) -> list[Layer]:
    """One row for each layer of `net`, for an input of `input_shape` (N, C, H, W).

    `net` must be initialized on the CPU and not hybridized: the layers are run one by one.
    """
    X = nd.random.uniform(shape=input_shape)
    rows = []
    for layer in net:
        with _counted(layer) as counts:
            X = layer(X)
        rows.append(
            Layer(
                layer.name[len(net.prefix) :] if layer.name.startswith(net.prefix) else layer.name,
                type(layer).__name__,
                X.shape,
                num_parameters(layer),
                sum(counts) // input_shape[0],
            )
        )
    return rows


def totals(rows: list[Layer]) -> tuple[int, int]:
    """Parameters and multiply-adds of all rows of a `layer_table` together."""
    return sum(row.parameters for row in rows), sum(row.multiply_adds for row in rows)


def num_parameters(block: mx.gluon.Block) -> int:
    """Numbers in `block` that training changes: weights and biases, not running statistics."""
    return sum(
        math.prod(parameter.shape)
        for parameter in block.collect_params().values()
        if parameter.grad_req != "null"
    )


def planned_memory(
    net: mx.gluon.HybridBlock, input_shape: tuple[int, ...], *, training: bool = True
) -> int:
    """Bytes that MXNet plans for the graph of `net` on a batch of `input_shape` (N, C, H, W).

    With `training` the graph has the softmax cross-entropy and all gradients. What the planner
    counts are the results of operators, in whole MiB; the parameters, their gradients and the
    scratch space of a convolution come on top. `net` may be hybridized or not, and its arrays
    are not touched.
    """
    out = net(mx.sym.var("data"))
    shapes = {"data": input_shape}
    if training:
        out = mx.gluon.loss.SoftmaxCrossEntropyLoss()(out, mx.sym.var("label"))
        shapes["label"] = input_shape[:1]
    before = os.environ.get("MXNET_SUBGRAPH_BACKEND")
    os.environ["MXNET_SUBGRAPH_BACKEND"] = "NONE"  # the graph as a hybridized net runs it
    try:
        with without_log_of_library():  # which says that the variable is set
            executor = out.simple_bind(mx.cpu(), grad_req="write" if training else "null", **shapes)
    finally:
        del os.environ["MXNET_SUBGRAPH_BACKEND"]
        if before is not None:
            os.environ["MXNET_SUBGRAPH_BACKEND"] = before
    planned = re.search(r"Total (\d+) MB allocated", executor.debug_str())
    if planned is None:
        raise RuntimeError("this MXNet does not report the memory it plans")
    return int(planned[1]) * 2**20


class _counted:
    """Collects, while open, the multiply-adds of every convolution and dense layer that runs."""

    def __init__(self, block: mx.gluon.Block) -> None:
        self._block = block
        self._handles: list[Any] = []
        self._counts: list[int] = []

    def __enter__(self) -> list[int]:
        self._block.apply(
            lambda block: self._handles.append(block.register_forward_hook(self._count))
        )
        return self._counts

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.detach()

    def _count(self, block: mx.gluon.Block, _: object, output: nd.NDArray) -> None:
        # Each output is a sum over one filter: all of the weight's axes but the first.
        if isinstance(block, (nn.Conv2D, nn.Dense)):
            self._counts.append(output.size * math.prod(block.weight.shape[1:]))


def format_table(rows: list[Layer]) -> str:
    """The rows and their totals as text, in columns."""
    header = ("layer", "kind", "output shape", "parameters", "multiply-adds")
    cells = [
        (
            row.name,
            row.kind,
            "×".join(map(str, row.output_shape)),
            f"{row.parameters:,}",
            f"{row.multiply_adds:,}",
        )
        for row in rows
    ]
    total = ("total", "", "", *(f"{number:,}" for number in totals(rows)))
    lines = [header, *cells, total]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "".join(
        "  ".join(
            cell.rjust(width) if i >= 3 else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths))
        ).rstrip()
        + "\n"
        for line in lines
    )

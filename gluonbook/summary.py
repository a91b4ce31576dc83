"""The layers of a net: shapes, parameters, multiply-adds, and the memory that training plans."""

from __future__ import annotations

from contextlib import contextmanager
import math
import os
import re
from typing import Any, Iterator, NamedTuple

import mxnet as mx
from mxnet import gluon
from mxnet.gluon import nn

from .nets.auxiliary import answer_of
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


def layer_table(net: nn.HybridBlock, input_shape: tuple[int, ...]) -> list[Layer]:
    """One row for each layer of `net`, for an input of `input_shape` (N, C, H, W).

    Nothing is computed: the shapes are inferred from the net's graph, so the net may be
    initialized or not, hybridized or not, and on any device. A net that is no
    ``HybridSequential`` is one row.

    Raises
    ------
    MXNetError
        If the net does not take inputs of this shape.
    """
    layers = list(net) if isinstance(net, nn.HybridSequential) else [net]
    X, outputs, weighted = mx.sym.var("data"), [], []
    for layer in layers:
        with _outputs_with_weights(layer) as found:
            X = answer_of(layer(X))
        outputs.append(X)
        weighted.append(found)
    everything = [*outputs, *(output for found in weighted for _, output in found)]
    group = mx.sym.Group(everything)
    shapes, found_shapes, _ = group.infer_shape_partial(data=input_shape)
    shape_of = dict(zip(group.list_arguments(), shapes))
    output_shapes, rest = found_shapes[: len(layers)], iter(found_shapes[len(layers) :])
    rows = []
    for layer, shape, found in zip(layers, output_shapes, weighted):
        # Each output is a sum over one filter: all of the weight's axes but the first.
        work = sum(
            math.prod(next(rest)) * math.prod(shape_of[weight.name][1:]) for weight, _ in found
        )
        name = layer.name[len(net.prefix) :] if layer.name.startswith(net.prefix) else layer.name
        trained = (p for p in layer.collect_params().values() if p.grad_req != "null")
        count = sum(math.prod(shape_of.get(p.name, p.shape)) for p in trained)
        rows.append(Layer(name, type(layer).__name__, shape, count, work // input_shape[0]))
    return rows


def totals(rows: list[Layer]) -> tuple[int, int]:
    """Parameters and multiply-adds of all rows of a `layer_table` together."""
    return sum(row.parameters for row in rows), sum(row.multiply_adds for row in rows)


def num_parameters(block: gluon.Block) -> int:
    """Numbers in `block` that training changes: weights and biases, not running statistics."""
    return sum(
        math.prod(parameter.shape)
        for parameter in block.collect_params().values()
        if parameter.grad_req != "null"
    )


def planned_memory(
    net: gluon.HybridBlock, input_shape: tuple[int, ...], *, training: bool = True
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
        out = gluon.loss.SoftmaxCrossEntropyLoss()(out, mx.sym.var("label"))
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


@contextmanager
def _outputs_with_weights(block: nn.HybridBlock) -> Iterator[list[tuple[gluon.Parameter, Any]]]:
    """Collects, within it, the weight and the output of each convolution and dense layer."""
    handles: list[Any] = []
    found: list[tuple[gluon.Parameter, Any]] = []

    def note(layer: gluon.Block, _: object, output: Any) -> None:
        if isinstance(layer, (nn.Conv2D, nn.Dense)):
            found.append((layer.weight, output))

    block.apply(lambda layer: handles.append(layer.register_forward_hook(note)))
    try:
        yield found
    finally:
        for handle in handles:
            handle.detach()


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

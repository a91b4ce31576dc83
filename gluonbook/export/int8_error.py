"""How far each operation of a net in int8 is from float32."""

from __future__ import annotations

import re

import mxnet as mx
from mxnet import gluon, nd
import numpy as np

from ..operations import trace
from ..system.onednn import Node

#: How much farther from float32 an output may be than the inputs it is computed from, as a share
#: of its norm. Eight bits add 0.045 at most in one operation of the seven nets and of eleven from
#: the zoo. What oneDNN computes wrongly adds 0.1 to 0.8: GELU 0.2, a sum of two types 0.1 to 0.4.
_LIMIT = 0.1
#: Every output is kept for as many images.
_NUM_IMAGES = 8
_IN_INT8 = "quantized_"


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """The norm of the difference, as a share of that of `expected`."""
    norm = np.linalg.norm(expected)
    return float(np.linalg.norm(found - expected) / norm) if norm else float(np.any(found))


def wrong_operations(
    quantized: gluon.SymbolBlock, float32: gluon.SymbolBlock, nodes: list[Node], images: np.ndarray
) -> list[str]:
    """The operations in int8 whose output is wrong although their inputs are right.

    Parameters
    ----------
    float32
        The net before it was quantized, with oneDNN's fused operators.
    nodes
        Of `float32`.
    images
        float32 (N, C, H, W), of which a few are looked at.
    """
    X = nd.array(images[:_NUM_IMAGES])
    names = [node["name"] for node in nodes if node["op"] != "null"]
    expected, outputs = _outputs(float32, names, X), _outputs(quantized, names, X)
    errors: list[float] = []
    wrong = []
    for node in nodes:
        name = node["name"]
        before = max((errors[source] for source, *_ in node["inputs"]), default=0.0)
        in_int8 = f"{_IN_INT8}{name}_output" in outputs
        found = _dequantized(outputs, name) if in_int8 else outputs.get(f"{name}_output")
        after = before if found is None else relative_error(found, expected[f"{name}_output"])
        errors.append(after)
        if in_int8 and after > before + _LIMIT:
            wrong.append(name)
    return wrong


def _outputs(net: gluon.SymbolBlock, names: list[str], X: nd.NDArray) -> dict[str, np.ndarray]:
    """The outputs of the operations of these names, in float32 or in int8 with their range."""
    internals = trace(net).get_internals()
    operations = "|".join(map(re.escape, names))
    is_output = re.compile(
        f"({_IN_INT8})?({operations})_(output|output_min|output_max|(min|max)_output)"
    )
    found = [name for name in internals.list_outputs() if is_output.fullmatch(name)]
    block = gluon.SymbolBlock(
        # MXNet looks for gradients, which operations in int8 do not have.
        mx.sym.Group([mx.sym.BlockGrad(internals[name]) for name in found]),
        mx.sym.var("data", dtype="float32"),
        params=net.collect_params(),
    )
    block.hybridize()
    arrays = block(X)
    return {
        name: array.asnumpy()
        for name, array in zip(found, arrays if isinstance(arrays, list) else [arrays])
    }


def _dequantized(outputs: dict[str, np.ndarray], name: str) -> np.ndarray:
    """What the output in int8 of an operation stands for."""
    name = f"{_IN_INT8}{name}"
    values = outputs[f"{name}_output"]
    if values.dtype == np.float32:
        return values
    ends = [f"{name}_{end}" for end in ("output_min", "output_max", "min_output", "max_output")]
    greatest = np.abs([outputs[end] for end in ends if end in outputs]).max()
    return values * (greatest / np.iinfo(values.dtype).max)

"""A net that computes in 8-bit integers on the CPU, by MXNet's quantization and oneDNN.

The weights and inputs of a convolution or dense layer become x ≈ s · q, where q is from -127 to
127, or from 0 to 255 for an input that is never negative. The scale s of an input is found by
calibration: the net is run on a few images, and the range of what reaches each layer is kept.

A processor without AVX-512 VNNI adds two products at a time in 16 bits, and 2 · 255 · 127 does not
fit: the sum would be cut off without a word. There an input that is never negative is from 0 to 127
(oneDNN, "Nuances of int8 computations"), and a dense layer of other inputs stays in float32.

Sources: Jacob et al., "Quantization and training of neural networks for efficient
integer-arithmetic-only inference", 2018, section 2.1, which also has a zero point; Migacz, "8-bit
inference with TensorRT", 2017, for calibration.
"""

from __future__ import annotations

from importlib.util import find_spec
import json
import os
from pathlib import Path
import re
import tempfile
from typing import Any, Collection, Iterable, NamedTuple
import warnings

import mxnet as mx
from mxnet import gluon, nd
from mxnet.gluon import nn
import numpy as np

from ..nets.auxiliary import answer_of
from ..operations import trace
from ..system import files, mxnet_private, runtime
from ..system.errors import Failure
from ..system.machine import instruction_sets
from ..system.onednn import Node, may_use_vnni
from ..system.output import without_log_of_library
from ..training.graphs import CALLS, answers, free_unused_nets, inference_of
from .int8_error import relative_error, wrong_operations
from .int8_graph import LAYERS, float32_nodes, fused_nodes, separated_for_int8
from .symbol import export_symbol, import_symbol

#: How the range of what reaches a layer is chosen; see `quantize`.
CALIBRATIONS = ("naive", "entropy")
_BATCH_SIZE = 32
#: What the outputs may differ by, as a share of their norm. Nets of 5 to 120 layers differ by 0.003
#: to 0.03. What is left to find here are numbers that 8 bits do not hold.
_GREATEST_ERROR = 0.25
#: How often more operations are left in float32. The first time is the last, as a rule.
_ROUNDS = 3


class QuantizationError(Failure, ValueError):
    """A net cannot be quantized, or would lose too much accuracy by it."""


def quantize(
    net: nn.HybridBlock,
    images: np.ndarray,
    *,
    calibration: str = "naive",
    excluded: Iterable[str] = (),
) -> gluon.SymbolBlock:
    """`net` in int8, on the CPU and hybridized; `net` itself stays as it is.

    Input and output are float32, as those of `net`; of several outputs the first is kept. What
    oneDNN computes wrongly in 8 bits stays in float32. The result is compared with `net` on some of
    the images, operation by operation and as a whole. `export_symbol` saves it; `load_quantized`
    loads it, as does `import_symbol`.

    Parameters
    ----------
    net
        Initialized on the CPU, with float32 parameters.
    images
        float32 (N, C, H, W), as the net is given them. A few hundred training images will do.
    calibration
        What range is kept of the values that reach a layer: ``"naive"`` from the least to the
        greatest; ``"entropy"`` the one whose 8-bit values have the distribution nearest to that of
        the float32 values, by the Kullback–Leibler divergence, so that a few large values are cut
        off.
    excluded
        Layers that stay in float32, by the names of `quantizable_layers`.

    Raises
    ------
    QuantizationError
        If the net, the images or a name are not such, no layer can be quantized, the answers in
        int8 are not those of `net`, this MXNet has no oneDNN, or the entropy is asked for and SciPy
        is not installed.
    TraceError, ParametersError, FileFailure
        As `export_symbol` does: the net is copied by way of a temporary folder.
    """
    quantized, _ = _quantized(net, images, calibration, excluded)
    X = nd.array(images[:_BATCH_SIZE])
    error = relative_error(quantized(X).asnumpy(), answer_of(net(X)).asnumpy())
    if not error <= _GREATEST_ERROR:
        raise QuantizationError(
            f"in int8 the net's outputs on {len(X)} of the images differ by {error:.0%} from those "
            "in float32: leave layers in float32 by excluded=, or by quantize_within"
        )
    return quantized


def _quantized(
    net: nn.HybridBlock, images: np.ndarray, calibration: str, excluded: Iterable[str]
) -> tuple[gluon.SymbolBlock, list[str]]:
    """`net` in int8 and which of its layers are in float32, each operation as right as can be."""
    _check(net, images, calibration)
    unsigned_images = bool(images.min() >= 0)
    symbol = separated_for_int8(trace(net), unsigned_images)
    nodes = fused_nodes(symbol)
    layers = _layers(net, nodes)
    excluded = set(excluded)
    for name in sorted(excluded.difference(layers.values())):
        names = ", ".join(layers.values())
        raise QuantizationError(f"the net has no layer {name}; it has {names}")
    seven_bits = needs_seven_bits()
    in_float32 = {node for node, name in layers.items() if name in excluded}
    in_float32.update(float32_nodes(nodes, seven_bits=seven_bits, unsigned_images=unsigned_images))
    with tempfile.TemporaryDirectory() as folder:
        prefix, quantized_prefix = Path(folder, "net"), Path(folder, "quantized")
        export_symbol(net, prefix, images[:1].shape)
        files.write(f"{prefix}-symbol.json", symbol.tojson())
        copy = import_symbol(prefix)
        free_unused_nets(copy)
        with without_log_of_library():
            fused = gluon.SymbolBlock(
                symbol.get_backend_symbol("MKLDNN_QUANTIZE"),
                mx.sym.var("data", dtype="float32"),
                params=copy.collect_params(),
            )
        for _ in range(_ROUNDS):
            if not layers.keys() - in_float32:
                raise QuantizationError(
                    "there is no convolution or dense layer left that this processor computes "
                    "rightly in 8 bits: use float32"
                )
            _export_quantized(copy, quantized_prefix, images, calibration, in_float32)
            if seven_bits:
                _halve_unsigned(Path(f"{quantized_prefix}-symbol.json"))
            quantized = load_quantized(quantized_prefix, images[:1].shape)
            wrong = wrong_operations(quantized, fused, nodes, images)
            if not wrong:
                return quantized, [name for node, name in layers.items() if node in in_float32]
            in_float32.update(wrong)
    raise QuantizationError(
        f"in int8 the numbers of {', '.join(layers.get(node, node) for node in wrong)} are wrong: "
        "calibrate by 'naive', or use float32"
    )


def _export_quantized(
    net: nn.HybridBlock,
    prefix: Path,
    images: np.ndarray,
    calibration: str,
    in_float32: Collection[str],
) -> None:
    """Write what MXNet's quantization makes of `net`, which it hybridizes."""
    batches = mx.io.NDArrayIter(images, batch_size=min(_BATCH_SIZE, len(images)), data_name="data")
    with without_log_of_library(), warnings.catch_warnings(), mxnet_private.calibration_freed():
        warnings.simplefilter("ignore")  # types that MXNet finds out later
        try:
            quantized = mx.contrib.quantization.quantize_net_v2(
                net, calib_data=batches, calib_mode=calibration, exclude_layers=list(in_float32)
            )
        except mx.base.MXNetError as error:
            [*_, reason] = str(error).strip().splitlines()
            raise QuantizationError(
                f"MXNet cannot quantize the net ({reason}): use float32"
            ) from error
        export_symbol(quantized, prefix, images[:1].shape)


def needs_seven_bits() -> bool:
    """Whether sums of 8-bit products may overflow here; see the top of this file."""
    return "AVX-512 VNNI" not in instruction_sets() or not may_use_vnni()


def _halve_unsigned(symbol: Path) -> None:
    """Let the values that are never negative use half of their 8 bits, by twice the range."""
    graph = json.loads(symbol.read_text())
    for node in graph["nodes"]:
        attrs = node.get("attrs", {})
        if float(attrs.get("min_calib_range", -1)) >= 0:
            attrs["max_calib_range"] = repr(2 * float(attrs["max_calib_range"]))
    files.write(symbol, json.dumps(graph))


def load_quantized(
    prefix: str | os.PathLike[str], input_shape: tuple[int, ...]
) -> gluon.SymbolBlock:
    """The net that `quantize` gave and `export_symbol` wrote, hybridized and tried.

    Raises
    ------
    FileFailure, ParametersError
        As `import_symbol` does.
    """
    net = import_symbol(prefix)
    net.hybridize(static_alloc=True, static_shape=True)  # else weights are rounded in each call
    try:
        for _ in range(CALLS):
            net(nd.zeros(input_shape)).asnumpy()
    except mx.base.MXNetError:  # as `inference_of` knows it of other graphs
        net.hybridize(static_alloc=True, static_shape=False)
    return net


def quantizable_layers(net: nn.HybridBlock) -> dict[str, str]:
    """The layers that `quantize` puts into int8 where their numbers allow it, in the net's order.

    Each has the name that its weight has in a ``.params`` file, without the ending ``.weight``, and
    maps to MXNet's name of the operator that it is fused into.

    Raises
    ------
    TraceError
        If the net is not made of hybrid blocks.
    """
    nodes = fused_nodes(separated_for_int8(trace(net), unsigned_images=True))
    in_float32 = set(float32_nodes(nodes))
    return {name: node for node, name in _layers(net, nodes).items() if node not in in_float32}


def _layers(net: nn.HybridBlock, nodes: list[Node]) -> dict[str, str]:
    """The convolutions and dense layers among the fused `nodes`, and their names in `net`.

    Those that share a weight share its name; one whose weight is computed has none in `net`.
    """
    places = {p.name: place for place, p in mxnet_private.parameters_by_place(net).items()}
    layers = {}
    for node in nodes:
        if node["op"] in LAYERS:
            weight = nodes[node["inputs"][1][0]]["name"]
            name = places[weight] if weight in places else node["name"]
            layers[node["name"]] = re.sub("[._]weight$", "", name)
    return layers


class Quantized(NamedTuple):
    """What `quantize_within` found."""

    net: gluon.SymbolBlock
    float32_layers: list[str]
    """Those that are not in int8, most of them for the sake of the accuracy."""
    accuracy: dict[str, float]
    """On the images held out: ``"float32"`` and ``"int8"``."""


def quantize_within(
    net: nn.HybridBlock,
    images: np.ndarray,
    held_out: Iterable[tuple[nd.NDArray, nd.NDArray]],
    *,
    at_most: float = 0.005,
    calibration: str = "naive",
) -> Quantized:
    """`net` in int8, with as many layers in float32 as keep the accuracy.

    All layers are quantized if the accuracy on `held_out` then falls by `at_most`. If it falls by
    more, the layers are ranked by how far each, in int8 alone, moves the logits. The worst stay in
    float32: one, then two, four and so on, as long as they are fewer than half.

    Parameters
    ----------
    held_out
        Batches (X, y) of training images that are not among `images`, iterated several times. Test
        images would choose the layers by the answers that are to be tested.

    Raises
    ------
    QuantizationError
        As `quantize` does, and if half of the layers in float32 are not enough.
    """
    _check(net, images, calibration)
    expected = _accuracy(inference_of(net, [mx.cpu()]), held_out)
    ranked: list[str] = []
    number = 0
    while True:
        found, in_float32 = _quantized(net, images, calibration, ranked[:number])
        accuracy = _accuracy(found, held_out)
        if expected - accuracy <= at_most:
            accuracies = {"float32": expected, "int8": accuracy}
            return Quantized(found, in_float32, accuracies)
        ranked = ranked or _by_harm(net, images[:_BATCH_SIZE], in_float32)
        number = 2 * number or 1
        if 2 * number >= len(ranked):
            raise QuantizationError(
                f"in int8 the net answers {accuracy:.1%} of {_count(held_out):,} training images "
                f"rightly, and {expected:.1%} in float32: it loses more than {at_most:.1%} with "
                f"{number // 2} of its {len(ranked)} layers left in float32, so use float32"
            )


def _by_harm(net: nn.HybridBlock, images: np.ndarray, in_float32: Collection[str]) -> list[str]:
    """The layers in int8, first the one that alone in int8 moves the logits farthest."""
    X = nd.array(images)
    expected = answer_of(net(X)).asnumpy()
    layers = list(quantizable_layers(net))

    def moved(layer: str) -> float:
        quantized, _ = _quantized(net, images, "naive", [name for name in layers if name != layer])
        return float(np.square(quantized(X).asnumpy() - expected).sum())

    return sorted((name for name in layers if name not in in_float32), key=moved, reverse=True)


def _accuracy(net: Any, batches: Iterable[tuple[nd.NDArray, nd.NDArray]]) -> float:
    correct = sum(answers(net(X), y).read().correct for X, y in batches)
    return correct / _count(batches)


def _count(batches: Iterable[tuple[nd.NDArray, nd.NDArray]]) -> int:
    return sum(len(y) for _, y in batches)


def _check(net: nn.HybridBlock, images: np.ndarray, calibration: str) -> None:
    """Raise a `QuantizationError` for what `quantize` does not take."""
    if not mx.runtime.Features().is_enabled("MKLDNN"):
        raise QuantizationError(
            f"this MXNet was built without oneDNN, which computes in int8: {runtime.REINSTALL}"
        )
    if calibration not in CALIBRATIONS:
        choices = " or ".join(CALIBRATIONS)
        raise QuantizationError(f"calibration must be {choices}, not {calibration!r}")
    if calibration == "entropy" and find_spec("scipy") is None:
        raise QuantizationError(
            "calibration by entropy needs SciPy: run `pip install 'gluonbook[int8]'`, in a clone "
            "`pip install -e '.[int8]'`"
        )
    if images.ndim != 4 or not len(images) or images.dtype != np.float32:
        raise QuantizationError(
            f"calibration needs float32 images (N, C, H, W), not {images.dtype} {images.shape}"
        )
    if not np.isfinite(images).all():
        raise QuantizationError("an image for calibration has a value that is not a finite number")
    for parameter in net.collect_params().values():
        name, dtype = parameter.name, np.dtype(parameter.dtype)
        if dtype != np.float32:
            raise QuantizationError(f"{name} is of type {dtype}: cast the net to float32 first")
        ctxs = parameter.list_ctx() if mxnet_private.is_initialized(parameter) else []
        if any(ctx.device_type != "cpu" for ctx in ctxs):
            raise QuantizationError(
                f"{name} is on {ctxs[0]}, and int8 is computed on the CPU: load the net there"
            )

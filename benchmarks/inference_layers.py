"""The layers of a net in inference, each in oneDNN inside MXNet beside onnxruntime.

oneDNN tells the time of each call if DNNL_VERBOSE is set, and onnxruntime's profiler that of each
node. Layers of one kind and shape are taken together.
"""

from __future__ import annotations

from collections import defaultdict
import json
import os
from pathlib import Path
import re
import subprocess
import sys
import tempfile

from gluonbook.export import onnxruntime_session, to_onnx
from gluonbook.measure.contenders import GluonForm, untrained
from gluonbook.measure.interleaving import median
from gluonbook.recipes import RECIPES
import numpy as np

import results

ME = "--as-child"
#: Numbers of inferences. What the second takes more than the first is that of inferences alone.
CALLS = (3, 13)
#: What the two call them.
KINDS = {"convolution": "convolution", "inner_product": "dense"}
KINDS.update(dict.fromkeys(("pooling", "pooling_v2"), "pooling"))
NODES = dict.fromkeys(("Conv", "FusedConv"), "convolution")
NODES.update(dict.fromkeys(("Gemm", "FusedGemm", "MatMul"), "dense"))
NODES.update(dict.fromkeys(("MaxPool", "AveragePool", "GlobalAveragePool"), "pooling"))
REST = "the rest"
#: Names of layers by their sizes, as oneDNN calls these: channels, height of output and kernel.
FORMATS = {
    "convolution": "convolution {kh}×{kh}, {ic} to {oc}, at {oh}",
    "dense": "dense, {ic} to {oc}",
    "pooling": "pooling to {oh}, {ic} channels",
}


def infer(section: str, batch_size: int, calls: int) -> None:
    """What a child process does, while oneDNN prints."""
    recipe = RECIPES[section]
    X = np.random.rand(batch_size, 1, recipe.size, recipe.size).astype(np.float32)
    form = GluonForm(recipe, "pytorch")
    for _ in range(calls):
        form.infer(X, np.zeros(batch_size, np.int32))


def layer_of(kind: str, problem: str) -> str:
    """A name for a layer, from how oneDNN writes its sizes."""
    return FORMATS[kind].format(**dict(re.findall(r"(ic|oc|oh|kh)(\d+)", problem)))


def by_onednn(section: str, batch_size: int) -> dict[str, float]:
    """Milliseconds of each layer of one inference."""
    totals = []
    for calls in CALLS:
        command = [sys.executable, __file__, ME, section, str(batch_size), str(calls)]
        environment = {**results.environment(), "DNNL_VERBOSE": "1"}
        told = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, text=True, check=True
        ).stdout
        total: dict[str, float] = defaultdict(float)
        for line in told.splitlines():
            fields = line.split(",")
            if fields[:2] == ["dnnl_verbose", "exec"]:
                kind = KINDS.get(fields[3])
                total[layer_of(kind, fields[-2]) if kind else REST] += float(fields[-1])
        totals.append(total)
    few, many = totals
    return {layer: (many[layer] - few[layer]) / (CALLS[1] - CALLS[0]) for layer in many}


def by_onnxruntime(section: str, batch_size: int) -> dict[str, float]:
    """The same, by onnxruntime."""
    recipe = RECIPES[section]
    X = np.random.rand(batch_size, 1, recipe.size, recipe.size).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.onnx")
        to_onnx(untrained(recipe, "pytorch"), path, X.shape)
        threads, profile = int(os.environ["OMP_NUM_THREADS"]), str(Path(folder, "profile"))
        session = onnxruntime_session(path.read_bytes(), threads, profile)
        for _ in range(CALLS[1]):
            session.run(["logits"], {"images": X})
        events = json.loads(Path(session.end_profiling()).read_text())
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            times[event["name"], node_of(event["args"])].append(event["dur"] / 1000)
    layers: dict[str, float] = defaultdict(float)
    for (_, layer), values in times.items():
        layers[layer] += median(values)
    return layers


def node_of(told: dict) -> str:
    """The layer that a node of onnxruntime's is, by the same names."""
    kind = NODES.get(told["op_name"])
    inputs, [output] = (
        [next(iter(shape.values())) for shape in told[f"{side}_type_shape"]]
        for side in ("input", "output")
    )
    if kind is None:
        return REST
    sizes = {"ic": inputs[0][1], "oc": output[1]}
    if kind != "dense":
        sizes["oh"] = output[2]
    if kind == "convolution":
        _, sizes["ic"], sizes["kh"], _ = inputs[1]
    return FORMATS[kind].format(**sizes)


def main() -> None:
    options = results.parser(__doc__)
    options.add_argument("--section", choices=list(RECIPES), default="vgg", metavar="SECTION")
    options.add_argument("--batch-size", type=int, help="instead of the recipe's")
    options = options.parse_args()
    batch_size = options.batch_size or RECIPES[options.section].batch_size
    ours = by_onednn(options.section, batch_size)
    theirs = by_onnxruntime(options.section, batch_size)
    rows = [
        {
            "layer": layer,
            "onednn_ms": ours.get(layer, 0.0),
            "onnxruntime_ms": theirs.get(layer, 0.0),
        }
        for layer in dict.fromkeys([*ours, *theirs])
    ]
    sums = {"layer": "all", "onednn_ms": sum(ours.values()), "onnxruntime_ms": sum(theirs.values())}
    table = results.markdown(
        ["layer", "oneDNN, ms", "onnxruntime, ms"],
        [
            [row["layer"], f"{row['onednn_ms']:.1f}", f"{row['onnxruntime_ms']:.1f}"]
            for row in [*rows, sums]
        ],
    )
    title = f"Layers of {RECIPES[options.section].title} in inference, batch of {batch_size}"
    results.write("inference_layers", options.out, title, table, rows)


if __name__ == "__main__":
    if sys.argv[1:2] == [ME]:
        infer(sys.argv[2], *map(int, sys.argv[3:]))
    else:
        main()

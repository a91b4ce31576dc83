"""The layers of a net in inference, each in oneDNN inside MXNet beside onnxruntime.

oneDNN tells the time of each call if DNNL_VERBOSE is set, and onnxruntime's profiler that of each
node. The table adds up the layers of each kind; the JSON file has those of one kind and size. What
the clock says beyond all of them is time outside the layers, such as from one layer to the next.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
import json
import os
from pathlib import Path
import re
from statistics import median
import subprocess
import sys
import tempfile
import time
from typing import Callable, Iterator, Mapping

from gluonbook.export import onnxruntime_session, to_onnx
from gluonbook.measure.contenders import GluonForm, untrained
from gluonbook.measure.interleaving import interleaved
from gluonbook.recipes import RECIPES
import numpy as np

import results

ME = "--as-child"
#: Nets that onnxruntime infers faster.
SECTIONS = ["vgg", "resnet", "densenet"]
#: Inferences before those that are measured, and these.
BEFORE, CALLS = 3, 10
#: What the two call the kinds of layers.
KINDS = {"convolution": "convolution", "inner_product": "dense"}
KINDS.update(dict.fromkeys(("pooling", "pooling_v2"), "pooling"))
NODES = dict.fromkeys(("Conv", "FusedConv"), "convolution")
NODES.update(dict.fromkeys(("Gemm", "FusedGemm", "MatMul"), "dense"))
NODES.update(dict.fromkeys(("MaxPool", "AveragePool", "GlobalAveragePool"), "pooling"))
REST, OUTSIDE, CLOCK = "the rest", "outside the layers", "all, by the clock"
#: Names of layers by their sizes, as oneDNN calls these: channels, height of output and kernel.
FORMATS = {
    "convolution": "convolution {kh}×{kh}, {ic} to {oc}, at {oh}",
    "dense": "dense, {ic} to {oc}",
    "pooling": "pooling to {oh}, {ic} channels",
}
#: A line before and a line after what is measured; the second has the milliseconds.
MARK = "measured,"

#: Milliseconds of one inference, by layer, with `CLOCK` for the whole.
Times = Mapping[str, float]


def by_the_clock(infer: Callable[[], object]) -> float:
    """Milliseconds of one inference among `CALLS`."""
    start = time.perf_counter()
    for _ in range(CALLS):
        infer()
    return 1000 * (time.perf_counter() - start) / CALLS


def images(section: str, batch_size: int) -> np.ndarray:
    """A batch of random images, float32 (N, 1, H, W)."""
    size = RECIPES[section].size
    return np.random.rand(batch_size, 1, size, size).astype(np.float32)


def infer(section: str, batch_size: int) -> None:
    """What a child process does, while oneDNN prints."""
    X, labels = images(section, batch_size), np.zeros(batch_size, np.int32)
    form = GluonForm(RECIPES[section], "pytorch")
    for _ in range(BEFORE):
        form.infer(X, labels)
    print(MARK, flush=True)
    print(f"{MARK}{by_the_clock(lambda: form.infer(X, labels))}", flush=True)


def layer_of(kind: str, problem: str) -> str:
    """A name for a layer, from how oneDNN writes its sizes."""
    return FORMATS[kind].format(**dict(re.findall(r"(ic|oc|oh|kh)(\d+)", problem)))


def calls_of(lines: str) -> Iterator[tuple[str, str, str, float]]:
    """Each call that oneDNN tells of: kind, direction, sizes, and its part of the milliseconds."""
    for line in lines.splitlines():
        fields = line.split(",")
        if fields[:2] == ["dnnl_verbose", "exec"]:
            yield fields[3], fields[5], fields[-2], float(fields[-1]) / CALLS


def by_onednn(section: str, batch_size: int) -> Times:
    """The times inside MXNet."""
    command = [sys.executable, __file__, ME, section, str(batch_size)]
    environment = {**results.environment(), "DNNL_VERBOSE": "1"}
    told = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    _, lines, clock = told.split(MARK)
    times: dict[str, float] = defaultdict(float, {REST: 0.0})
    for name, _, problem, milliseconds in calls_of(lines):
        kind = KINDS.get(name)
        times[layer_of(kind, problem) if kind else REST] += milliseconds
    return {**times, CLOCK: float(clock)}


def by_onnxruntime(section: str, batch_size: int) -> Times:
    """The times in onnxruntime."""
    recipe, X = RECIPES[section], images(section, batch_size)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.onnx")
        to_onnx(untrained(recipe, "pytorch"), path, X.shape)
        threads, profile = int(os.environ["OMP_NUM_THREADS"]), str(Path(folder, "profile"))
        session = onnxruntime_session(path.read_bytes(), threads, profile)

        def infer() -> None:
            session.run(["logits"], {"images": X})

        for _ in range(BEFORE):
            infer()
        clock = by_the_clock(infer)
        events = json.loads(Path(session.end_profiling()).read_text())
    of_nodes: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            of_nodes[event["name"], node_of(event["args"])].append(event["dur"] / 1000)
    times: dict[str, float] = defaultdict(float, {REST: 0.0})
    for (_, layer), values in of_nodes.items():
        times[layer] += sum(values[BEFORE:]) / CALLS
    return {**times, CLOCK: clock}


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


def by_kind(times: Times) -> dict[str, float]:
    """The layers of each kind added up, and what is outside all of them."""
    total: dict[str, float] = defaultdict(float)
    for layer, milliseconds in times.items():
        if layer != CLOCK:
            total[next((kind for kind in FORMATS if layer.startswith(kind)), REST)] += milliseconds
    return {**total, OUTSIDE: times[CLOCK] - sum(total.values()), CLOCK: times[CLOCK]}


SIDES = (by_onednn, by_onnxruntime)


def main() -> None:
    options = results.parser(__doc__, rounds=5, sections=True)
    options.set_defaults(sections=SECTIONS)
    options.add_argument("--batch-size", type=int, help="instead of the recipe's")
    options = options.parse_args()
    rows, lines = [], []
    for section in options.sections:
        batch_size = options.batch_size or RECIPES[section].batch_size
        sides = {side.__name__: partial(side, section, batch_size) for side in SIDES}
        rounds = interleaved(sides, options.rounds).values()
        ours, theirs = map(medians, rounds)
        kinds = [medians(list(map(by_kind, each))) for each in rounds]
        rows += [
            {
                "section": section,
                "batch": batch_size,
                "layer": layer,
                "onednn_ms": ours.get(layer, 0.0),
                "onnxruntime_ms": theirs.get(layer, 0.0),
            }
            for layer in dict.fromkeys([*ours, *theirs])
        ]
        lines += [
            [RECIPES[section].title, str(batch_size), kind]
            + [f"{side[kind]:.1f}" if kind in side else "—" for side in kinds]
            for kind in [*FORMATS, REST, OUTSIDE, CLOCK]
        ]
    table = results.markdown(["net", "batch", "layers", "oneDNN, ms", "onnxruntime, ms"], lines)
    title = f"Layers in inference, milliseconds of a batch, median of {options.rounds} rounds"
    results.write("inference_layers", options.out, title, table, rows)


def medians(rounds: list[Times]) -> Times:
    """The median of each figure over the rounds."""
    return {name: median([times[name] for times in rounds]) for name in rounds[0]}


if __name__ == "__main__":
    if sys.argv[1:2] == [ME]:
        infer(sys.argv[2], int(sys.argv[3]))
    else:
        main()

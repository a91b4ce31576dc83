"""The layers of a net in training: in oneDNN inside MXNet, and in two of PyTorch's forms.

oneDNN tells the time of each call if DNNL_VERBOSE is set, and PyTorch's profiler that of each
operator. The table adds up those of each kind; the JSON file has each size of convolution. PyTorch
lays memory out anew within its convolutions, so that the time for it is in theirs. What the clock
says beyond all kinds is the rest, such as the update of the weights.

With ``--isa AVX2`` both libraries leave out later instructions, as on processors without them.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
import itertools
import json
import os
import re
import subprocess
import sys
from typing import Callable, Mapping

from gluonbook.compare.speed import TORCH_FORMS, TorchForm
from gluonbook.measure.contenders import Form, GluonForm
from gluonbook.measure.interleaving import interleaved
from gluonbook.recipes import RECIPES
from gluonbook.system.onednn import ISA_VARIABLE
from inference_layers import (
    BEFORE,
    CALLS,
    CLOCK,
    MARK,
    ME,
    REST,
    by_the_clock,
    calls_of,
    images,
    medians,
)
import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile
from training import OURS

import results

FORWARD, BACKWARD, POOLING = "convolution, forward", "convolution, backward", "pooling"
#: What oneDNN calls the kinds of layers; a convolution is told apart by its direction.
ONEDNN = {
    "inner_product": "dense",
    "pooling_v2": POOLING,
    "batch_normalization": "batch norm",
    "eltwise": "activation",
    "concat": "concatenation",
    "sum": "sum",
    "reorder": "memory laid out anew",
}
#: The operators of PyTorch that are of each kind.
TORCH = {
    FORWARD: {"mkldnn_convolution", "_slow_conv2d_forward"},
    BACKWARD: {"convolution_backward", "_slow_conv2d_backward"},
    "dense": {"addmm", "mm"},
    POOLING: {
        *("max_pool2d_with_indices", "max_pool2d_with_indices_backward", "avg_pool2d"),
        *("avg_pool2d_backward", "_adaptive_avg_pool2d", "_adaptive_avg_pool2d_backward", "mean"),
    },
    "batch norm": {"native_batch_norm", "native_batch_norm_backward"},
    "activation": {"clamp_min", "threshold_backward", "sigmoid", "sigmoid_backward"},
    "concatenation": {"cat"},
    "sum": {"add", "add_"},
    "memory laid out anew": {"copy_"},
}
#: Where the shapes of a convolution's input and weights stand among PyTorch's.
SHAPES = {"mkldnn_convolution": (0, 1), "convolution_backward": (1, 2)}
SIDES = (OURS, *TORCH_FORMS[:2])
#: What limits the instructions: oneDNN in MXNet and in PyTorch, PyTorch's own kernels, and MKL.
LIMITS = {
    "all": {},
    "AVX2": {
        **{ISA_VARIABLE: "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
        **{"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    },
}

#: Milliseconds of one training step, by kind, by convolution, and by the clock.
Times = Mapping[str, float]


def convolution(direction: str, inputs: int, outputs: int, size: int, kernel: int) -> str:
    """A name for a convolution by its channels, and the heights of its input and kernel."""
    return f"{direction}, {kernel}×{kernel}, {inputs} to {outputs}, of {size}"


def by_onednn(lines: str) -> Times:
    """From what oneDNN says in `CALLS` steps."""
    times: dict[str, float] = defaultdict(float)
    for name, way, problem, milliseconds in calls_of(lines):
        kind = ONEDNN.get(name)
        if name == "convolution":
            kind = FORWARD if way.startswith("forward") else BACKWARD
            sizes = {key: int(n) for key, n in re.findall(r"(ic|oc|ih|kh)(\d+)", problem)}
            layer = convolution(kind, sizes["ic"], sizes["oc"], sizes["ih"], sizes["kh"])
            times[layer] += milliseconds
        if kind is not None:
            times[kind] += milliseconds
    return times


def by_torch(step: Callable[[], object]) -> Times:
    """From what PyTorch's profiler says of `CALLS` steps."""
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
        for _ in range(CALLS):
            step()
    kinds = {name: kind for kind, names in TORCH.items() for name in names}
    times: dict[str, float] = defaultdict(float)
    for event in profiler.key_averages(group_by_input_shape=True):
        name = event.key.replace("aten::", "")
        if name not in kinds:
            continue
        milliseconds = event.self_cpu_time_total / 1000 / CALLS
        times[kinds[name]] += milliseconds
        if name in SHAPES:
            data, weights = (event.input_shapes[place] for place in SHAPES[name])
            outputs, inputs, kernel, _ = weights
            times[convolution(kinds[name], inputs, outputs, data[2], kernel)] += milliseconds
    return times


def train(form: str, section: str, batch_size: int) -> None:
    """What a child process does: prints the milliseconds by the clock, then what is told."""
    X = images(section, batch_size)
    y = np.random.randint(0, 10, batch_size).astype(np.int32)
    recipe = RECIPES[section]
    ours = form == OURS
    side: Form = GluonForm(recipe, "pytorch") if ours else TorchForm(form, section, recipe.lr / 100)
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    step = partial(side.train, X, y)
    for _ in range(BEFORE):
        step()
    print(MARK, flush=True)
    clock = by_the_clock(step)
    print(f"{MARK}{clock}", flush=True)
    if not ours:
        print(f"{MARK}{json.dumps(by_torch(step))}")


def measured(form: str, section: str, batch_size: int, isa: str) -> Times:
    """The times of a form, each part of them told by its library."""
    environment = {**results.environment(), **LIMITS[isa]}
    environment["DNNL_VERBOSE"] = "1" if form == OURS else "0"
    command = [sys.executable, __file__, ME, form, section, str(batch_size)]
    told = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    _, lines, clock, *rest = told.split(MARK)
    times = json.loads(rest[0]) if rest else by_onednn(lines)
    known = sum(times.get(kind, 0.0) for kind in TORCH)
    return {**times, REST: float(clock) - known, CLOCK: float(clock)}


def main() -> None:
    options = results.parser(__doc__, rounds=3, sections=True)
    options.add_argument("--batch-size", type=int, help="instead of the recipe's")
    options.add_argument("--isa", nargs="+", choices=list(LIMITS), default=["all"])
    options = options.parse_args()
    rows, lines = [], []
    for section, isa in itertools.product(options.sections, options.isa):
        batch_size = options.batch_size or RECIPES[section].batch_size
        sides = {side: partial(measured, side, section, batch_size, isa) for side in SIDES}
        rounds = interleaved(sides, options.rounds)
        names = {name for each in rounds.values() for times in each for name in times}
        of_sides = [
            medians([{**dict.fromkeys(names, 0.0), **times} for times in each])
            for each in rounds.values()
        ]
        rows += [
            {"section": section, "batch": batch_size, "isa": isa, "layers": name}
            | {side: times[name] for side, times in zip(SIDES, of_sides)}
            for name in sorted(names)
        ]
        lines += [
            [RECIPES[section].title, isa, str(batch_size), kind]
            + [f"{times[kind]:.1f}" for times in of_sides]
            for kind in [*TORCH, REST, CLOCK]
            if kind in names
        ]
    header = ["net", "instructions", "batch", "layers", *(f"{side}, ms" for side in SIDES)]
    title = f"Layers in training, milliseconds of a batch, median of {options.rounds} rounds"
    results.write("training_layers", options.out, title, results.markdown(header, lines), rows)


if __name__ == "__main__":
    if sys.argv[1:2] == [ME]:
        train(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main()

"""Where the time of one image's inference goes: in MXNet with each of its engines, and beside.

The image is copied in, computed, and the answer copied out. By default MXNet hands each call over
to a thread of its engine. Its naive engine, which the variable MXNET_ENGINE_TYPE asks for before
Python starts, computes in the thread that calls, as onnxruntime does.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from functools import partial
import json
import os
from pathlib import Path
from statistics import median
import sys
import tempfile
import time
from typing import Callable, Mapping

from gluonbook.export import onnxruntime_session, to_onnx
from gluonbook.measure.contenders import AT_REST, untrained
from gluonbook.measure.interleaving import interleaved
from gluonbook.measure.subprocess_worker import SubprocessWorker
from gluonbook.recipes import RECIPES
from gluonbook.training.graphs import inference_of
import mxnet as mx
from mxnet import nd
import numpy as np

import results

ONNXRUNTIME = "onnxruntime"
#: The variables that the process of each form has besides.
FORMS: Mapping[str, Mapping[str, str]] = {
    "gluonbook": {},
    "gluonbook, naive engine": {"MXNET_ENGINE_TYPE": "NaiveEngine"},
    ONNXRUNTIME: {},
}
PARTS = ("copied in", "computed", "copied out")
CALLS = 500

#: A part's work; it takes what the part before it has given.
Parts = Mapping[str, Callable]


def by_gluonbook(section: str, X: np.ndarray) -> Parts:
    net = untrained(RECIPES[section], "pytorch")
    net.hybridize(static_alloc=True, static_shape=True)
    infer = inference_of(net, [mx.cpu()])

    def compute(image: nd.NDArray) -> nd.NDArray:
        logits = infer(image)
        logits.wait_to_read()
        return logits

    into = partial(nd.from_numpy, zero_copy=False)
    return dict(zip(PARTS, (lambda _: into(X), compute, nd.NDArray.asnumpy)))


def by_onnxruntime(section: str, X: np.ndarray) -> Parts:
    """It takes and gives arrays of NumPy's, so that nothing is copied."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.onnx")
        to_onnx(untrained(RECIPES[section], "pytorch"), path, X.shape)
        session = onnxruntime_session(path.read_bytes(), int(os.environ["OMP_NUM_THREADS"]))
    return {PARTS[1]: lambda _: session.run(["logits"], {"images": X})}


def milliseconds(parts: Parts) -> dict[str, list[float]]:
    """The median and the 99th percentile of each part, over `CALLS` calls."""
    figures: dict[str, list[float]] = {part: [] for part in PARTS}
    for _ in range(CALLS):
        value = None
        for part, work in parts.items():
            start = time.perf_counter()
            value = work(value)
            figures[part].append(1000 * (time.perf_counter() - start))
    return {
        part: np.percentile(values or [0.0], [50, 99]).tolist() for part, values in figures.items()
    }


def be_worker(form: str, section: str) -> None:
    """Answer each line with the milliseconds."""
    size = RECIPES[section].size
    X = np.random.rand(1, 1, size, size).astype(np.float32)
    parts = by_onnxruntime(section, X) if form == ONNXRUNTIME else by_gluonbook(section, X)
    for _ in sys.stdin:
        time.sleep(AT_REST)
        print(json.dumps(milliseconds(parts)), flush=True)


def main() -> None:
    options = results.parser(__doc__, rounds=5, sections=True).parse_args()
    rows, lines = [], []
    for section in options.sections:
        with ExitStack() as stack:
            workers = {
                form: stack.enter_context(
                    closing(
                        SubprocessWorker(__file__, form, section, env={**os.environ, **variables})
                    )
                )
                for form, variables in FORMS.items()
            }
            sides = {form: partial(worker.ask, "") for form, worker in workers.items()}
            measured = interleaved(sides, options.rounds)
        for form, rounds in measured.items():
            told = {
                part: [median(figures) for figures in zip(*(each[part] for each in rounds))]
                for part in PARTS
            }
            rows.append({"section": section, "form": form, **told})
            lines.append([RECIPES[section].title, form])
            lines[-1] += ["{:.3f} / {:.3f}".format(*told[part]) for part in PARTS]
            lines[-1] += [f"{sum(figures[0] for figures in told.values()):.3f}"]
    header = [
        "net",
        "form",
        *(f"{part}, ms: median / 99 %" for part in PARTS),
        "sum of the medians",
    ]
    title = f"Single images, median of {options.rounds} interleaved rounds"
    results.write("single_images", options.out, title, results.markdown(header, lines), rows)


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] in FORMS:
        be_worker(*sys.argv[1:])
    else:
        main()

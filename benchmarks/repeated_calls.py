"""Memory of a process after each of eight calls of train_ch5, with one net or a new one a call."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import sys

import gluonbook as gb
from gluonbook.measure.subprocess_worker import SubprocessWorker
from gluonbook.recipes import RECIPES, Recipe
import mxnet as mx
from mxnet import gluon, init, nd
import numpy as np
import psutil

import results

CALLS, BATCH_SIZE, MIB = 8, 64, 2**20
NETS = {"one": "one net", "new": "a new net for each call"}


def serve(recipe: Recipe, nets: str) -> None:
    """Train for each line of standard input, and answer with the bytes of this process."""
    logging.disable(logging.CRITICAL)
    rng = np.random.RandomState(0)
    X = nd.array(rng.rand(BATCH_SIZE, 1, recipe.size, recipe.size))
    batches = [(X, nd.array(rng.randint(0, 10, BATCH_SIZE), dtype="int32"))]
    net = None
    for _ in sys.stdin:
        if net is None or nets == "new":
            net = recipe.net()
            net.initialize(init.Xavier())
            net.hybridize(static_alloc=True, static_shape=True)
        trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.01})
        with contextlib.redirect_stdout(io.StringIO()):
            gb.train_ch5(net, batches, batches, BATCH_SIZE, trainer, mx.cpu(), 1)
        del trainer
        nd.waitall()
        print(json.dumps(psutil.Process().memory_info().rss), flush=True)


def measure(section: str, nets: str) -> dict:
    """The bytes of a process after each call."""
    worker = SubprocessWorker(__file__, section, nets)
    try:
        row = {
            "section": section,
            "nets": nets,
            "bytes": [worker.ask("train") for _ in range(CALLS)],
        }
    finally:
        worker.close()
    print(row, file=sys.stderr, flush=True)
    return row


def main() -> None:
    options = results.parser(__doc__, sections=True).parse_args()
    rows = [measure(section, nets) for section in options.sections for nets in NETS]
    table = results.markdown(
        ["section", "net", *(f"call {i}" for i in range(1, CALLS + 1)), "the last / the second"],
        [
            [
                RECIPES[row["section"]].title,
                NETS[row["nets"]],
                *(f"{number / MIB:,.0f}" for number in row["bytes"]),
                f"{row['bytes'][-1] / row['bytes'][1]:.2f}",
            ]
            for row in rows
        ],
    )
    title = f"Memory of a process after each call of train_ch5 with a batch of {BATCH_SIZE}, MiB"
    results.write("repeated_calls", options.out, title, table, rows)


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[2] in NETS:
        serve(RECIPES[sys.argv[1]], sys.argv[2])
    else:
        main()

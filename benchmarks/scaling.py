"""Training by 1, 2 and 4 workers on this machine.

Images a second, bytes that are sent in a step, and the share of a step in which a worker waits for
the gradients of the others. Each worker takes steps with and without the exchange in turns, while
all the others do the same, so that the cores are as busy in both. `scaling_model.py` says what
follows for many machines.
"""

from __future__ import annotations

import json
from statistics import median
import subprocess
import sys
import time

from gluonbook.distributed.workers import workers
from gluonbook.recipes import RECIPES
from gluonbook.training.graphs import step_of
from matplotlib.figure import Figure
import mxnet as mx
from mxnet import autograd, gluon, nd
import numpy as np
import psutil

import results

COUNTS = (1, 2, 4)
STEPS = 3
ME = "--as-worker"


class Side:
    """A net that is trained on random images, with the others or alone."""

    def __init__(self, section: str, batch_size: int, kvstore: object) -> None:
        recipe, self._whole = RECIPES[section], batch_size
        share = batch_size // workers().count
        self._X = nd.random.uniform(shape=(share, 1, recipe.size, recipe.size))
        self._y = nd.array(np.arange(share) % 10)
        net = recipe.net()
        net.initialize(mx.init.Xavier())
        net.hybridize(static_alloc=True, static_shape=True)
        net(self._X[:1])
        self._step = step_of(net, gluon.loss.SoftmaxCrossEntropyLoss())
        settings = {"learning_rate": recipe.lr / 100}
        self._trainer = gluon.Trainer(net.collect_params(), "sgd", settings, kvstore)
        if kvstore is not None:
            workers().share_parameters(self._trainer)

    def seconds(self) -> float:
        """Of a step, begun by all workers at the same time."""
        workers().sum([0.0])
        start = time.perf_counter()
        for _ in range(STEPS):
            with autograd.record():
                losses = self._step(self._X, self._y).losses
            losses.backward()
            self._trainer.step(self._whole)
        nd.waitall()
        return (time.perf_counter() - start) / STEPS


def sent() -> int:
    return psutil.net_io_counters(pernic=True)["lo"].bytes_sent


def be_worker(section: str, batch_size: int, rounds: int) -> None:
    """Measure as one of the workers; the first one prints the figures."""
    together = workers()
    alone = Side(section, batch_size, None)
    common = None if together.alone else Side(section, batch_size, together.kvstore)
    figures: dict[str, list[float]] = {"alone": [], "common": [], "bytes": []}
    for number in range(rounds + 1):
        seconds = alone.seconds()
        before = sent()
        with_others = common.seconds() if common else seconds
        together.sum([0.0])  # all have sent what they had to
        if number > 0:  # the first round warms up
            figures["alone"].append(seconds)
            figures["common"].append(with_others)
            figures["bytes"].append((sent() - before) / STEPS if common else 0.0)
    if together.is_first:
        print(json.dumps(figures), flush=True)


def measure(section: str, count: int, batch_size: int, rounds: int) -> dict:
    launch = [sys.executable, "-m", "gluonbook.launch", "--workers", str(count), "--"]
    command = [*launch, __file__, ME, section, str(batch_size), str(rounds)]
    done = subprocess.run(
        command, env=results.environment(), stdout=subprocess.PIPE, text=True, check=True
    )
    figures = json.loads(done.stdout)
    seconds = median(figures["common"])
    row = {
        "section": section,
        "workers": count,
        "batch_size": batch_size,
        "images_per_second": batch_size / seconds,
        "bytes_per_step": median(figures["bytes"]),
        "waiting_share": max(0.0, 1 - median(figures["alone"]) / seconds),
        "figures": figures,
    }
    print({name: value for name, value in row.items() if name != "figures"}, file=sys.stderr)
    return row


def table_of(rows: list[dict]) -> str:
    """A row for each net and number of workers, with the rate as a multiple of one worker's."""
    one = {row["section"]: row["images_per_second"] for row in rows if row["workers"] == 1}
    return results.markdown(
        ["section", "batch", "workers", "images/s", "÷ one worker", "MB per step", "waiting"],
        [
            [
                RECIPES[row["section"]].title,
                str(row["batch_size"]),
                str(row["workers"]),
                f"{row['images_per_second']:,.0f}",
                f"{row['images_per_second'] / one[row['section']]:.2f}",
                f"{row['bytes_per_step'] / 1e6:,.1f}",
                f"{row['waiting_share']:.0%}",
            ]
            for row in rows
        ],
    )


def picture_of(rows: list[dict]) -> Figure:
    """Rates as multiples of one worker's, and shares of waiting."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for section in dict.fromkeys(row["section"] for row in rows):
        here = [row for row in rows if row["section"] == section]
        counts = [row["workers"] for row in here]
        rate = [row["images_per_second"] / here[0]["images_per_second"] for row in here]
        left.plot(counts, rate, "o-", label=RECIPES[section].title)
        right.plot(counts, [row["waiting_share"] for row in here], "o-")
    for axes in (left, right):
        axes.set_xticks(COUNTS)
        axes.set_xlabel("workers on this machine")
        axes.grid(alpha=0.3)
    left.set(ylabel="images a second ÷ one worker", ylim=(0, None))
    right.set(ylabel="share of a step that waits", ylim=(0, 1))
    left.legend(fontsize="small")
    return figure


def main() -> None:
    options = results.parser(__doc__, rounds=5)
    options.add_argument(
        "--sections",
        nargs="+",
        choices=list(RECIPES),
        default=["lenet", "resnet", "densenet"],
        metavar="SECTION",
        help="which to measure",
    )
    options = options.parse_args()
    rows = [
        measure(section, count, RECIPES[section].batch_size, options.rounds)
        for section in options.sections
        for count in COUNTS
    ]
    title = f"Training by several workers on this machine, median of {options.rounds} rounds"
    results.write("scaling", options.out, title, table_of(rows), rows, picture_of(rows))


if __name__ == "__main__":
    if sys.argv[1:2] == [ME]:
        be_worker(sys.argv[2], *map(int, sys.argv[3:]))
    else:
        main()

"""Training speed while other processes keep cores busy, for each way OpenMP's threads can wait.

At the end of an operator its threads wait for each other. gluonbook lets them sleep rather than
spin while other processes need the cores. It is compared with libgomp's own ways of waiting, each
kept for a whole training, and with training on one thread.
"""

from __future__ import annotations

from contextlib import ExitStack, closing, contextmanager
from functools import partial
import os
from statistics import median
import subprocess
import sys
from typing import Iterator

from gluonbook.measure import contenders
from gluonbook.measure.contenders import HYBRIDIZED, Worker
from gluonbook.measure.interleaving import interleaved
from gluonbook.recipes import RECIPES
from gluonbook.system.machine import physical_cores
from matplotlib.figure import Figure

import results

OURS, DEFAULT = "gluonbook", "300,000 turns (default)"
#: How threads wait, as environment variables. Where libgomp's are set, gluonbook changes nothing.
WAYS = {
    OURS: {},
    DEFAULT: {"GOMP_SPINCOUNT": "300000"},
    "1,000 turns": {"GOMP_SPINCOUNT": "1000"},
    "sleep at once": {"OMP_WAIT_POLICY": "passive"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
#: The book's batch size for LeNet, whose operators are short; a smaller one for the other nets.
LARGEST_BATCH = {"lenet": 256}
BATCH = 32


@contextmanager
def busy(number: int) -> Iterator[None]:
    """Run `number` processes that each keep one core busy."""
    processes = [subprocess.Popen([sys.executable, "-c", "while 1: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def seconds(worker: Worker) -> float:
    """Time of a training step, after one in which the process can notice what runs beside it."""
    worker.ask("train")
    return worker.ask("train")


def measure(section: str, rounds: dict[int, int]) -> list[dict]:
    """Images a second of each way, one figure per round, for each number of busy processes.

    `rounds` says how many rounds each of these numbers gets.
    """
    batch_size = LARGEST_BATCH.get(section, BATCH)
    rows = []
    with ExitStack() as stack:
        workers = {
            way: stack.enter_context(
                closing(
                    Worker(
                        *(contenders.__name__, HYBRIDIZED, section, "gluon", batch_size),
                        env={**os.environ, **variables},
                    )
                )
            )
            for way, variables in WAYS.items()
        }
        for number, num_rounds in rounds.items():
            with busy(number):
                found = interleaved(
                    {way: partial(seconds, worker) for way, worker in workers.items()}, num_rounds
                )
            rates = {way: [batch_size / value for value in values] for way, values in found.items()}
            rows.append(
                {
                    "section": section,
                    "batch_size": batch_size,
                    "busy": number,
                    "images_per_second": rates,
                }
            )
            print(section, number, medians(rows[-1]), file=sys.stderr, flush=True)
    return rows


def medians(row: dict) -> dict[str, float]:
    return {way: median(values) for way, values in row["images_per_second"].items()}


def ratio(row: dict) -> float:
    """gluonbook's rate as a multiple of the default's: the median of the rounds' ratios.

    The two stand beside each other in a round, so a machine that changes its speed over minutes
    changes both.
    """
    ours, default = (row["images_per_second"][way] for way in (OURS, DEFAULT))
    return median([mine / other for mine, other in zip(ours, default)])


def table_of(rows: list[dict]) -> str:
    """Medians, and gluonbook's rate as a multiple of the default's."""
    lines = []
    for row in rows:
        rates = medians(row)
        lines.append(
            [
                RECIPES[row["section"]].title,
                str(row["batch_size"]),
                str(row["busy"]),
                *(f"{rates[way]:,.0f}" for way in WAYS),
                f"{ratio(row):.2f}",
            ]
        )
    header = ["section", "batch", "busy processes", *WAYS, "gluonbook ÷ default"]
    return results.markdown(header, lines)


def picture_of(rows: list[dict]) -> Figure:
    """Each way's rate as a share of the section's best, one panel for each number of processes."""
    loads = sorted({row["busy"] for row in rows})
    figure = Figure(figsize=(9, 2.4 * len(loads)), layout="constrained")
    width = 0.8 / len(WAYS)
    for axes, number in zip(figure.subplots(len(loads), squeeze=False).flat, loads):
        here = [medians(row) for row in rows if row["busy"] == number]
        for i, way in enumerate(WAYS):
            shares = [rates[way] / max(rates.values()) for rates in here]
            places = [place + width * i for place in range(len(here))]
            axes.bar(places, shares, width, label=way if number == loads[0] else None)
        names = [row["section"] for row in rows if row["busy"] == number]
        axes.set_xticks([place + 0.4 - width / 2 for place in range(len(here))], names)
        axes.set_ylabel(f"rate ÷ best,\n{number} busy")
    figure.legend(loc="outside upper center", fontsize="small", ncols=len(WAYS))
    return figure


def main() -> None:
    options = results.parser(__doc__, rounds=2, sections=True)
    options.add_argument(
        "--quiet-rounds", type=int, default=10, help="rounds without a busy process"
    )
    options = options.parse_args()
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        os.environ.pop(name, None)
    rounds = {0: options.quiet_rounds, **dict.fromkeys((1, physical_cores()), options.rounds)}
    rows = [row for section in options.sections for row in measure(section, rounds)]
    title = (
        "Training beside busy processes, images a second by how OpenMP's threads wait, median of "
        f"{options.rounds} interleaved rounds, {options.quiet_rounds} without a busy process"
    )
    results.write("contention", options.out, title, table_of(rows), rows, picture_of(rows))


if __name__ == "__main__":
    main()

"""Train in bfloat16 (AMP) and in float32, from the same weights on the same batches, and compare.

Each precision runs in its own process, so that a crash counts as a result. The two take turns
until both losses have left ln 10, and then for `--steps` more steps.
"""

from __future__ import annotations

import argparse
from itertools import count
import json
from statistics import mean, median
import sys
import time

from gluonbook.measure.subprocess_worker import SubprocessWorker
from gluonbook.recipes import RECIPES, STABLE
from gluonbook.system.machine import instruction_sets
from gluonbook.training.precision import init_amp
from matplotlib.figure import Figure
from stability import AVERAGED, LEFT

import results

FLOAT32, BFLOAT16 = PRECISIONS = ("float32", "bfloat16")
#: How far apart the losses of the last steps may be.
TOLERANCE = 0.1
#: A gain below this is not worth the digits.
LEAST_GAIN = 1.05
TEST_IMAGES = 1000


def serve(precision: str, section: str, seed: int) -> None:
    """Answer each line of the input with a training step, and its end with the test accuracy."""
    from gluonbook import evaluate_accuracy, load_data_fashion_mnist
    from gluonbook.measure.contenders import GluonForm
    import mxnet as mx
    import numpy as np

    if precision == BFLOAT16:
        init_amp()
    recipe = {**RECIPES, **STABLE}[section]
    mx.random.seed(seed)
    np.random.seed(seed)
    batches, test = load_data_fashion_mnist(
        recipe.batch_size, recipe.size, limit_test=TEST_IMAGES, seed=seed
    )
    form = GluonForm(recipe)
    stream = (batch for _ in count() for batch in batches.arrays())
    for line in sys.stdin:
        if line.strip() == "test":
            print(evaluate_accuracy(test, form.net), flush=True)
            continue
        X, y = next(stream)
        start = time.perf_counter()
        losses = form.train(X, y)
        seconds = time.perf_counter() - start
        print(json.dumps([float(losses.mean().asscalar()), seconds]), flush=True)


def soak(section: str, steps: int, most: int, seed: int) -> dict:
    """Losses, seconds and test accuracy in both precisions, or the fault of the one that failed.

    As long as both only guess, their losses agree whatever the precision. So `steps` count from
    where both have left the loss of guessing; a section that has not after `most` is given up.
    """
    batch_size = RECIPES[section].batch_size
    row: dict = {"section": section, "batch_size": batch_size, "fault": None}
    row["recipe"] = "stable" if section in STABLE else "book"
    trainings = {
        name: SubprocessWorker(__file__, "--serve", name, section, seed) for name in PRECISIONS
    }
    losses: dict[str, list[float]] = {name: [] for name in PRECISIONS}
    seconds: dict[str, list[float]] = {name: [] for name in PRECISIONS}
    row["losses"] = losses
    row["left"] = None
    try:
        for step in range(1, most + 1):
            for name, training in trainings.items():
                loss, took = training.ask("step")
                losses[name].append(loss)
                seconds[name].append(took)
            if row["left"] is None and step >= AVERAGED and max(map(last, losses.values())) < LEFT:
                row["left"] = step
            if row["left"] is not None and step == row["left"] + steps:
                break
        row["test_acc"] = {name: training.ask("test") for name, training in trainings.items()}
    except RuntimeError as error:
        row["fault"] = str(error)
    for training in trainings.values():
        training.close()
    row["steps"] = len(losses[BFLOAT16])
    row["images_per_second"] = {
        name: batch_size / median(taken[1:]) for name, taken in seconds.items() if len(taken) > 1
    }
    row["verdict"] = verdict(row)
    return row


def last(losses: list[float]) -> float:
    return mean(losses[-AVERAGED:])


def verdict(row: dict) -> str | None:
    """Why bfloat16 is to be refused, or None."""
    if row["fault"] is not None:
        return f"its soak stopped after {row['steps']} steps: {row['fault']}"
    if row["left"] is None:
        return f"{row['steps']} steps were too few for the loss to leave ln 10 in both precisions"
    apart = abs(last(row["losses"][BFLOAT16]) / last(row["losses"][FLOAT32]) - 1)
    if not apart < TOLERANCE:
        return f"after {row['steps']} steps its loss is {apart:.0%} away from float32's"
    gain = row["images_per_second"][BFLOAT16] / row["images_per_second"][FLOAT32]
    return None if gain >= LEAST_GAIN else f"it trains at {gain:.2f} times float32's speed"


def table_of(rows: list[dict]) -> str:
    lines = []
    for row in rows:
        rates = row["images_per_second"]
        lines.append([RECIPES[row["section"]].title, str(row["left"] or "—"), str(row["steps"])])
        if row["fault"] is None:
            lines[-1] += [
                *(f"{rates[name]:,.0f}" for name in PRECISIONS),
                f"{rates[BFLOAT16] / rates[FLOAT32]:.2f}",
                *(f"{last(row['losses'][name]):.3f}" for name in PRECISIONS),
                *(f"{row['test_acc'][name]:.3f}" for name in PRECISIONS),
            ]
        else:
            lines[-1] += ["—"] * 7
        lines[-1].append(f"refused: {row['verdict']}" if row["verdict"] else "allowed")
    header = ["section", "left ln 10", "steps", "float32, images/s", "bfloat16", "÷"]
    header += ["loss, float32", "bfloat16", "test acc, float32", "bfloat16", "`--amp`"]
    return results.markdown(header, lines)


def picture_of(rows: list[dict]) -> Figure:
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots()
    for i, row in enumerate(rows):
        for name, style in zip(PRECISIONS, ("-", ":")):
            label = row["section"] if name == FLOAT32 else None
            losses = row["losses"][name]
            share = [j / len(losses) for j in range(len(losses))]
            axes.plot(share, losses, style, color=f"C{i}", label=label, linewidth=1)
    axes.set_xlabel("share of the steps (dotted: bfloat16)")
    axes.set_ylabel("loss")
    figure.legend(loc="outside upper center", fontsize="small", ncols=len(rows))
    return figure


def main() -> None:
    options = results.parser(__doc__, sections=True)
    options.add_argument("--steps", type=int, default=100, help="after both have left ln 10")
    options.add_argument("--most", type=int, default=1000, help="steps in all")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    options = options.parse_args()
    if options.serve:
        precision, section, seed = options.serve
        serve(precision, section, int(seed))
        return
    rows = []
    for section in options.sections:
        rows.append(soak(section, options.steps, options.most, options.seed))
        print(section, rows[-1]["images_per_second"], rows[-1]["verdict"], file=sys.stderr)
    title = f"Training in bfloat16 and in float32, with {', '.join(instruction_sets())}"
    results.write("bfloat16", options.out, title, table_of(rows), rows, picture_of(rows))


if __name__ == "__main__":
    main()

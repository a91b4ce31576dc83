"""int8 beside float32: accuracy on the test images by each calibration, and images a second.

The nets are those of the runs that are named; a section without one is trained by its quick look.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from statistics import median
import sys
import tempfile
import time
from typing import Any, Callable

from gluonbook.data.fashion_mnist import FashionMNIST, fashion_mnist
from gluonbook.data.image_batches import ImageBatches
from gluonbook.export import (
    CALIBRATIONS,
    QuantizationError,
    quantizable_layers,
    quantize,
    quantize_within,
)
from gluonbook.measure.contenders import seconds_each
from gluonbook.measure.interleaving import interleaved
from gluonbook.predict import load_run
from gluonbook.predictions.classifier import Classifier
from gluonbook.recipes import RECIPES
from gluonbook.runs.int8 import training_images
from gluonbook.runs.trained import name_of
from gluonbook.training.graphs import inference_of
from matplotlib.figure import Figure
import mxnet as mx
import numpy as np
from quick_looks import train

import results

FLOAT32, INT8 = PRECISIONS = ("float32", "int8")


def measure(run: Path, data: FashionMNIST, rounds: int, limit_test: int | None) -> dict[str, Any]:
    """The net of a run in float32, in int8 by each calibration, and as ``predict --int8`` has it.

    Beside each accuracy stands the share of the test images that are answered as in float32.
    """
    trained = load_run(run)
    images, labels = (array[:limit_test] for array in data.test)
    expected = trained.probabilities(images).argmax(axis=1)

    def judge(net: Any) -> dict[str, float]:
        answers = Classifier(net, trained.size).probabilities(images).argmax(axis=1)
        return {
            "accuracy": float((answers == labels).mean()),
            "as_float32": float((answers == expected).mean()),
        }

    few, held_out = training_images(data.train, trained.size)
    section = name_of(run)
    row: dict[str, Any] = {
        "section": section,
        "image_size": trained.size,
        "batch_size": RECIPES[section].batch_size,
        "test_images": len(labels),
        "calibrating_images": len(few),
        "layers": len(quantizable_layers(trained.net)),
        FLOAT32: judge(trained.net),
    }
    net: Any = None
    for calibration in CALIBRATIONS:
        start = time.perf_counter()
        try:
            net = quantize(trained.net, few, calibration=calibration)
        except QuantizationError as error:
            row[calibration] = {"refused": str(error)}
        else:
            row[calibration] = {"seconds": time.perf_counter() - start, **judge(net)}
    row["kept"], row["refused"] = None, None
    try:
        quantized = quantize_within(trained.net, few, held_out)
    except QuantizationError as error:
        row["refused"] = str(error)
    else:
        net = quantized.net
        row["kept"] = {"float32_layers": quantized.float32_layers, **judge(net)}
    if net is None:
        raise QuantizationError(f"{run} has no form in int8 to measure: {row['refused']}")
    [[(X, _)], *_] = ImageBatches(
        *(array[: row["batch_size"]] for array in data.test), row["batch_size"], size=trained.size
    ).split_batches([mx.cpu()])
    nets = {FLOAT32: inference_of(trained.net, [mx.cpu()]), INT8: net}
    sides = {name: partial(seconds_each, _inference(net, X)) for name, net in nets.items()}
    row["images_per_second"] = {
        name: [row["batch_size"] / value for value in values]
        for name, values in interleaved(sides, rounds).items()
    }
    return row


def _inference(net: Callable[[Any], Any], X: Any) -> Callable[[], None]:
    return lambda: net(X).wait_to_read()


def gain_of(row: dict[str, Any]) -> float:
    """How many times as fast int8 is."""
    rates = {name: median(values) for name, values in row["images_per_second"].items()}
    return rates[INT8] / rates[FLOAT32]


def _accuracy(form: dict[str, Any] | None) -> str:
    return f"{form['accuracy']:.4f}" if form and "accuracy" in form else "refused"


def table_of(rows: list[dict[str, Any]]) -> str:
    header = ["section", "image", FLOAT32, *CALIBRATIONS, "kept", "layers in float32"]
    lines = []
    for row in rows:
        kept = row["kept"]
        rates = (f"{median(row['images_per_second'][name]):,.0f}" for name in PRECISIONS)
        lines.append(
            [
                RECIPES[row["section"]].title,
                str(row["image_size"]),
                *(_accuracy(row[name]) for name in (FLOAT32, *CALIBRATIONS, "kept")),
                f"{len(kept['float32_layers'])} of {row['layers']}" if kept else "—",
                *rates,
                f"{gain_of(row):.2f}",
            ]
        )
    columns = [f"{name}, images/s" for name in PRECISIONS]
    return results.markdown([*header, *columns, "int8 ÷ float32"], lines)


def picture_of(rows: list[dict[str, Any]]) -> Figure:
    """What each calibration loses, in points, and how many times as fast int8 is."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    loss, speed = figure.subplots(1, 2)
    places = np.arange(len(rows))
    for i, name in enumerate(CALIBRATIONS):
        lost = [
            100 * (row[FLOAT32]["accuracy"] - row[name].get("accuracy", np.nan)) for row in rows
        ]
        loss.bar(places + 0.4 * i, lost, 0.4, label=name)
    loss.axhline(0.5, color="black", linewidth=0.8, linestyle="--", label="allowed")
    loss.set_ylabel("accuracy lost, points")
    loss.legend(fontsize="small")
    speed.bar(places + 0.2, [gain_of(row) for row in rows], 0.5, color="tab:green")
    speed.axhline(1, color="black", linewidth=0.8)
    speed.set_ylabel("rate in int8 ÷ float32")
    for axes in (loss, speed):
        axes.set_xticks(places + 0.2, [row["section"] for row in rows], rotation=30)
    return figure


def main() -> None:
    options = results.parser(__doc__, rounds=5, sections=True)
    options.add_argument("--runs", nargs="+", type=Path, default=[], help="folders of trained nets")
    options.add_argument("--limit-test", type=int, help="test on the first N images")
    options = options.parse_args()
    data = fashion_mnist()
    runs = {name_of(run): run for run in options.runs}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for section in options.sections:
            run = runs.get(section) or train(section, 1, folder)
            rows.append(measure(run, data, options.rounds, options.limit_test))
            print(rows[-1], file=sys.stderr, flush=True)
    title = "int8 beside float32: test accuracy, and images a second in batches of the recipe's"
    results.write("int8", options.out, title, table_of(rows), rows, picture_of(rows))


if __name__ == "__main__":
    main()

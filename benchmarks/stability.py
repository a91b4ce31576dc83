"""Why a section's loss may stay at that of guessing, and how another recipe cures it.

Trains from several seeds on a part of the images, with variants of the recipe. Records the loss of
each batch, and for each convolution the scale of its output and the share of zeros in it.
"""

from __future__ import annotations

import math
from statistics import mean
import sys
import time
from typing import Iterator

from gluonbook.data.fashion_mnist import load_data_fashion_mnist
from gluonbook.measure.contenders import GluonForm
from gluonbook.recipes import STABLE, Recipe, recipes_of
from matplotlib.figure import Figure
import mxnet as mx
from mxnet import gluon, nd
from mxnet.gluon import nn
import numpy as np

import results

#: Changes to the book's recipe, one at a time, to find out which of them matters.
CHANGES = {
    "book, a third of the learning rate": lambda book: book._replace(lr=book.lr / 3),
    "book, MSRAPrelu weights": lambda book: book._replace(initializer="MSRAPrelu"),
    "book, Adam": lambda book: book._replace(optimizer="adam", lr=0.0005),
}
#: The loss is averaged over so many last batches, and has left ln 10 if it is below this.
AVERAGED, LEFT = 10, 0.95 * math.log(10)
#: Images on which the outputs of the convolutions are looked at.
LOOKED_AT = 16


def convolutions(net: gluon.Block, X: nd.NDArray) -> Iterator[nd.NDArray]:
    """The output of each convolution and its activation, in their order."""
    for layer in net:
        if isinstance(layer, nn.HybridSequential):
            for inner in layer:
                X = inner(X)
                yield X
        else:
            X = layer(X)


def outputs_of(net: gluon.Block, X: nd.NDArray) -> dict[str, list[float]]:
    values = [output.asnumpy() for output in convolutions(net, X)]
    return {
        "standard deviation": [float(value.std()) for value in values],
        "zeros": [float((value == 0).mean()) for value in values],
    }


def train(recipe: Recipe, seed: int, images: int) -> dict:
    """One pass over the first `images` images."""
    mx.random.seed(seed)
    np.random.seed(seed)
    batches, _ = load_data_fashion_mnist(recipe.batch_size, recipe.size, limit=images, seed=seed)
    form = GluonForm(recipe)
    losses: list[float] = []
    before = None
    for X, y in batches.arrays():
        if before is None:
            few = nd.array(X[:LOOKED_AT])
            before = outputs_of(form.net, few)
        losses.append(float(form.train(X, y).mean().asscalar()))
    return {
        "seed": seed,
        "losses": losses,
        "last": mean(losses[-AVERAGED:]),
        "before": before,
        "after": outputs_of(form.net, few),
    }


def table_of(rows: list[dict]) -> str:
    lines = []
    for row in rows:
        runs = row["runs"]
        last = [run["last"] for run in runs]
        scales = [run["before"]["standard deviation"] for run in runs]
        lines.append(
            [
                row["name"],
                f"{row['optimizer']}, {row['lr']:.2g}, {row['initializer']}",
                f"{mean(scale[0] for scale in scales):.2g}",
                f"{mean(scale[-1] for scale in scales):.2g}",
                f"{mean(run['after']['zeros'][-1] for run in runs):.0%}",
                f"{mean(last):.3f}",
                f"{max(last):.3f}",
                f"{sum(loss < LEFT for loss in last)} of {len(runs)}",
            ]
        )
    return results.markdown(
        ["recipe", "optimizer, learning rate, weights", "output of the first convolution"]
        + ["of the last", "zeros in the last, at the end", "loss at the end", "worst"]
        + ["left ln 10"],
        lines,
    )


def picture_of(rows: list[dict]) -> Figure:
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.subplots()
    for i, row in enumerate(rows):
        for j, run in enumerate(row["runs"]):
            axes.plot(run["losses"], color=f"C{i}", alpha=0.7, label=None if j else row["name"])
    axes.axhline(math.log(10), color="black", linestyle=":", linewidth=1)
    axes.set_xlabel("batch")
    axes.set_ylabel("loss (dotted: ln 10)")
    figure.legend(loc="outside upper center", fontsize="small", ncols=2)
    return figure


def main() -> None:
    options = results.parser(__doc__)
    options.add_argument("--section", default="nin", choices=list(STABLE), metavar="SECTION")
    options.add_argument("--images", type=int, default=6400, help="in each training")
    options.add_argument(
        "--seeds", type=int, nargs="+", default=list(range(1, 11)), help="of the stable recipe"
    )
    options.add_argument("--few", type=int, default=1, help="how many of them for the others")
    options = options.parse_args()
    recipes = recipes_of(options.section)
    variants = {name: change(recipes["book"]) for name, change in CHANGES.items()}
    rows = []
    for name, recipe in {**recipes, **variants}.items():
        seeds = options.seeds if name == "stable" else options.seeds[: options.few]
        row = {key: getattr(recipe, key) for key in ("optimizer", "lr", "initializer")}
        row.update(name=name, section=options.section, images=options.images, runs=[])
        rows.append(row)
        for seed in seeds:
            start = time.time()
            row["runs"].append(train(recipe, seed, options.images))
            took, last = time.time() - start, row["runs"][-1]["last"]
            print(f"{name}, seed {seed}: {last:.3f}, {took:.0f} s", file=sys.stderr, flush=True)
    title = (
        f"{recipes['book'].title}: the first {options.images:,} images, loss over the last "
        f"{AVERAGED} batches"
    )
    results.write("stability", options.out, title, table_of(rows), rows, picture_of(rows))


if __name__ == "__main__":
    main()

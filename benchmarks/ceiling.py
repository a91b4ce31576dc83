"""What this machine can reach at most, and each measured speed as a share of that."""

from __future__ import annotations

import json
import os
from statistics import median

from gluonbook.measure.interleaving import interleaved
from gluonbook.recipes import RECIPES
from gluonbook.summary import layer_table, totals
from matplotlib.figure import Figure
from mxnet import nd
import torch

import results

SIDE, COPIED = 3072, 2**28
#: Multiply-adds as a multiple of the forward pass. In training the gradients of the weights cost
#: as much again, and those of the inputs too.
PASSES = {"training": 3, "inference": 1}


def ceilings(rounds: int) -> dict[str, list[float]]:
    """GFLOP/s of matrix products and a convolution, all large, and GB/s of a copy; each round."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    a, b = torch.rand(SIDE, SIDE), torch.rand(SIDE, SIDE)
    x, y = nd.ones((SIDE, SIDE)), nd.ones((SIDE, SIDE))
    images, weight = nd.ones((32, 256, 28, 28)), nd.ones((256, 256, 3, 3))
    source = torch.rand(COPIED // 4)
    target = torch.empty_like(source)
    product, convolved = 2 * SIDE**3 / 1e9, 2 * 32 * 28 * 28 * 256 * 256 * 9 / 1e9

    def convolution() -> None:
        nd.Convolution(images, weight, no_bias=True, num_filter=256, kernel=(3, 3), pad=(1, 1))

    return interleaved(
        {
            "matrix product, PyTorch, GFLOP/s": lambda: product / results.seconds(lambda: a @ b),
            "matrix product, MXNet, GFLOP/s": lambda: (
                product / results.seconds(lambda: nd.dot(x, y))
            ),
            "3×3 convolution, 256 channels, MXNet, GFLOP/s": lambda: (
                convolved / results.seconds(convolution)
            ),
            "copy, GB/s": lambda: 2 * COPIED / 1e9 / results.seconds(lambda: target.copy_(source)),
        },
        rounds,
    )


def gflops(section: str) -> float:
    """GFLOP of the forward pass for one image, in convolutions and dense layers."""
    net = RECIPES[section].net("pytorch")
    net.initialize()
    size = RECIPES[section].size
    _, multiply_adds = totals(layer_table(net, (1, 1, size, size)))
    return 2 * multiply_adds / 1e9


def picture_of(rows: list[dict]) -> Figure:
    """The nets' speeds, with a line for each of the machine's ceilings."""
    ceilings_, *speeds = rows
    figure = Figure(figsize=(8, 3.8), layout="constrained")
    axes = figure.subplots()
    for i, work in enumerate(PASSES):
        chosen = [row for row in speeds if row["work"] == work]
        heights = [row["gflops_per_second"]["gluonbook"] for row in chosen]
        axes.bar([j + 0.4 * i for j in range(len(chosen))], heights, 0.4, label=work)
        axes.set_xticks([j + 0.2 for j in range(len(chosen))], [row["section"] for row in chosen])
    for i, (name, values) in enumerate(ceilings_["ceilings"].items()):
        if "GFLOP" in name:
            label = name.rpartition(",")[0]
            axes.axhline(median(values), linestyle=":", color=f"C{i + 2}", label=label)
    axes.set_ylabel("GFLOP/s")
    figure.legend(loc="outside upper center", fontsize="small", ncols=3)
    return figure


def main() -> None:
    options = results.parser(__doc__, rounds=7)
    options = options.parse_args()
    measured = ceilings(options.rounds)
    best = max(median(values) for name, values in measured.items() if "GFLOP" in name)
    rows, lines = [], []
    for work, passes in PASSES.items():
        for row in json.loads((options.out / f"{work}.json").read_text())["rows"]:
            work_of_one = passes * gflops(row["section"])
            rates = {
                form: median(values) * work_of_one
                for form, values in row["images_per_second"].items()
            }
            rows.append({"work": work, "section": row["section"], "gflops_per_second": rates})
            shares = [f"{rates['gluonbook']:,.0f}", f"{rates['gluonbook'] / best:.0%}"]
            fastest = max(rate for form, rate in rates.items() if form.startswith("PyTorch"))
            lines.append(
                [RECIPES[row["section"]].title, work, f"{work_of_one:.2f}", *shares]
                + [f"{fastest:,.0f}", f"{fastest / best:.0%}"]
            )
    table = results.markdown(
        ["ceiling", "median"],
        [[name, f"{median(values):,.0f}"] for name, values in measured.items()],
    )
    table += "\n" + results.markdown(
        ["section", "work", "GFLOP an image", "gluonbook, GFLOP/s", "share of the ceiling"]
        + ["fastest PyTorch, GFLOP/s", "share of the ceiling"],
        lines,
    )
    title = "Ceilings of this machine, and what the nets reach of them"
    rows = [{"ceilings": measured}, *rows]
    results.write("ceiling", options.out, title, table, rows, picture_of(rows))


if __name__ == "__main__":
    main()

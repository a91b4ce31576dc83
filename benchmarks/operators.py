"""Where the time of a training step and of an inference goes, by kind of operator.

MXNet's profiler sees operators one by one only if they are not executed in bulk, so the steps here
are a little slower than those of training.py.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time

os.environ.update(
    {f"MXNET_EXEC_BULK_EXEC_MAX_NODE_TRAIN{which}": "1" for which in ("", "_FWD", "_BWD")},
    MXNET_EXEC_BULK_EXEC_INFERENCE="0",
)

# MXNet reads the environment as it is imported.
from gluonbook.data.fashion_mnist import load_data_fashion_mnist  # noqa: E402
from gluonbook.measure.contenders import GluonForm  # noqa: E402
from gluonbook.recipes import RECIPES  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from mxnet import nd, profiler  # noqa: E402

import results  # noqa: E402

#: Kinds of operators, by their names in MXNet; what fits none is "the rest".
KINDS = {
    "convolution": r"^(_sg_mkldnn_conv|Convolution)$",
    "its backward": r"^_backward_Convolution$",
    "batch norm": r"BatchNorm",
    "ReLU, sigmoid": r"Activation",
    "pooling": r"Pooling|_zeros_without_dtype",  # max pooling's second output is a gradient of 0
    "dense": r"FullyConnected|fully_connected",
    "concat, sum": r"Concat|concat|add|_sum|split",
    "reorder, copy": r"Reorder|[Cc]opy",
    "optimizer": r"sgd|adam",
}
REST = "the rest"
WARM, MEASURED = 2, 3


def milliseconds(form: GluonForm, work: str, X, y) -> tuple[dict[str, float], float]:
    """Time of each kind of operator for one batch, and the time by the clock."""
    call = getattr(form, work)
    for _ in range(WARM):
        call(X, y)
    nd.waitall()
    profiler.dumps(reset=True)
    profiler.set_state("run")
    start = time.perf_counter()
    for _ in range(MEASURED):
        call(X, y)
    nd.waitall()
    seconds = time.perf_counter() - start
    profiler.set_state("stop")
    stats = json.loads(profiler.dumps(reset=True, format="json"))["Time"]["operator"]
    shares = dict.fromkeys([*KINDS, REST], 0.0)
    for name, row in stats.items():
        if name.startswith(("WaitFor", "DeleteVariable", "SetValueOp")):
            continue
        kind = next((kind for kind, names in KINDS.items() if re.search(names, name)), REST)
        shares[kind] += row["Total"] / MEASURED
    return shares, 1000 * seconds / MEASURED


def main() -> None:
    options = results.parser(__doc__, sections=True)
    options.add_argument("--batch-size", type=int, help="instead of each recipe's")
    options = options.parse_args()
    profiler.set_config(
        profile_imperative=True,
        profile_symbolic=True,
        aggregate_stats=True,
        filename=os.devnull,  # it writes its events when it is stopped
    )
    rows = []
    for section in options.sections:
        recipe = RECIPES[section]
        size = options.batch_size or recipe.batch_size
        train_iter, _ = load_data_fashion_mnist(size, recipe.size, limit=size, seed=1)
        [(X, y)] = train_iter.arrays()
        form = GluonForm(recipe, "pytorch", lr=recipe.lr / 100)
        for work in ("train", "infer"):
            shares, clock = milliseconds(form, work, X, y)
            rows.append({"section": section, "work": work, "batch_size": size, "ms": shares})
            rows[-1]["clock_ms"] = clock
            print(section, work, rows[-1], file=sys.stderr, flush=True)
    table = results.markdown(
        ["section", "work", "ms a batch", *KINDS, REST],
        [
            [RECIPES[row["section"]].title, row["work"], f"{row['clock_ms']:,.0f}"]
            + [f"{value / sum(row['ms'].values()):.1%}" for value in row["ms"].values()]
            for row in rows
        ],
    )
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    left = [0.0] * len(rows)
    names = [f"{row['section']}, {row['work']}" for row in rows]
    for i, kind in enumerate([*KINDS, REST]):
        widths = [100 * row["ms"][kind] / sum(row["ms"].values()) for row in rows]
        axes.barh(names, widths, left=left, label=kind, color=f"C{i}")
        left = [a + b for a, b in zip(left, widths)]
    axes.invert_yaxis()
    axes.set_xlabel("% of the time in operators")
    figure.legend(loc="outside upper center", fontsize="small", ncols=5)
    results.write(
        "operators", options.out, "Where the time goes, by kind of operator", table, rows, figure
    )


if __name__ == "__main__":
    main()

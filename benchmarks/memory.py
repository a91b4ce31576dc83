"""Memory of training: the peak of a process, and what MXNet plans, by batch and image size."""

from __future__ import annotations

import sys

from gluonbook.compare.speed import AS_WRITTEN, peak_memory
from gluonbook.measure.contenders import HYBRIDIZED
from gluonbook.recipes import RECIPES
from gluonbook.summary import planned_memory
from matplotlib.figure import Figure

import results

MIB = 2**20
OURS = HYBRIDIZED
COMPARED = (OURS, AS_WRITTEN)
BATCH_SIZES = (16, 32, 64)
#: Sections whose nets take images of any size, and the sizes tried; the book asks for
#: DenseNet at 96 and 224.
SIZES = {"googlenet": (48, 96, 224), "resnet": (48, 96, 224), "densenet": (48, 96, 224)}
SIZES_BATCH = 32


def measure(section: str, batch_size: int, size: int) -> dict:
    """Bytes of one training, of gluonbook and of PyTorch as written."""
    row = {
        "section": section,
        "batch_size": batch_size,
        "image_size": size,
        "planned": planned_memory(RECIPES[section].net("pytorch"), (batch_size, 1, size, size)),
        "peak": {
            form: peak_memory(section, "pytorch", form, batch_size, size) for form in COMPARED
        },
    }
    print(row, file=sys.stderr, flush=True)
    return row


def mib(number: int | None) -> str:
    return "—" if number is None else f"{number / MIB:,.0f}"


def picture_of(rows: list[dict]) -> Figure:
    by_batch = [row for row in rows if row["image_size"] == RECIPES[row["section"]].size]
    by_size = [row for row in rows if row["batch_size"] == SIZES_BATCH and row["section"] in SIZES]
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, shown, name in ((left, by_batch, "batch_size"), (right, by_size, "image_size")):
        for section in dict.fromkeys(row["section"] for row in shown):
            chosen = [row for row in shown if row["section"] == section and row["peak"][OURS]]
            x = [row[name] for row in chosen]
            [line] = axes.plot(x, [row["peak"][OURS] / MIB for row in chosen], "o-", label=section)
            axes.plot(x, [row["planned"] / MIB for row in chosen], ":", color=line.get_color())
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(sorted({row[name] for row in shown}))
        axes.get_xaxis().set_major_formatter("{x:.0f}")
        axes.set_ylabel("MiB")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="x-small")
    left.set_xlabel("images in a batch (recipe's image size)")
    right.set_xlabel(f"image size in pixels (batch of {SIZES_BATCH})")
    figure.suptitle("Training: peak of the process (solid), planned by MXNet (dotted)", fontsize=10)
    return figure


def main() -> None:
    options = results.parser(__doc__).parse_args()
    rows = []
    for section, recipe in RECIPES.items():
        batches = {(recipe.size, batch_size) for batch_size in (*BATCH_SIZES, recipe.batch_size)}
        sizes = {(size, SIZES_BATCH) for size in SIZES.get(section, ())}
        for size, batch_size in sorted(batches | sizes):
            rows.append(measure(section, batch_size, size))
    header = ["section", "batch", "image", "gluonbook, peak", "PyTorch, peak", "planned by MXNet"]
    table = results.markdown(
        header,
        [
            [
                RECIPES[row["section"]].title,
                str(row["batch_size"]),
                str(row["image_size"]),
                *(mib(row["peak"][form]) for form in COMPARED),
                mib(row["planned"]),
            ]
            for row in rows
        ],
    )
    title = "Memory of a training, MiB, above what the process has before it builds the net"
    results.write("memory", options.out, title, table, rows, picture_of(rows))


if __name__ == "__main__":
    main()

"""Images a second of the loader alone, against MXNet's DataLoader with the book's transform."""

from __future__ import annotations

from itertools import islice
from statistics import median

from gluonbook.data.fashion_mnist import fashion_mnist, load_data_fashion_mnist
from gluonbook.measure.interleaving import interleaved
from matplotlib.figure import Figure
from mxnet.gluon import data as gdata

import results

BATCH_SIZE = 128
SIZES = (28, 96, 224)
WORKERS = (0, 2, 4)


def book_loader(folder: str, size: int, num_workers: int, limit: int) -> gdata.DataLoader:
    """The loader of the book's text, over the first `limit` test images."""
    transforms = gdata.vision.transforms
    steps = [transforms.Resize(size)] if size != 28 else []
    images = gdata.vision.FashionMNIST(root=folder, train=False).take(limit)
    transform = transforms.Compose([*steps, transforms.ToTensor()])
    return gdata.DataLoader(
        images.transform_first(transform), BATCH_SIZE, shuffle=True, num_workers=num_workers
    )


def epoch(batches, num_batches: int) -> None:
    for X, _ in islice(batches, num_batches):
        X.wait_to_read()


def main() -> None:
    options = results.parser(__doc__, rounds=5)
    options.add_argument("--images", type=int, default=5120, help="images in one measurement")
    options = options.parse_args()
    num_batches = options.images // BATCH_SIZE
    num_images = num_batches * BATCH_SIZE

    folder = str(fashion_mnist().folder)
    rows = []
    for size in SIZES:
        sides = {"gluonbook": load_data_fashion_mnist(BATCH_SIZE, size)[0]}
        for num_workers in WORKERS:
            loader = book_loader(folder, size, num_workers, num_images)
            sides[f"DataLoader, {num_workers} workers"] = loader
        measured = interleaved(
            {
                name: lambda side=side: (
                    num_images / results.seconds(lambda: epoch(side, num_batches))
                )
                for name, side in sides.items()
            },
            options.rounds,
        )
        rows.append({"size": size, "images_per_second": measured})

    names = list(rows[0]["images_per_second"])
    medians = [[median(row["images_per_second"][name]) for name in names] for row in rows]
    table = results.markdown(
        ["image size", *names, "gluonbook ÷ fastest DataLoader"],
        [
            [f"{row['size']}×{row['size']}"]
            + [f"{value:,.0f}" for value in values]
            + [f"{values[0] / max(values[1:]):.1f}"]
            for row, values in zip(rows, medians)
        ],
    )
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.subplots()
    for i, name in enumerate(names):
        places = [j + 0.2 * i for j in range(len(SIZES))]
        axes.bar(places, [values[i] for values in medians], 0.2, label=name)
    axes.set_xticks([j + 0.3 for j in range(len(SIZES))], [f"{s}×{s}" for s in SIZES])
    axes.set_yscale("log")
    axes.set_ylabel("images a second")
    axes.legend(fontsize="small")
    results.write(
        "loading",
        options.out,
        f"Loading alone, images a second, batches of {BATCH_SIZE}, median of {options.rounds}",
        table,
        rows,
        figure,
    )


if __name__ == "__main__":
    main()

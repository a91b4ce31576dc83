"""What pays off when ResNet-18 is trained for longer? Ten minutes on a GPU, days on two cores.

The PyTorch edition's net is trained by the recipe `tuned` and by changes to it, in bfloat16, on any
GPU that PyTorch has code for. As in exercises/tuning.py, the last 5,000 training images are held
out and serve as the test. Trainings that the folder of the results has already stay in the table,
so let them be of one machine. --device cpu tries the script itself.
"""

from __future__ import annotations

import argparse
import itertools
import json
import operator
from pathlib import Path
from statistics import mean
from typing import Dict, Generator, List, NamedTuple

from device_training import Images, Training, chosen_device, in_turns, training_images
from gluonbook.pytorch import nets
from gluonbook.recipes import TUNED, Recipe
from gluonbook.training.epochs import Epoch
from matplotlib.figure import Figure
import torch

import results

RECIPE = TUNED["resnet"]
CHANGES = {
    "tuned": RECIPE.tuning,
    "weight decay": RECIPE.tuning._replace(weight_decay=5e-4),
    "moved images": RECIPE.tuning._replace(augment=True),
    "both": RECIPE.tuning._replace(weight_decay=5e-4, augment=True),
}
LEAST_DRAWN = 0.86


class Setting(NamedTuple):
    """What tells one training from the others."""

    change: str
    size: int
    num_epochs: int
    seed: int

    @property
    def recipe(self) -> Recipe:
        return RECIPE._replace(num_epochs=self.num_epochs, tuning=CHANGES[self.change])


def train(
    setting: Setting, data: tuple[Images, Images]
) -> Generator[list[Epoch], None, tuple[Setting, list[Epoch]]]:
    """Give way after every few steps, with the epochs so far, and return all."""
    epochs: list[Epoch] = []
    for epochs in Training(setting.recipe, nets.resnet, *data, seed=setting.seed).run():
        yield epochs
    return setting, epochs


Rows = Dict[Setting, List[Epoch]]


def read(path: Path) -> Rows:
    """The trainings that a results file holds, if it is there."""
    if not path.exists():
        return {}
    return {
        Setting(*(row[name] for name in Setting._fields)): [Epoch(**each) for each in row["epochs"]]
        for row in json.loads(path.read_text())["rows"]
    }


def ordered(rows: Rows) -> list[Setting]:
    """As the table has them."""
    changes = list(CHANGES)
    return sorted(rows, key=lambda row: (*row[1:3], changes.index(row.change), row.seed))


def together(rows: Rows, *names: str) -> dict[tuple, list[Setting]]:
    """The trainings that are alike in these."""
    groups = itertools.groupby(ordered(rows), key=operator.attrgetter(*names))
    return {values: list(settings) for values, settings in groups}


def table_of(rows: Rows) -> str:
    lines = []
    for how, settings in together(rows, "change", "size", "num_epochs").items():
        change, size, num_epochs = how
        last = [rows[setting][-1] for setting in settings]
        accuracies = [epoch.test_acc for epoch in last]
        lines.append(
            [change, str(size), str(num_epochs), f"{mean(epoch.loss for epoch in last):.3f}"]
            + [f"{mean(epoch.train_acc for epoch in last):.4f}", f"{mean(accuracies):.4f}"]
            + [", ".join(f"{accuracy:.4f}" for accuracy in accuracies)]
        )
    return results.markdown(
        ["training", "image", "epochs", "loss", "training accuracy", "accuracy"]
        + ["from each seed"],
        lines,
    )


def commands_of(rows: Rows) -> list[list[str]]:
    """The commands that made the table."""
    return [
        ["--size", str(size), "--epochs", str(num_epochs)]
        + ["--changes", *dict.fromkeys(setting.change for setting in settings)]
        + ["--seeds", *map(str, sorted({setting.seed for setting in settings}))]
        for (size, num_epochs), settings in together(rows, "size", "num_epochs").items()
    ]


def picture_of(rows: Rows) -> Figure:
    alike = together(rows, "size", "num_epochs")
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    panels = figure.subplots(1, len(alike), sharey=True, squeeze=False)[0]
    for axes, ((size, num_epochs), settings) in zip(panels, alike.items()):
        for setting in settings:
            axes.plot(
                [epoch.epoch for epoch in rows[setting]],
                [epoch.test_acc for epoch in rows[setting]],
                "o-",
                markersize=2,
                linewidth=1,
                color=f"C{list(CHANGES).index(setting.change)}",
                label=setting.change,
            )
        axes.set(title=f"{size} pixels, {num_epochs} epochs", xlabel="epoch")
        axes.set_ylim(LEAST_DRAWN, None)
        axes.locator_params(axis="x", integer=True)
        axes.grid(alpha=0.3)
    unique = dict(zip(*reversed(panels[0].get_legend_handles_labels())))
    panels[0].legend(unique.values(), unique.keys(), fontsize="small", loc="lower right")
    panels[0].set_ylabel("accuracy on held-out images")
    return figure


def write(folder: Path, rows: Rows, device: torch.device) -> None:
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU"
    results.write(
        "longer_training",
        folder,
        f"Longer trainings of ResNet-18, by PyTorch {torch.__version__} on {where}",
        table_of(rows),
        [
            {**setting._asdict(), "epochs": [epoch._asdict() for epoch in rows[setting]]}
            for setting in ordered(rows)
        ],
        picture_of(rows),
        commands_of(rows),
    )


def parse() -> argparse.Namespace:
    options = results.parser(__doc__)
    options.add_argument("--changes", nargs="+", choices=list(CHANGES), default=list(CHANGES))
    options.add_argument("--size", type=int, default=96, help="of the images, in pixels")
    options.add_argument("--epochs", type=int, default=20)
    options.add_argument("--seeds", nargs="+", type=int, default=[1, 2], metavar="N")
    options.add_argument("--limit", type=int, help="training images; all by default")
    options.add_argument("--at-once", type=int, default=6, help="trainings at a time")
    options.add_argument("--device", default="cuda", help="PyTorch's name of it")
    return options.parse_args()


def main() -> None:
    options = parse()
    device = chosen_device(options.device, "--device cpu tries the script, with --limit 500")
    splits = training_images(options.limit)
    data = tuple(Images.of(split, options.size, device) for split in (splits.train, splits.test))
    settings = [
        Setting(change, options.size, options.epochs, seed)
        for change, seed in itertools.product(options.changes, options.seeds)
    ]
    rows = read(options.out / "longer_training.json")
    trainings = (train(setting, data) for setting in settings)
    for setting, epochs in in_turns(trainings, options.at_once):
        print(", ".join(map(str, setting)), epochs[-1], flush=True)
        rows[setting] = epochs
    write(options.out, rows, device)


if __name__ == "__main__":
    main()

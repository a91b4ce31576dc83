"""Train nets that come with the package, and keep their weights and their histories.

The PyTorch edition's net is trained in bfloat16, on a GPU of any kind or on a processor that has
instructions for it. As in exercises/tuning.py, the last 5,000 training images are held out, and
serve as the test. benchmarks/trained_nets.py then chooses between the seeds.

Trainings that --runs has already are not done again, and one that was stopped goes on. Those with
--epochs have folders of their own. One training leaves much of a GPU idle: --at-once trains several
at a time. On a processor, two calls at a time with OMP_NUM_THREADS=1 train faster than one after
the other with two threads.
"""

from __future__ import annotations

import argparse
from collections import Counter
from functools import partial
import itertools
import json
import os
from pathlib import Path
import shlex
import sys
import time
from typing import Callable, Generator, Iterator, NamedTuple, Sequence

from device_training import Images, Training, chosen_device, in_turns, training_images
from gluonbook.data.fashion_mnist import FashionMNIST
from gluonbook.pytorch import nets
from gluonbook.pytorch.weight_files import load_weights, save_weights
from gluonbook.recipes import SMALL, TUNED, Recipe
from gluonbook.runs.history import History
from gluonbook.system import files, machine
from gluonbook.system.ownership import versions
from gluonbook.training.epochs import Epoch
from small_image_nets import cifar_resnet20, wide_resnet
import torch
from torch import nn

import results


class Teaching(NamedTuple):
    """The last epochs of a training, in which other nets' answers take the place of the labels."""

    name: str
    """Of the trainings of these nets."""
    seeds: Sequence[int]
    epochs: int


class Pretraining(NamedTuple):
    """A net of the package, how it is trained, and the same net in PyTorch."""

    model: str
    """Its name for `gluonbook.get_model`."""
    recipe: Recipe
    build: Callable[[], nn.Module]
    erase: float = 0.0
    """The probability with which random erasing takes a rectangle out of a training image."""
    teaching: Teaching | None = None


WIDE_RESNET = SMALL["resnet"]._replace(title="Wide ResNet-28-2", num_epochs=80)
ERASED_WIDE_RESNET = Pretraining(
    "cifar_wideresnet28_2", WIDE_RESNET, partial(wide_resnet, 28, 2), erase=0.5
)

PRETRAININGS = {
    "densenet": Pretraining("densenet", TUNED["densenet"], partial(nets.densenet, edition="gluon")),
    "lenet": Pretraining("lenet", TUNED["lenet"], partial(nets.lenet, edition="gluon")),
    "resnet20": Pretraining("cifar_resnet20_v1", SMALL["resnet"], cifar_resnet20),
    "wideresnet": ERASED_WIDE_RESNET,
    "wideresnet-taught": ERASED_WIDE_RESNET._replace(
        teaching=Teaching("wideresnet", (2, 3), epochs=24)
    ),
    # For comparison; the package does not ship it.
    "wideresnet-whole-images": Pretraining(
        "cifar_wideresnet28_2",
        WIDE_RESNET._replace(title="Wide ResNet-28-2, whole images"),
        partial(wide_resnet, 28, 2),
    ),
}


def numbers_of(recipe: Recipe) -> dict[str, object]:
    """What a net is trained with, but for the images."""
    numbers = {"lr": recipe.lr, "batch_size": recipe.batch_size, "num_epochs": recipe.num_epochs}
    return {**numbers, **recipe.training()}


class Setting(NamedTuple):
    """What tells one training from the others."""

    name: str
    seed: int
    num_epochs: int | None
    """None for those of the recipe."""
    limit: int | None
    """Of training images; None for all."""

    @property
    def recipe(self) -> Recipe:
        recipe = PRETRAININGS[self.name].recipe
        return recipe if self.num_epochs is None else recipe._replace(num_epochs=self.num_epochs)

    @property
    def folder(self) -> str:
        epochs = "" if self.num_epochs is None else f"-epochs{self.num_epochs}"
        limit = "" if self.limit is None else f"-limit{self.limit}"
        return f"{self.name}{epochs}{limit}-seed{self.seed}"

    def command(self, device: torch.device) -> str:
        """What does this training alone."""
        epochs = [] if self.num_epochs is None else ["--epochs", str(self.num_epochs)]
        limit = [] if self.limit is None else ["--limit", str(self.limit)]
        return shlex.join(
            ["python", "benchmarks/pretrain.py", self.name, "--seeds", str(self.seed)]
            + ["--device", device.type, *epochs, *limit]
        )


def teachers(teaching: Teaching, runs: Path) -> Iterator[nn.Module]:
    """Their nets, with the weights that their trainings ended with."""
    for seed in teaching.seeds:
        setting = Setting(teaching.name, seed, None, None)
        weights = runs / setting.folder / "weights.safetensors"
        if not weights.exists():
            sys.exit(
                f"{weights}, of a teacher, is not there: run "
                f"`{setting.command(torch.device('cuda'))}`"
            )
        net = PRETRAININGS[teaching.name].build()
        load_weights(net, weights)
        yield net


def train(
    setting: Setting, data: FashionMNIST, images: tuple[Images, Images], folder: Path
) -> Generator[None, None, None]:
    """Train on the training images of `data`, testing on its test images; keep the training.

    `images` are both on the device, in the recipe's size. Give way after every few steps.
    """
    name, seed, *_ = setting
    pretraining, device = PRETRAININGS[name], images[0].pixels.device
    here = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    facts: dict[str, object] = {
        "seed": seed,
        "command": setting.command(device),
        "commit": results.commit(),
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine.describe(),
        "trained_on": here,
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "versions": {**versions(), "torch": torch.__version__},
        "dataset": data.release,
        "training_images": len(data.train.labels),
        "held_out_images": len(data.test.labels),
    }
    if pretraining.erase:
        facts["random_erasing"] = pretraining.erase
    numbers = {**numbers_of(setting.recipe), "size": setting.recipe.size}
    teaching = pretraining.teaching or Teaching("", (), epochs=0)
    if pretraining.teaching:
        facts["teaching"] = numbers["teaching"] = teaching._asdict()
    training = Training(
        setting.recipe,
        pretraining.build,
        *images,
        seed=seed,
        erase=pretraining.erase,
        teachers=[*teachers(teaching, folder.parent)],
        taught_epochs=teaching.epochs,
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "state.pt"
    by = json.dumps(numbers), pretraining.erase
    epochs = History()
    trained_on: Counter[str] = Counter()
    if path.exists():
        state = torch.load(path, map_location=device, weights_only=True)
        if state.get("by", by) != by:
            sys.exit(f"{path} is of a training by another recipe: delete it, or take its recipe")
        training.load_state(state)
        epochs.extend(Epoch(*figures) for figures in state["epochs"])
        trained_on.update(state["trained_on"])
    for reached in training.run(epochs):
        for epoch in reached[len(epochs) :]:
            print(f"{name}, seed {seed}: {epoch}", flush=True)
            epochs.append(epoch)
            trained_on[here] += 1
            figures = {"epochs": [*map(tuple, epochs)], "trained_on": dict(trained_on), "by": by}
            # In one file, or a stop could part them.
            with files.replacing(path) as scratch:
                torch.save({**training.state(), **figures}, scratch)
        yield
    save_weights(training.net.cpu(), folder / "weights.safetensors")
    epochs.write_csv(folder / "history.csv")
    if len(trained_on) > 1:  # it went on elsewhere: the number of epochs on each
        facts["trained_on"] = ", ".join(f"{where}: {n}" for where, n in trained_on.items())
    path.unlink()
    # Written last: by it the training is known as done.
    (folder / "training.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def parse() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=results.Help)
    options.add_argument(
        "names", nargs="+", choices=list(PRETRAININGS), metavar="NAME", help=", ".join(PRETRAININGS)
    )
    options.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3], metavar="N")
    options.add_argument("--epochs", type=int, metavar="N", help="the recipe's by default")
    options.add_argument("--at-once", type=int, default=1, metavar="N", help="trainings at a time")
    options.add_argument("--device", default="cuda", help="PyTorch's name of it")
    options.add_argument("--limit", type=int, help="training images; all by default")
    options.add_argument(
        "--runs", type=Path, default=Path("runs/pretrain"), help="folder for the trainings"
    )
    return options.parse_args()


def main() -> None:
    options = parse()
    device = chosen_device(options.device, "--device cpu trains on the processor")
    data = training_images(options.limit)
    settings = []
    for name, seed in dict.fromkeys(itertools.product(options.names, options.seeds)):
        setting = Setting(name, seed, options.epochs, options.limit)
        folder = options.runs / setting.folder
        if (folder / "training.json").exists():
            print(f"{folder} is there already")
        else:
            settings.append(setting)
    images = {
        size: (Images.of(data.train, size, device), Images.of(data.test, size, device))
        for size in {setting.recipe.size for setting in settings}
    }
    trainings = (
        train(setting, data, images[setting.recipe.size], options.runs / setting.folder)
        for setting in settings
    )
    for _ in in_turns(trainings, options.at_once):
        pass  # each has written its files


if __name__ == "__main__":
    main()

"""Train a net that comes with the package, and keep its weights and its history.

The PyTorch edition's net is trained in bfloat16, on a GPU of any kind or on a processor that has
instructions for it. As in exercises/tuning.py, the last 5,000 training images are held out, and
serve as the test. benchmarks/trained_nets.py then chooses between the seeds.

Trainings that --runs has already are not done again, and one that was stopped goes on. On a
processor, two calls at a time with OMP_NUM_THREADS=1 train faster than one after the other with
two threads.
"""

from __future__ import annotations

import argparse
from functools import partial
import json
import os
from pathlib import Path
import shlex
import time
from typing import Callable, NamedTuple

from device_training import Images, Training, chosen_device, training_images
from gluonbook.data.fashion_mnist import FashionMNIST
from gluonbook.pytorch import nets
from gluonbook.pytorch.weight_files import save_weights
from gluonbook.recipes import SMALL, TUNED, Recipe
from gluonbook.runs.history import History
from gluonbook.system import files, machine
from gluonbook.system.ownership import versions
from gluonbook.training.epochs import Epoch
from small_image_nets import cifar_resnet20, wide_resnet
import torch
from torch import nn

import results


class Pretraining(NamedTuple):
    """A net of the package, how it is trained, and the same net in PyTorch."""

    model: str
    """Its name for `gluonbook.get_model`."""
    recipe: Recipe
    build: Callable[[], nn.Module]


PRETRAININGS = {
    "densenet": Pretraining("densenet", TUNED["densenet"], partial(nets.densenet, edition="gluon")),
    "lenet": Pretraining("lenet", TUNED["lenet"], partial(nets.lenet, edition="gluon")),
    "resnet20": Pretraining("cifar_resnet20_v1", SMALL["resnet"], cifar_resnet20),
    "wideresnet": Pretraining(
        "cifar_wideresnet28_2",
        SMALL["resnet"]._replace(title="Wide ResNet-28-2", num_epochs=60),
        partial(wide_resnet, 28, 2),
    ),
}


def train(name: str, seed: int, data: FashionMNIST, device: torch.device, folder: Path) -> None:
    """Train `name` on the training images of `data`, testing on its test images; keep it."""
    _, recipe, build = PRETRAININGS[name]
    facts = {
        "seed": seed,
        "command": shlex.join(
            ["python", "benchmarks/pretrain.py", name, "--seeds", str(seed)]
            + ["--device", device.type]
        ),
        "commit": results.commit(),
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine.describe(),
        "trained_on": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "versions": {**versions(), "torch": torch.__version__},
        "dataset": data.release,
        "training_images": len(data.train.labels),
        "held_out_images": len(data.test.labels),
    }
    images = [Images.of(split, recipe.size, device) for split in (data.train, data.test)]
    training = Training(recipe, build, *images, seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "state.pt"
    epochs = History()
    if path.exists():
        state = torch.load(path, map_location=device, weights_only=True)
        training.load_state(state)
        epochs.extend(Epoch(*figures) for figures in state["epochs"])
    for reached in training.run(epochs):
        for epoch in reached[len(epochs) :]:
            print(f"{name}, seed {seed}: {epoch}", flush=True)
            epochs.append(epoch)
            # In one file, or a stop could part the two.
            with files.replacing(path) as scratch:
                torch.save({**training.state(), "epochs": [*map(tuple, epochs)]}, scratch)
    save_weights(training.net.cpu(), folder / "weights.safetensors")
    epochs.write_csv(folder / "history.csv")
    path.unlink()
    # Written last: by it the training is known as done.
    (folder / "training.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def parse() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=results.Help)
    options.add_argument("name", choices=list(PRETRAININGS))
    options.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3], metavar="N")
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
    for seed in options.seeds:
        folder = options.runs / f"{options.name}-seed{seed}"
        if (folder / "training.json").exists():
            print(f"{folder} is there already")
        else:
            train(options.name, seed, data, device, folder)


if __name__ == "__main__":
    main()

"""Choose between the trainings of benchmarks/pretrain.py, and write what the package ships.

Of each net the training that does best on the images that were held out is taken, whichever its
seed and its way: `wideresnet-taught` is a way to train `wideresnet`. Its weights are given to the
Gluon net and written in 16 bits, but for biases and batch norm's; only then is the net tested on
the test images, and its card written. The digest of the weights is printed, for
gluonbook/zoo/pretrained.py. The table shows all nets that have a card.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
import shutil
import sys
from typing import Any

from device_training import training_images
import gluonbook as gb
from gluonbook.data.fashion_mnist import Split, fashion_mnist
from gluonbook.plots.curves import draw_runs
from gluonbook.predictions import measures
from gluonbook.predictions.classifier import Classifier
from gluonbook.pytorch.transfer import load_weights, to_gluon
from gluonbook.runs.history import History
from gluonbook.summary import num_parameters
from gluonbook.system import files, machine
from gluonbook.system.mxnet_private import parameters_by_place
from gluonbook.system.ownership import versions
from gluonbook.zoo.pretrained import FOLDER, NUM_CLASSES
import numpy as np
from pretrain import PRETRAININGS, Pretraining, numbers_of
from safetensors.numpy import save

import results

#: Of each card in the results; the card itself stands beside the weights.
SHOWN = ("title", "model", "parameters", "size", "bytes", "seeds", "accuracy", "sha256")


def gluon_net(training: Path, pretraining: Pretraining) -> Any:
    """The Gluon net with the weights of a training, each as close as the shipped file holds it."""
    torch_net, net = pretraining.build(), gb.get_model(pretraining.model, NUM_CLASSES)
    load_weights(torch_net, training / "weights.safetensors")
    to_gluon(torch_net, net)
    for param in parameters_by_place(net).values():
        param.set_data(param.data().astype(stored_as(param.shape)).astype("float32"))
    return net


def stored_as(shape: tuple[int, ...]) -> str:
    """Running variances can be beyond what 16 bits hold, and are few."""
    return "float16" if len(shape) > 1 else "float32"


def tested(net: Any, size: int, split: Split) -> dict[str, Any]:
    """What the Gluon net reaches, in float32."""
    predicted = Classifier(net, size).probabilities(split.images).argmax(axis=1)
    return measures.report(measures.confusion(split.labels, predicted, NUM_CLASSES))


def trainings_of(name: str, runs: Path) -> dict[str, tuple[Pretraining, Path]]:
    """The trainings of a net that have ended, by their seeds, such as 2 and ``1-taught``."""
    return {
        path.parent.name.partition("-seed")[2] + other[len(name) :]: (pretraining, path.parent)
        for other, pretraining in PRETRAININGS.items()
        if net_of(other) == name
        for path in sorted(runs.glob(f"{other}-seed*/training.json"))
    }


def net_of(name: str) -> str:
    """The name of the net that is trained in the way of that name."""
    return name.partition("-")[0]


def ship(name: str, runs: Path) -> None:
    """Write weights, history and card of the best training of a net."""
    trainings = trainings_of(name, runs)
    if not trainings:
        sys.exit(f"{runs} has no training of {name} that has ended: run benchmarks/pretrain.py")
    nets = {seed: gluon_net(path, pretraining) for seed, (pretraining, path) in trainings.items()}
    of_held_out, of_test = (
        {seed: tested(net, trainings[seed][0].recipe.size, data.test) for seed, net in nets.items()}
        for data in (training_images(), fashion_mnist())
    )
    best = max(nets, key=lambda seed: of_held_out[seed]["accuracy"])
    pretraining, folder = trainings[best]
    recipe = pretraining.recipe
    content = save(
        {
            place: np.asarray(param.data().asnumpy(), stored_as(param.shape))
            for place, param in parameters_by_place(nets[best]).items()
        },
        {"format": "np", "written by": "gluonbook"},
    )
    digest = hashlib.sha256(content).hexdigest()
    FOLDER.mkdir(exist_ok=True)
    files.write(FOLDER / f"{name}.safetensors", content)
    shutil.copy(folder / "history.csv", FOLDER / f"{name}.csv")
    card = {
        "title": recipe.title,
        "model": pretraining.model,
        "parameters": num_parameters(nets[best]),
        "size": recipe.size,
        "sha256": digest,
        "bytes": len(content),
        "recipe": numbers_of(recipe),
        "training": json.loads((folder / "training.json").read_text()),
        "shipped": best,
        "seeds": {
            seed: {
                "held_out": of_held_out[seed]["accuracy"],
                "test": of_test[seed]["accuracy"],
            }
            for seed in sorted(nets)
        },
        "tested_on": {"machine": machine.describe(), "versions": versions()},
        **of_test[best],
    }
    files.write(FOLDER / f"{name}.json", json.dumps(card, indent=1) + "\n")
    print(f"{name}: seed {best}, SHA-256 {digest}")


def table_of(cards: dict[str, dict]) -> str:
    lines = []
    for name, card in cards.items():
        seeds = card["seeds"]
        lines.append(
            [f"{card['title']}, `{name}`", f"{card['parameters']:,}", f"{card['bytes'] / 1e3:,.0f}"]
            + [str(card["size"]), str(card["recipe"]["num_epochs"]), ", ".join(seeds)]
            + [
                ", ".join(f"{seed[key]:.4f}" for seed in seeds.values())
                for key in ("held_out", "test")
            ]
            + [f"seed {card['shipped']}: {card['accuracy']:.4f}"]
        )
    return results.markdown(
        ["net", "parameters", "kB", "image", "epochs", "seeds", "held-out images", "test images"]
        + ["shipped"],
        lines,
    )


def main() -> None:
    options = results.parser(__doc__)
    options.add_argument(
        "names", nargs="*", choices=[[], *dict.fromkeys(map(net_of, PRETRAININGS))], metavar="NAME"
    )
    options.add_argument("--runs", type=Path, default=Path("runs/pretrain"), help="the trainings")
    chosen: argparse.Namespace = options.parse_args()
    for name in chosen.names:
        ship(name, chosen.runs)
    cards = {
        name: json.loads(path.read_text())
        for name in PRETRAININGS
        if (path := FOLDER / f"{name}.json").exists()
    }
    results.write(
        "trained_nets",
        chosen.out,
        "The nets that come trained, and the other seeds of their trainings",
        table_of(cards),
        [{"name": name, **{key: card[key] for key in SHOWN}} for name, card in cards.items()],
        draw_runs(
            {card["title"]: [History.read(FOLDER / f"{name}.csv")] for name, card in cards.items()}
        ),
        commands=[[name] for name in cards],
    )


if __name__ == "__main__":
    main()

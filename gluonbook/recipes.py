"""One row per section of the book: the net and the numbers it is trained with.

Every learning rate, batch size, image size and number of epochs stands here and nowhere else.
All sections of the book train with plain stochastic gradient descent from Xavier's uniform initial
weights.
"""

from __future__ import annotations

from functools import partial
from typing import Callable, NamedTuple

from mxnet.gluon import nn

from . import nets
from .nets.edition import follows_pytorch
from .zoo import get_model, list_models


class Tuning(NamedTuple):
    """What a training has beyond plain gradient descent; by default nothing."""

    momentum: float = 0.0
    weight_decay: float = 0.0
    """Of the weights of convolutions and dense layers, and of nothing else."""
    warm_up: float | None = None
    """The share of the steps in which the learning rate rises in a line from 0. It then falls to 0
    as half a period of the cosine, at the latest in the last step. With None it stays as it is."""
    smoothing: float = 0.0
    """Label smoothing: the probability that is spread evenly over all classes."""
    augment: bool = False
    """Flip and shift the training images at random."""


class Recipe(NamedTuple):
    """How a section trains its net on Fashion-MNIST."""

    section: str
    title: str
    build: Callable[..., nn.HybridSequential]
    editions_differ: bool
    lr: float
    batch_size: int
    size: int
    """Height and width of the images, in pixels."""
    num_epochs: int = 5
    optimizer: str = "sgd"
    """MXNet's name of it; its settings but the learning rate are MXNet's defaults."""
    initializer: str = "Xavier"
    """MXNet's name of it, with MXNet's default settings."""
    tuning: Tuning = Tuning()

    def net(self, edition: str = "gluon") -> nn.HybridSequential:
        """The section's net, not initialized, as the Gluon or the PyTorch text has it.

        Raises
        ------
        ValueError
            If `edition` is neither ``"gluon"`` nor ``"pytorch"``.
        """
        follows_pytorch(edition)
        return self.build(edition=edition) if self.editions_differ else self.build()

    def training(self) -> dict[str, object]:
        """What a run is trained with besides its options, for its configuration."""
        of = {"optimizer": self.optimizer, "initializer": self.initializer}
        return {**of, "tuning": self.tuning._asdict()}


RECIPES = {
    recipe.section: recipe
    for recipe in (
        Recipe("lenet", "LeNet", nets.lenet, True, 0.9, 256, 28),
        Recipe("alexnet", "AlexNet", nets.alexnet, True, 0.01, 128, 224),
        Recipe("vgg", "VGG-11, a quarter of the channels", nets.vgg, False, 0.05, 128, 224),
        Recipe("nin", "NiN", nets.nin, False, 0.1, 128, 224),
        Recipe("googlenet", "GoogLeNet", nets.googlenet, True, 0.1, 128, 96),
        Recipe("resnet", "ResNet-18", nets.resnet, False, 0.05, 256, 96),
        Recipe("densenet", "DenseNet", nets.densenet, True, 0.1, 256, 96),
    )
}

#: A second recipe for the sections whose own lets the net learn from some seeds only.
STABLE = {
    "nin": RECIPES["nin"]._replace(lr=0.0005, optimizer="adam", initializer="MSRAPrelu"),
}

#: A recipe for better accuracy: what helped in exercises/tuning.py, where the learning rate was
#: 0.05 for batches of half the size. Of LeNet an epoch takes seconds, so it has more of them.
TUNED = {
    "lenet": RECIPES["lenet"]._replace(
        lr=0.2, batch_size=128, num_epochs=60, tuning=Tuning(momentum=0.9, warm_up=0.1)
    ),
    **{
        name: RECIPES[name]._replace(
            lr=0.1,
            batch_size=128,
            num_epochs=10,
            tuning=Tuning(momentum=0.9, warm_up=0.1, smoothing=0.1),
        )
        for name in ("resnet", "densenet")
    },
}

#: A recipe for more epochs: what helped in benchmarks/longer_training.py.
LONG = {
    "resnet": TUNED["resnet"]._replace(
        num_epochs=20,
        tuning=TUNED["resnet"].tuning._replace(weight_decay=5e-4, augment=True),
    ),
}

#: The paper's net for small images, which takes less work for each image and so sees more of them.
SMALL = {
    "resnet": LONG["resnet"]._replace(
        title="ResNet-20",
        build=partial(get_model, "cifar_resnet20_v1", num_classes=10),
        size=28,
        num_epochs=50,
    ),
}

#: Options with which each section learns in at most about three minutes on two cores.
QUICK_LOOKS = {
    "lenet": "--limit 6000 --epochs 30",
    "alexnet": "--limit 3000 --size 96 --batch-size 16 --lr 0.02 --epochs 3",
    "vgg": "--limit 4000 --size 64 --batch-size 32 --epochs 3",
    "nin": "--recipe stable --limit 4000 --size 96 --batch-size 32 --epochs 3",
    "googlenet": "--limit 4000 --size 64 --batch-size 32 --epochs 4",
    "resnet": "--limit 6000 --epochs 3",
    "densenet": "--limit 4000 --size 48 --batch-size 64 --epochs 3",
}


#: All recipes, by the name that ``--recipe`` takes.
NAMED = {"book": RECIPES, "stable": STABLE, "tuned": TUNED, "long": LONG, "small": SMALL}


def recipes_of(name: str) -> dict[str, Recipe]:
    """The recipes by which a net can be trained: ``"book"`` and, where there are others, these.

    A net that is no section's has one, with numbers that serve to compare it: the ten classes of
    Fashion-MNIST, and images of 96×96 as the section on ResNet has; VGG has 224×224, which its
    dense layers are made for.

    Raises
    ------
    UnknownModel
        If no net has that name.
    """
    if name in RECIPES:
        return {each: recipes[name] for each, recipes in NAMED.items() if name in recipes}
    if name not in list_models():
        get_model(name)  # which says so
    size = 224 if name.startswith("vgg") else 96
    build = partial(get_model, name, num_classes=10)
    own = RECIPES["resnet"]._replace(section=name, title=name, build=build, size=size)
    return {"book": own}


def recipe_of(name: str, recipe: str = "book") -> Recipe:
    """One of `recipes_of` a net.

    Raises
    ------
    UnknownModel
        As `recipes_of` does.
    KeyError
        If the net has no such recipe.
    """
    return recipes_of(name)[recipe]

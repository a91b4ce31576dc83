"""One row per section of the book: the net and the numbers it is trained with.

Every learning rate, batch size, image size and number of epochs stands here and nowhere else.
All sections train with plain stochastic gradient descent from Xavier's uniform initial weights.
"""

from __future__ import annotations

from typing import Callable, NamedTuple

from mxnet.gluon import nn

from . import nets
from .nets.edition import follows_pytorch

OPTIMIZER = "sgd"
INITIALIZER = "Xavier"


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

    def net(self, edition: str = "gluon") -> nn.HybridSequential:
        """The section's net, not initialized, as the Gluon or the PyTorch text has it.

        Raises
        ------
        ValueError
            If `edition` is neither ``"gluon"`` nor ``"pytorch"``.
        """
        follows_pytorch(edition)
        return self.build(edition=edition) if self.editions_differ else self.build()


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

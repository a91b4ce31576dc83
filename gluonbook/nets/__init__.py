"""The seven nets of the book's modern-CNN sections, one file per section.

All other nets are in `gluonbook.zoo`, and `gluonbook.get_model` gives each by its name.
"""

from ..system.numpy_mode import refuse_numpy_mode_in
from .alexnet import alexnet
from .auxiliary import AuxiliaryLoss
from .densenet import DenseBlock, conv_block, densenet, transition_block
from .googlenet import Inception, googlenet
from .lenet import lenet
from .nin import nin, nin_block
from .resnet import Residual, resnet, resnet18, resnet_block
from .vgg import vgg, vgg_block

# Not in the classes, whose code is that of the chapters. The other blocks work in that mode too.
for _block in (DenseBlock, Inception, Residual):
    refuse_numpy_mode_in(_block)

__all__ = [
    "AuxiliaryLoss",
    "DenseBlock",
    "Inception",
    "Residual",
    "alexnet",
    "conv_block",
    "densenet",
    "googlenet",
    "lenet",
    "nin",
    "nin_block",
    "resnet",
    "resnet18",
    "resnet_block",
    "transition_block",
    "vgg",
    "vgg_block",
]

"""The seven nets in PyTorch: same file names, same names inside, as in `gluonbook.nets`."""

from .alexnet import alexnet
from .densenet import DenseBlock, conv_block, densenet, transition_block
from .googlenet import Inception, googlenet
from .lenet import lenet
from .nin import nin, nin_block
from .resnet import Residual, resnet, resnet_block
from .vgg import vgg, vgg_block

__all__ = [
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
    "resnet_block",
    "transition_block",
    "vgg",
    "vgg_block",
]

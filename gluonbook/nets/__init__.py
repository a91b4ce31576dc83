"""The seven nets of the book's modern-CNN sections, one file per section.

The papers' families, such as ResNet-18 to ResNet-152, are in files beside them, and are had by name
from `gluonbook.get_model`.
"""

from .alexnet import alexnet
from .auxiliary import AuxiliaryLoss
from .bninception import bninception
from .densenet import DenseBlock, conv_block, densenet, transition_block
from .googlenet import Inception, googlenet
from .inceptionresnet import inceptionresnetv1, inceptionresnetv2
from .inceptionv3 import inceptionv3
from .inceptionv4 import inceptionv4
from .lenet import lenet
from .nin import nin, nin_block
from .resnet import Residual, resnet, resnet18, resnet_block
from .vgg import vgg, vgg_block

__all__ = [
    "AuxiliaryLoss",
    "DenseBlock",
    "Inception",
    "Residual",
    "alexnet",
    "bninception",
    "conv_block",
    "densenet",
    "googlenet",
    "inceptionresnetv1",
    "inceptionresnetv2",
    "inceptionv3",
    "inceptionv4",
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

"""The modern-CNN sections of *Dive into Deep Learning*, on Apache MXNet Gluon.

``import gluonbook as gb`` gives every name that the book's code calls as ``gb.X``.
"""

from . import runtime  # isort: skip  (MXNet can be imported only after it)
from ._version import __version__

if runtime.failure is None:
    from .checkpoint import Checkpoint
    from .device import try_all_gpus, try_gpu
    from .fashion_mnist import load_data_fashion_mnist
    from .history import History
    from .nets import (
        DenseBlock,
        Inception,
        Residual,
        alexnet,
        conv_block,
        densenet,
        googlenet,
        lenet,
        nin,
        nin_block,
        resnet,
        resnet18,
        resnet_block,
        transition_block,
        vgg,
        vgg_block,
    )
    from .training import accuracy, evaluate_accuracy, train, train_ch5

__all__ = [
    "Checkpoint",
    "DenseBlock",
    "History",
    "Inception",
    "Residual",
    "__version__",
    "accuracy",
    "alexnet",
    "conv_block",
    "densenet",
    "evaluate_accuracy",
    "googlenet",
    "lenet",
    "load_data_fashion_mnist",
    "nin",
    "nin_block",
    "resnet",
    "resnet18",
    "resnet_block",
    "runtime",
    "train",
    "train_ch5",
    "transition_block",
    "try_all_gpus",
    "try_gpu",
    "vgg",
    "vgg_block",
]

"""The PyTorch edition of the book's sections, to hold the Gluon nets against.

``import gluonbook.pytorch as d2l`` gives the names that the edition's code calls as ``d2l.X``.
These are the only rooms that import torch; without it the rest of gluonbook works.
"""

from ..system.errors import Failure


class TorchUnavailable(Failure, ImportError):
    """PyTorch is not installed."""


try:
    import torch  # noqa: F401
except ImportError as error:
    raise TorchUnavailable(
        "the comparison needs PyTorch: run `pip install 'gluonbook[pytorch]'`, in a clone "
        "`pip install -e '.[pytorch]'`"
    ) from error

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
    resnet_block,
    transition_block,
    vgg,
    vgg_block,
)
from .training import (
    evaluate_accuracy_gpu,
    load_data_fashion_mnist,
    train_ch6,
    try_all_gpus,
    try_gpu,
)

__all__ = [
    "DenseBlock",
    "Inception",
    "Residual",
    "TorchUnavailable",
    "alexnet",
    "conv_block",
    "densenet",
    "evaluate_accuracy_gpu",
    "googlenet",
    "lenet",
    "load_data_fashion_mnist",
    "nin",
    "nin_block",
    "resnet",
    "resnet_block",
    "train_ch6",
    "transition_block",
    "try_all_gpus",
    "try_gpu",
    "vgg",
    "vgg_block",
]

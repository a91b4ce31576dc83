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

from . import nets
from .nets import *  # noqa: F403
from .training import (
    evaluate_accuracy_gpu,
    load_data_fashion_mnist,
    train_ch6,
    try_all_gpus,
    try_gpu,
)

__all__ = [
    "TorchUnavailable",
    "evaluate_accuracy_gpu",
    "load_data_fashion_mnist",
    "train_ch6",
    "try_all_gpus",
    "try_gpu",
]
__all__ += nets.__all__

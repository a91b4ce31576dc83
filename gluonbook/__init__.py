"""The modern-CNN sections of *Dive into Deep Learning*, on Apache MXNet Gluon.

``import gluonbook as gb`` gives every name that the book's code calls as ``gb.X``.

MXNet 1.9.1 needs help on today's machines, so the import also

- sets ``OMP_NUM_THREADS`` to the number of cores, of which MXNet otherwise uses half;
  ``MXNET_CPU_PARALLEL_SIZE``, so that copies do not take threads from the operators; and
  ``MXNET_CPU_TEMP_COPY`` to 1, which saves memory. What you have set yourself stays;
- gives MXNet a NumPy of its own, with the names that today's has no more, and puts right what
  today's would compute otherwise; gives Python 3.12 and later a ``distutils.version``, and onnx a
  ``mapping``; other packages see NumPy as it is;
- loads the CUDA libraries that came as wheels, where ``mxnet-cu112`` is installed; puts functions
  of ours before four of MXNet's that cannot run on a GPU it has no code for; and, if there is such
  a GPU, sets ``NVIDIA_TF32_OVERRIDE`` to 0;
- imports MXNet, and lets it import SciPy only once it needs it;
- gives forked processes, such as the workers of a ``DataLoader``, one thread each;
- replaces MXNet's hook at the end of the process, which would print an error a second time;
- replaces the function by which MXNet gives NumPy's memory back, which Python takes away before the
  last arrays are freed;
- starts a thread that lets OpenMP's threads sleep while other processes need the cores, unless
  ``OMP_WAIT_POLICY`` or ``GOMP_SPINCOUNT`` is set;
- lets MXNet's own ``FashionMNIST`` class read the files that everybody has;
- where MXNet cannot be imported, lets a script end with one sentence in place of a traceback.

`gluonbook.system.runtime` does most of it.
"""

from __future__ import annotations

import importlib

from ._version import __version__
from .system.errors import one_line_if_interrupted

with one_line_if_interrupted():
    from .system import runtime  # isort: skip  (MXNet can be imported only after it)

    if runtime.failure is None:
        from .book import accuracy, evaluate_accuracy, train, train_ch3, train_ch5
        from .data import mxnet_class  # noqa: F401  (MXNet's own class then reads the same files)
        from .data.fashion_mnist import load_data_fashion_mnist
        from .from_scratch import Benchmark, corr2d, sgd
        from .gpu import stand_ins
        from .gpu.device import try_all_gpus, try_gpu
        from .nets import (
            AuxiliaryLoss,
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
        from .runs.checkpoint import Checkpoint
        from .runs.history import History
        from .zoo import get_model, list_models

        stand_ins.install()

#: Names that need matplotlib, which is slow to import: only once one of them is used.
_PLOTS = (
    "get_fashion_mnist_labels",
    "plt",
    "semilogy",
    "set_figsize",
    "show_fashion_mnist",
    "use_svg_display",
)


def __getattr__(name: str) -> object:
    if name in _PLOTS:
        return getattr(importlib.import_module(".plots.book", __name__), name)
    if name == "utils":
        return importlib.import_module(".utils", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


__all__ = [
    "AuxiliaryLoss",
    "Benchmark",
    "Checkpoint",
    "DenseBlock",
    "History",
    "Inception",
    "Residual",
    "__version__",
    "accuracy",
    "alexnet",
    "conv_block",
    "corr2d",
    "densenet",
    "evaluate_accuracy",
    "get_fashion_mnist_labels",
    "get_model",
    "googlenet",
    "lenet",
    "list_models",
    "load_data_fashion_mnist",
    "nin",
    "nin_block",
    "plt",
    "resnet",
    "resnet18",
    "resnet_block",
    "runtime",
    "semilogy",
    "set_figsize",
    "sgd",
    "show_fashion_mnist",
    "train",
    "train_ch3",
    "train_ch5",
    "transition_block",
    "try_all_gpus",
    "try_gpu",
    "use_svg_display",
    "utils",
    "vgg",
    "vgg_block",
]

"""The PyTorch edition of the book's sections, to hold the Gluon nets against.

These are the only rooms that import torch; without it the rest of gluonbook works.
"""

from ..runtime import Failure


class TorchUnavailable(Failure, ImportError):
    """PyTorch is not installed."""


try:
    import torch  # noqa: F401
except ImportError as error:
    raise TorchUnavailable(
        "the comparison needs PyTorch: run `pip install 'gluonbook[pytorch]'`, in a clone "
        "`pip install -e '.[pytorch]'`"
    ) from error

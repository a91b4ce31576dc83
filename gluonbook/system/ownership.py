"""Which files a command may replace: those that say that this package wrote them.

A run's folder is this package's own. Elsewhere, a file that stands where a command is to write may
be a user's. So what a command writes says who wrote it, in a place that its format has for that: a
PNG's text ``Software``, an ONNX file's producer, `versions` in JSON, the closing line of Markdown,
the header of a history.
"""

from __future__ import annotations

import os
from pathlib import Path
import re
import stat
from typing import Iterable

import mxnet as mx
import numpy as np

from .._version import __version__
from .errors import Failure

#: In a picture, and in the closing line of Markdown.
SOFTWARE = f"gluonbook {__version__}"
#: Bytes that are read of a file. What a command writes as text is shorter.
_READ = 2**20
_SAYS_SO = re.compile(
    rb"\A\x89PNG\r\n\x1a\n.{,200}tEXtSoftware\0gluonbook "
    rb"|\A\x08.\x12\x09gluonbook"  # the version of the format, then the producer
    rb'|\A[\[{].*"versions": \{\s*"gluonbook": "'
    rb"|\n`python [^\n]*, gluonbook [^\n]*\n\Z"
    rb"|\Aepoch,loss,train_acc,test_acc,seconds\r\n",
    re.DOTALL,
)


def versions() -> dict[str, str]:
    """What computed a result, for its JSON."""
    return {"gluonbook": __version__, "mxnet": mx.__version__, "numpy": np.__version__}


class NotOurs(Failure):
    """A file of a user's stands where a command is to write."""


def refuse_foreign(paths: Iterable[str | os.PathLike[str]], option: str = "--out") -> None:
    """Raise `NotOurs` if one of these exists, unless it says that this package wrote it.

    A command calls it before it computes anything.
    """
    for path in paths:
        if os.path.lexists(path) and not _is_ours(Path(path)):
            raise NotOurs(
                f"{path} is there already, and does not say that gluonbook wrote it: move it, or "
                f"name another place with {option}"
            )


def _is_ours(path: Path) -> bool:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a folder, a device, or a pipe, which waits
            return False
        with open(path, "rb") as file:
            return _SAYS_SO.search(file.read(_READ)) is not None
    except OSError:
        return False

"""The sentences of a chapter script: one for each error, and the command that resumes a run."""

from __future__ import annotations

import os
from pathlib import Path
import re
import shlex
import sys

import mxnet as mx

from ..distributed.environment import launched_by
from ..system.errors import Failure, last_line, sentence


def describe(error: BaseException) -> str | None:
    """What to tell a user about `error`, or None if it is a defect of this package."""
    if isinstance(error, KeyboardInterrupt):
        return str(error) or "interrupted"
    if lacks_memory(error):
        return f"not enough memory ({last_line(error)}): try a smaller --batch-size or --size"
    if is_too_small(error):
        return (
            "the images are too small for this net: a pooling or convolution is wider than what "
            "reaches it; choose a greater --size"
        )
    if isinstance(error, mx.base.MXNetError):
        return f"MXNet stopped: {last_line(error)}"
    if isinstance(error, OSError) and not isinstance(error, Failure):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return sentence(error)


def lacks_memory(error: BaseException) -> bool:
    """Whether `error` says that the system, NumPy or MXNet ran out of memory."""
    return isinstance(error, MemoryError) or (
        isinstance(error, mx.base.MXNetError)
        and re.search(r"allocate|out of memory|bad_alloc", str(error)) is not None
    )


def is_too_small(error: BaseException) -> bool:
    """Whether a window of the net is wider than the image that reaches it."""
    return (
        isinstance(error, (mx.base.MXNetError, ValueError))
        and re.search("kernel size .*exceed", str(error)) is not None
    )


def resume_command(folder: Path) -> str:
    """The shell command that resumes the run, relative to the current folder."""
    command = shlex.join([_shorter(sys.argv[0]), "--resume", str(folder)])
    return f"{launched_by() or shlex.quote(_shorter(sys.executable))} {command}"


def _shorter(path: str) -> str:
    """`path` as seen from the working folder, if that is shorter and still the path of a file."""
    relative = os.path.relpath(path)
    return relative if os.sep in relative and len(relative) < len(path) else path

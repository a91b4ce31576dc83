"""What to tell a user about an error, whoever raised it: one sentence each."""

from __future__ import annotations

import os
import re
from typing import Sequence

import mxnet as mx

from .errors import Failure, last_line, sentence


def describe(
    error: BaseException, options: Sequence[str] = ("--batch-size", "--size")
) -> str | None:
    """What to tell a user about `error`, or None if it is a defect of this package.

    `options` are those of the command by which it needs less memory.
    """
    if lacks_memory(error):
        advice = f"try a smaller {' or '.join(options)}" if options else "end other programs"
        return f"not enough memory ({last_line(error)}): {advice}"
    mxnets = isinstance(error, mx.base.MXNetError)
    if (mxnets or isinstance(error, ValueError)) and re.search("kernel size .*exceed", str(error)):
        return (
            "the images are too small for this net: a pooling or convolution is wider than what "
            f"reaches it{'; choose a greater --size' if '--size' in options else ''}"
        )
    if mxnets and re.search(r"(?s)concat\.cc.*Incompatible input shape", str(error)):
        return (
            "this net cannot take images of this size: paths that it joins end in different sizes"
            f"{'; choose another --size' if '--size' in options else ''}"
        )
    if mxnets:
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


def shorter(path: str) -> str:
    """`path` as seen from the working folder, if that is shorter and still the path of a file."""
    relative = os.path.relpath(path)
    return relative if os.sep in relative and len(relative) < len(path) else path

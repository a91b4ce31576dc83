"""What a user is told of an error."""

from __future__ import annotations

import os
import re

from gluonbook.system import messages
from gluonbook.system.errors import Failure
import mxnet as mx
import pytest


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            MemoryError("Unable to allocate 3 GiB"),
            r"not enough memory \(Unable.*smaller --batch-size",
        ),
        (KeyboardInterrupt(), "interrupted"),
        (OSError(28, "No space left on device", "runs/x"), "runs/x: No space left on device"),
        (
            mx.base.MXNetError("Traceback\n  File\nMXNetError: Failed to allocate CPU Memory"),
            r"not enough memory \(MXNetError: Failed to.*smaller --batch-size",
        ),
        (mx.base.MXNetError("Traceback\n  File\nMXNetError: a fault"), "MXNet stopped: .*a fault"),
        (
            mx.base.MXNetError(
                'Traceback\n  File "../src/operator/nn/concat.cc", line 66\nMXNetError: '
                "Check failed: Incompatible input shape: expected [1,-1,5,5], got [1,320,4,4]"
            ),
            "this net cannot take images of this size: .*; choose another --size",
        ),
        (Failure("a sentence"), "a sentence"),
    ],
)
def test_errors_are_told_in_one_sentence(error, told):
    assert re.fullmatch(f"{told}.*", messages.describe(error))


def test_a_defect_keeps_its_traceback():
    assert messages.describe(TypeError("a defect")) is None


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/home/reader/book/.venv/bin/python", ".venv/bin/python"),
        ("/usr/bin/python3", "/usr/bin/python3"),
        ("chapters/lenet.py", "chapters/lenet.py"),
        ("/home/reader/book/python", "/home/reader/book/python"),  # alone, it is looked for in PATH
    ],
)
def test_a_command_names_files_as_seen_from_here(path, told, monkeypatch):
    monkeypatch.setattr(os, "getcwd", lambda: "/home/reader/book")
    assert messages.shorter(path) == told

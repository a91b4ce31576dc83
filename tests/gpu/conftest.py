"""The kernels' own source, compiled for the CPU, in place of a GPU."""

from __future__ import annotations

import ctypes
import shutil
import subprocess

from gluonbook.gpu import kernels
from gluonbook.system import mxnet_private
from mxnet import nd
import numpy as np
import pytest

#: What CUDA's words mean where one thread is a grid of one block.
CUDA = """
#include <math.h>
#define __global__
#define __device__ static
struct { int x = 0; } blockIdx, threadIdx;
struct { int x = 1; } blockDim, gridDim;
"""
TYPES = {
    "int": ctypes.c_int,
    "float": ctypes.c_float,
    "int64_t": ctypes.c_int64,
}


class OnTheCpu:
    """Launches the kernels as C functions; arrays of MXNet's are given by their addresses."""

    def __init__(self, library):
        self._library = library
        self._signatures = kernels.signatures(kernels.SOURCE.read_text())
        self.launched = set()

    def launch(self, name, n, *arguments):
        self.launched.add(name)
        given = []
        types = [text.strip() for text in self._signatures[name].split(",")]
        assert len(types) == len(arguments) + 1, name
        for text, value in zip(types, [*arguments, n]):
            if "*" in text:
                kind = text.replace("const ", "").split(" ")[0]
                assert (
                    str(value.dtype.__name__)
                    == {
                        "float": "float32",
                        "int": "int32",
                        "uint8_t": "uint8",
                    }[kind]
                ), (name, text, value.dtype)
                given.append(address(value))
            else:
                given.append(TYPES[text.split(" ")[0]](value))
        refuse_shared_memory(arguments)
        getattr(self._library, name)(*given)


def refuse_shared_memory(arguments):
    """On a GPU an array that is written may share none: MXNet's engine would wait for itself."""
    arrays = [each for each in arguments if isinstance(each, nd.NDArray)]
    spans = [(address(each).value, each.size * np.dtype(each.dtype).itemsize) for each in arrays]
    for i, (start, length) in enumerate(spans):
        for other, other_length in spans[i + 1 :]:
            assert start + length <= other or other + other_length <= start


def address(array: nd.NDArray) -> ctypes.c_void_p:
    nd.waitall()
    pointer = ctypes.c_void_p()
    assert mxnet_private.library().MXNDArrayGetData(array.handle, ctypes.byref(pointer)) == 0
    return pointer


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """The library that g++ makes of ``kernels.cu``."""
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    folder = tmp_path_factory.mktemp("kernels")
    source = folder / "kernels.cpp"
    source.write_text(CUDA + kernels.SOURCE.read_text())
    flags = ["-O2", "-shared", "-fPIC", "-Wall", "-Werror", "-Wno-sign-compare"]
    subprocess.run(["g++", *flags, "-o", folder / "kernels.so", source], check=True)
    return ctypes.CDLL(str(folder / "kernels.so"))


@pytest.fixture
def launcher(compiled):
    return OnTheCpu(compiled)

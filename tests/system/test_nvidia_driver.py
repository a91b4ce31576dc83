"""The driver's answers, from a library of C functions that this test stands in for."""

from __future__ import annotations

import os

from gluonbook.gpu import device
from gluonbook.system import nvidia_driver
from gluonbook.system.nvidia_driver import Driver, Gpu
import mxnet as mx
import pytest

H100, A100 = ("NVIDIA H100", 9, 0), ("NVIDIA A100", 8, 0)


class Library:
    """The functions of libcuda, for GPUs given as (name, major, minor)."""

    def __init__(self, *gpus, code=0):
        self.gpus, self.code = gpus, code

    def cuDriverGetVersion(self, version):
        version._obj.value = 12040
        return 0

    def cuInit(self, flags):
        return self.code

    def cuDeviceGetCount(self, count):
        count._obj.value = len(self.gpus)
        return 0

    def cuDeviceGetName(self, name, length, i):
        name.value = self.gpus[i][0].encode()

    def cuDeviceGetAttribute(self, value, attribute, i):
        value._obj.value = self.gpus[i][attribute - 74]  # 75: major, 76: minor


@pytest.fixture
def driver(monkeypatch):
    def install(*gpus, code=0):
        library = Library(*gpus, code=code)
        monkeypatch.setattr(nvidia_driver.ctypes, "CDLL", lambda name: library)

    return install


def test_the_gpus_are_described(driver):
    driver(H100, A100)
    gpus = [Gpu("NVIDIA H100", (9, 0)), Gpu("NVIDIA A100", (8, 0))]
    assert nvidia_driver.ask() == Driver("12.4", 0, gpus)
    assert [gpu.has_code for gpu in gpus] == [False, True]


def test_a_driver_that_refuses(driver):
    driver(H100, code=100)
    assert nvidia_driver.ask() == Driver("12.4", 100, [])


def test_there_is_no_driver(monkeypatch):
    def fail(name):
        raise OSError(name)

    monkeypatch.setattr(nvidia_driver.ctypes, "CDLL", fail)
    assert nvidia_driver.ask() is None


@pytest.fixture
def asked_anew():
    nvidia_driver.lacks_code.cache_clear()
    yield
    nvidia_driver.lacks_code.cache_clear()


@pytest.mark.parametrize("fault", [None, "the output of a conv differs"])
def test_one_of_an_unknown_architecture_is_held_against_the_cpu(
    fault, driver, asked_anew, monkeypatch
):
    def fail(*args, **kwargs):
        pytest.fail("a kernel of MXNet's was started")

    driver(H100)
    monkeypatch.setattr(device.nd, "ones", fail)
    monkeypatch.setattr(device.check, "fault", lambda ctx: fault)
    told = device._fault.__wrapped__(0)
    if fault is None:
        assert told is None
    else:
        assert told.startswith("it is the NVIDIA H100, compute capability 9.0, this MXNet has no")
        assert told.endswith(fault)


def test_one_of_a_known_architecture_is_tried(driver, asked_anew, monkeypatch):
    driver(A100)
    monkeypatch.setattr(device.mx, "gpu", lambda i: mx.cpu(i))
    assert device._fault.__wrapped__(0) is None


@pytest.mark.parametrize(
    ("gpus", "expected"), [([H100], "0"), ([A100, H100], "0"), ([A100], None), ([], None)]
)
def test_full_float32_where_a_gpu_has_no_code(gpus, expected, driver, monkeypatch):
    driver(*gpus)
    monkeypatch.setenv(nvidia_driver.TF32, "x")  # so that it is put back
    monkeypatch.delenv(nvidia_driver.TF32)
    nvidia_driver.keep_float32()
    assert os.environ.get("NVIDIA_TF32_OVERRIDE") == expected
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")  # a user's own
    nvidia_driver.keep_float32()
    assert os.environ["NVIDIA_TF32_OVERRIDE"] == "1"


@pytest.mark.parametrize(("gpu", "expected"), [(H100, True), (A100, False)])
def test_which_devices_lack_code(gpu, expected, driver, asked_anew):
    driver(gpu)
    assert nvidia_driver.lacks_code(mx.gpu(0)) is expected
    assert not nvidia_driver.lacks_code(mx.gpu(1)) and not nvidia_driver.lacks_code(mx.cpu())


def test_the_names_of_the_gpus_among_devices(driver):
    driver(H100, A100)
    assert nvidia_driver.names_of([mx.cpu(), mx.gpu(1)]) == ["NVIDIA A100"]
    assert nvidia_driver.names_of([mx.cpu()]) == []

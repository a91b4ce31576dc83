"""The driver's answers, from a library of C functions that this test stands in for."""

from __future__ import annotations

from gluonbook.system import device, nvidia_driver
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


def test_nothing_is_run_on_a_gpu_of_an_unknown_architecture(driver, monkeypatch):
    def fail(*args, **kwargs):
        pytest.fail("a kernel was started")

    driver(H100)
    monkeypatch.setattr(device.nd, "ones", fail)
    told = device._fault.__wrapped__(0)
    assert told.startswith("it is the NVIDIA H100, compute capability 9.0, and this MXNet has no")


def test_one_of_a_known_architecture_is_tried(driver, monkeypatch):
    driver(A100)
    monkeypatch.setattr(device.mx, "gpu", lambda i: mx.cpu(i))
    assert device._fault.__wrapped__(0) is None

"""The GPU is used only where an operator has run on it, and the reason for not using it is told."""

from __future__ import annotations

from pathlib import Path

import gluonbook as gb
from gluonbook.gpu import device
from gluonbook.system import machine, nvidia_driver
from gluonbook.system.nvidia_driver import Driver, Gpu
from gluonbook.training import computation
import mxnet as mx
import pytest

PROBE = device._fault


@pytest.fixture(autouse=True)
def _forget():
    PROBE.cache_clear()
    device._log_once.cache_clear()
    yield
    PROBE.cache_clear()


@pytest.fixture
def gpus(monkeypatch):
    """Pretend to a CUDA build with GPUs that have the faults given, None for a sound one."""

    def pretend(*faults):
        monkeypatch.setattr(device, "_for_cuda", lambda: True)
        monkeypatch.setattr(device, "_count_gpus", lambda: (len(faults), "none listed"))
        monkeypatch.setattr(device, "_fault", lambda i: faults[i])

    return pretend


@pytest.fixture
def cpu_build(monkeypatch):
    monkeypatch.setattr(mx.runtime.Features, "is_enabled", lambda self, name: name != "CUDA")


def test_a_gpu_that_the_cpu_build_leaves_idle_is_told_of_once(cpu_build, monkeypatch, caplog):
    monkeypatch.setattr(machine, "_NVIDIA", (Path(__file__),))  # something that is there
    assert gb.try_gpu() == mx.cpu() and gb.try_all_gpus() == [mx.cpu()]
    assert len(caplog.records) == 1
    assert caplog.text.count("no GPU: this MXNet is the CPU build") == 1


def test_a_machine_without_a_gpu_hears_nothing_of_gpus(cpu_build, monkeypatch, caplog):
    monkeypatch.setattr(machine, "_NVIDIA", (Path(__file__) / "none",))
    assert gb.try_gpu() == mx.cpu() and gb.try_all_gpus() == [mx.cpu()]
    assert caplog.text == ""


def test_the_cuda_build_says_why_it_uses_no_gpu(monkeypatch, caplog):
    monkeypatch.setattr(machine, "_NVIDIA", ())
    monkeypatch.setattr(mx.runtime.Features, "is_enabled", lambda self, name: True)
    monkeypatch.setattr(mx.context, "num_gpus", lambda: 0)
    assert gb.try_gpu() == mx.cpu()
    assert "no GPU: the NVIDIA driver finds no GPU" in caplog.text


def test_a_gpu_on_which_nothing_runs_is_left_out_with_its_reason(gpus, caplog):
    gpus("no code for its architecture", None)
    assert gb.try_all_gpus() == [mx.gpu(1)] and gb.try_gpu() == mx.gpu(1)
    assert "gpu(0) is not used: no code for its architecture" in caplog.text


def test_all_sound_gpus_are_used(gpus, caplog):
    gpus(None, None)
    assert gb.try_all_gpus() == [mx.gpu(0), mx.gpu(1)]
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("cuda: no kernel image is available for execution on the device", "Hopper"),
        ("Traceback\n  File src\nMXNetError: out of memory", "MXNetError: out of memory"),
    ],
)
def test_an_operator_that_fails_gives_the_reason(monkeypatch, message, told):
    def fail(*args, **kwargs):
        raise mx.base.MXNetError(message)

    monkeypatch.setattr(device.nd, "Convolution", fail)
    monkeypatch.setattr(device.mx, "gpu", lambda i: mx.cpu(i))
    assert told in device._fault(0)


def test_the_probe_passes_where_operators_run(monkeypatch):
    monkeypatch.setattr(device.mx, "gpu", lambda i: mx.cpu(i))
    assert device._fault(0) is None


def test_a_driver_that_does_not_answer(monkeypatch):
    def fail():
        raise mx.base.MXNetError("CUDA driver version is insufficient")

    monkeypatch.setattr(mx.runtime.Features, "is_enabled", lambda self, name: True)
    monkeypatch.setattr(mx.context, "num_gpus", fail)
    assert device._count_gpus() == (
        0,
        "the NVIDIA driver does not answer (CUDA driver version is insufficient)",
    )


@pytest.mark.parametrize("capability", [(9, 0), (12, 0)])
def test_a_gpu_without_code_is_used_and_told_of_once(capability, gpus, monkeypatch, caplog):
    driver = Driver("13.0", 0, [Gpu("a GPU of today", capability)])
    monkeypatch.setattr(nvidia_driver, "ask", lambda: driver)
    nvidia_driver.lacks_code.cache_clear()
    gpus(None)
    try:
        assert gb.try_gpu() == gb.try_gpu() == mx.gpu(0)
        # A net of MXNet's graphs would not run there, and on the CPU it does.
        chosen = []
        for name in ("ByOperations", "Graphs"):
            monkeypatch.setattr(
                computation, name, lambda *given, name=name, **more: chosen.append(name)
            )
        net, loss = gb.lenet(), mx.gluon.loss.SoftmaxCrossEntropyLoss()
        for ctx in (mx.gpu(0), mx.cpu()):
            computation.computation_of(net, loss, [ctx])
        assert chosen == ["ByOperations", "Graphs"]
    finally:
        nvidia_driver.lacks_code.cache_clear()
    assert len(caplog.records) == 1
    assert caplog.text.count("MXNet has no code for gpu(0): gluonbook trains and evaluates") == 1

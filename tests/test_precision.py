"""bfloat16 is refused with its reason, and where it is allowed it trains like float32."""

from __future__ import annotations

from pathlib import Path

from gluonbook import precision
from gluonbook.precision import refusal, use_bfloat16
from gluonbook.runtime import Failure
import mxnet as mx
import pytest

RESULTS = Path(__file__).parents[1] / "results"
BF16 = "AVX-512 BF16"


@pytest.fixture
def able(monkeypatch):
    """A machine with the instructions, and one section that is safe."""
    monkeypatch.setattr(precision, "instruction_sets", lambda: ["AVX2", BF16])
    monkeypatch.delenv("DNNL_MAX_CPU_ISA", raising=False)
    monkeypatch.setattr(precision, "SOAKED", {"nin": None, "resnet": "it melts"})


def test_the_reasons(able, monkeypatch):
    assert refusal("nin", mx.cpu()) is None
    assert refusal("resnet", mx.cpu()) == "it melts: leave --amp out"
    assert "vgg has not been tried" in refusal("vgg", mx.cpu())
    assert "the device is gpu(0): add --device cpu" in refusal("nin", mx.gpu(0))
    monkeypatch.setenv("DNNL_MAX_CPU_ISA", "avx512_core_amx")
    assert "DNNL_MAX_CPU_ISA=avx512_core_amx" in refusal("nin", mx.cpu())
    monkeypatch.setattr(precision, "instruction_sets", lambda: ["AVX2"])
    assert "no instructions for bfloat16" in refusal("nin", mx.cpu())


def test_a_refusal_is_raised_before_anything_is_changed(able, monkeypatch):
    monkeypatch.setattr(precision, "init_amp", lambda: pytest.fail("changed"))
    with pytest.raises(Failure, match="^--amp: it melts"):
        use_bfloat16("resnet", mx.cpu())

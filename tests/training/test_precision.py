"""bfloat16 is refused with its reason, and where it is allowed it trains like float32."""

from __future__ import annotations

import csv
import json
from pathlib import Path
import subprocess
import sys

from gluonbook.cli import arguments
from gluonbook.export import read_parameters
from gluonbook.recipes import RECIPES
from gluonbook.system.errors import Failure
from gluonbook.system.machine import instruction_sets
from gluonbook.training import precision
from gluonbook.training.precision import SOAKED, refusal
import mxnet as mx
import numpy as np
import pytest

from ..conftest import run_script

RESULTS = Path(__file__).parents[2] / "results"
BF16 = "AVX-512 BF16"


@pytest.fixture
def able(monkeypatch):
    """A machine with the instructions, and one section that is safe."""
    monkeypatch.setattr(precision, "instruction_sets", lambda: ["AVX2", BF16])
    monkeypatch.delenv("DNNL_MAX_CPU_ISA", raising=False)
    soaked = {("nin", "stable"): None, ("resnet", "book"): "it melts"}
    monkeypatch.setattr(precision, "SOAKED", soaked)


def test_the_reasons(able, monkeypatch):
    cpu = [mx.cpu()]
    assert refusal("nin", "stable", cpu) is None
    melts = refusal("resnet", "book", cpu)
    assert "where it was tried" in melts and melts.endswith("it melts: train without --amp")
    assert refusal("vgg", "book", cpu).endswith("in bfloat16: train without --amp")
    assert "in bfloat16: use python -m gluonbook.train nin --recipe stable or" in refusal(
        "nin", "book", cpu
    )
    monkeypatch.setenv("DNNL_MAX_CPU_ISA", "avx512_core_amx")
    assert "DNNL_MAX_CPU_ISA=avx512_core_amx" in refusal("nin", "stable", cpu)
    monkeypatch.setattr(precision, "instruction_sets", lambda: ["AVX2"])
    assert "no instructions for bfloat16" in refusal("nin", "stable", cpu)
    assert refusal("nin", "stable", [mx.gpu(0)]) is None
    assert "one GPU trains alone" in refusal("nin", "stable", [mx.gpu(0), mx.gpu(1)])


def test_a_refusal_is_raised_before_anything_is_changed(able, monkeypatch):
    monkeypatch.setattr(precision, "init_amp", lambda dtype: pytest.fail("changed"))
    with pytest.raises(Failure, match="^--amp: where it was tried"):
        precision.use(True, "resnet", "book", [mx.cpu()])


def test_float32_is_refused_where_bfloat16_is_on_already(monkeypatch):
    precision.use(False, "resnet", "book", [mx.cpu()])
    monkeypatch.setattr(precision.amp.amp, "_amp_initialized", True)
    with pytest.raises(Failure, match="restart Python, or the notebook's kernel"):
        arguments("resnet", lr=0.05, num_epochs=5, batch_size=256, size=96, argv=[])


def test_init_amp_is_what_mxnet_calls_initialized():
    """In a process of its own, which cannot turn it off again."""
    code = (
        "from gluonbook.training.precision import init_amp, use; import mxnet as mx\n"
        "init_amp()\n"
        "use(False, 'resnet', 'book', [mx.cpu()])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "Failure: MXNet cannot turn AMP off again" in result.stderr


def test_what_is_allowed_is_what_the_soak_found():
    rows = json.loads((RESULTS / "bfloat16.json").read_text())["rows"]
    assert {(row["section"], row["recipe"]): row["verdict"] for row in rows} == SOAKED
    assert {section for section, _ in SOAKED} == set(RECIPES)


def test_a_script_trains_in_bfloat16_or_says_why_not(tmp_path):
    short = ("--limit", "64", "--batch-size", "16", "--size", "32", "--epochs", "1", "--seed", "1")
    short += (
        "--limit-test",
        "64",
        "--lr",
        "1e-6",
    )  # so small that rounding does not decide where it goes
    losses = {}
    for options in ((), ("--amp",)):
        out = tmp_path / "".join(options)
        result = run_script("resnet.py", *short, *options, "--out", str(out), cwd=tmp_path)
        if options and BF16 not in instruction_sets():
            assert result.returncode == 1
            assert result.stderr.splitlines()[-1].startswith("error: --amp: this processor has no")
            return
        assert result.returncode == 0, result.stderr
        [folder] = out.glob("resnet-*")
        [row] = csv.DictReader((folder / "history.csv").read_text().splitlines())
        losses[options] = float(row["loss"])
        weights = read_parameters(folder / "resnet.params", 2**30)
        assert {value.dtype for value in weights.values()} == {np.dtype("float32")}
        assert "amp_cast" not in (folder / "resnet-symbol.json").read_text()
    plain, bfloat16 = losses.values()
    assert bfloat16 != plain
    assert bfloat16 == pytest.approx(plain, rel=0.01)

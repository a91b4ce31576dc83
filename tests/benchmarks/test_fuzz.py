"""Damaged files of each kind, a few of them (`benchmarks/fuzz.py` has many)."""

from __future__ import annotations

import json
from pathlib import Path
import subprocess
import sys

import pytest

from ..conftest import NO_TORCH

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmarks(monkeypatch):
    """The folder of benchmarks, whose scripts import one another."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.mark.parametrize(
    "kind",
    [
        *("IDX labels, gzip", "IDX labels", "checkpoint", "configuration of a run", ".params"),
        *("parameters of a run", "digests of a run"),
    ],
)
def test_damaged_files_are_refused(kind, benchmarks, dataset):
    import fuzz

    result = fuzz.run(kind, 40, seed=3)
    assert fuzz.faults(result) == []
    assert result["refused"] > 0


@pytest.mark.pytorch
@pytest.mark.parametrize("kind", ["state_dict", "safetensors"])
def test_damaged_weights_are_refused(kind, benchmarks):
    pytest.importorskip("torch", reason=NO_TORCH)
    import fuzz

    result = fuzz.run(kind, 40, seed=3)
    assert fuzz.faults(result) == []
    assert result["refused"] > 0


def test_the_fuzzer_sees_a_wrong_acceptance_a_crash_and_a_hang(benchmarks, monkeypatch, tmp_path):
    """What would be counted, if a reader were at fault; a file without a checksum may be taken."""
    code = f"""
import json, pathlib, sys
sys.path.insert(0, {str(BENCHMARKS)!r})
import fuzz
fuzz.SECONDS = 1
def hang(folder, content): import time; time.sleep(60)
def crash(folder, content): import os; os.abort()
def take(folder, content): return content
reads = {{"accepts": lambda folder, content: False, "hang": hang, "crash": crash}}
read = reads.get(sys.argv[1], take)
kind = fuzz.UNCHECKED if sys.argv[1] == "unchecked" else fuzz.DAMAGED
fuzz.readers = lambda: {{"x": lambda: fuzz.Reader(1, lambda folder: [b"abc"], read, kind=kind)}}
folder = pathlib.Path({str(tmp_path)!r}) / sys.argv[1]
folder.mkdir()
print(json.dumps(fuzz.child("x", 3, 1, folder)))
"""
    done = {
        kind: subprocess.run([sys.executable, "-c", code, kind], capture_output=True, text=True)
        for kind in ("accepts", "hang", "crash", "takes", "unchecked")
    }
    assert json.loads(done["accepts"].stdout.splitlines()[-1])["wrongly accepted"] == 3
    assert done["hang"].returncode != 0 and "Timeout" in done["hang"].stderr
    assert done["crash"].returncode < 0
    assert json.loads(done["takes"].stdout.splitlines()[-1])["wrongly accepted"] == 3
    assert json.loads(done["unchecked"].stdout.splitlines()[-1])["other values"] == 3

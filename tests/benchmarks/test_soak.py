"""The soak in small: a few kills and damaged files of each kind (`benchmarks/soak.py` has many)."""

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


def test_killed_at_random_moments_a_run_ends_with_the_same_bits(
    benchmarks, dataset, tmp_path, monkeypatch
):
    import kills

    short = ["--limit", "2000", "--batch-size", "64", "--epochs", "3", "--save-every", "2"]
    monkeypatch.setitem(kills.RUNS, "lenet", short)
    tally = kills.run_section("lenet", num_kills=2, work=tmp_path, longest=4, seed=2)
    assert tally.faults == []
    assert tally.kills == 2 and tally.finished >= 1


@pytest.mark.slow
def test_ended_by_two_signals_with_nobody_to_tell_a_run_ends_with_the_same_bits(
    benchmarks, dataset, tmp_path, monkeypatch
):
    import kills

    short = ["--limit", "2000", "--batch-size", "64", "--epochs", "3", "--save-every", "2"]
    monkeypatch.setitem(kills.RUNS, "lenet", short)
    tally = kills.run_section("lenet", 2, tmp_path / "runs", 6, seed=2, by=kills.two_signals)
    assert tally.faults == []
    assert tally.kills == 2 and tally.finished >= 1


def test_the_comparison_of_runs_sees_a_difference(benchmarks, dataset, tmp_path):
    import kills

    found = []
    for seed in ("1", "2"):
        out = tmp_path / f"{seed}.txt"
        options = ("--limit", "500", "--epochs", "1", "--seed", seed, "--out", str(tmp_path / seed))
        assert kills.start("lenet", out, *options).wait() == 0
        [folder] = (tmp_path / seed).iterdir()
        assert kills.half_written(folder) == []
        found.append(kills.figures(folder, out))
    assert all(found[0][what] != found[1][what] for what in found[0])
    (folder / "checkpoint-9-9.safetensors").write_bytes(b"half")
    (folder / "config.json").write_text("{")
    assert len(kills.half_written(folder)) == 2


@pytest.mark.parametrize(
    "kind", ["IDX labels, gzip", "IDX labels", "checkpoint", "configuration of a run", ".params"]
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
    """What would be counted, if a reader were at fault."""
    code = f"""
import json, pathlib, sys
sys.path.insert(0, {str(BENCHMARKS)!r})
import fuzz
fuzz.SECONDS = 1
def hang(folder, content): import time; time.sleep(60)
def crash(folder, content): import os; os.abort()
reads = {{"accepts": lambda folder, content: False, "hang": hang, "crash": crash}}
read = reads[sys.argv[1]]
fuzz.readers = lambda: {{"x": lambda: fuzz.Reader(1, lambda folder: [b"abc"], read)}}
folder = pathlib.Path({str(tmp_path)!r}) / sys.argv[1]
folder.mkdir()
print(json.dumps(fuzz.child("x", 3, 1, folder)))
"""
    done = {
        kind: subprocess.run([sys.executable, "-c", code, kind], capture_output=True, text=True)
        for kind in ("accepts", "hang", "crash")
    }
    assert json.loads(done["accepts"].stdout.splitlines()[-1])["wrongly accepted"] == 3
    assert done["hang"].returncode != 0 and "Timeout" in done["hang"].stderr
    assert done["crash"].returncode < 0

"""The soak in small: a few kills (`benchmarks/soak.py` has many)."""

from __future__ import annotations

from pathlib import Path

import pytest

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
    assert len(kills.half_written(folder)) == 3  # and the list of digests

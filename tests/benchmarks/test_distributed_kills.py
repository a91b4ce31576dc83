"""The kills of `benchmarks/distributed_kills.py`, in small."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.slow
def test_a_run_that_has_lost_processes_ends_with_the_same_bits(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    row = importlib.import_module("distributed_kills").run("lenet", 4, 2, tmp_path, 14, seed=3)
    assert row["faults"] == []
    assert sum(row["killed"].values()) == 4 and row["finished"] >= 1

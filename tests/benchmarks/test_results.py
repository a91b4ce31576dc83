"""The files that a benchmark leaves."""

from __future__ import annotations

import importlib
from pathlib import Path
import sys

from matplotlib.figure import Figure
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


def test_no_file_of_a_users_is_written_over(benchmark, tmp_path, monkeypatch, capsys):
    results = benchmark("results")
    argv = ["--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["benchmarks/speed.py", *argv])
    for _ in range(2):
        folder = results.parser("What is measured.").parse_args(argv).out
        results.write("speed", folder, "Title", "| a |\n| --- |\n| 1 |\n", [{"a": 1}], Figure())
    for kind in ("md", "json", "png"):
        ours = (tmp_path / f"speed.{kind}").read_bytes()
        (tmp_path / f"speed.{kind}").write_text("mine")
        with pytest.raises(SystemExit, match=f"error: .*speed.{kind} is there already"):
            results.parser("What is measured.").parse_args(argv)
        (tmp_path / f"speed.{kind}").write_bytes(ours)
    capsys.readouterr()
    kept = BENCHMARKS.parent / "results"  # of the checkout, older than what its pictures say
    assert results.parser("").parse_args(["--out", str(kept)]).out == kept


def test_reproduce_refuses_before_it_trains(benchmark, tmp_path, monkeypatch):
    reproduce = benchmark("reproduce")
    (tmp_path / "reproduce").mkdir()
    (tmp_path / "reproduce" / "nin-seed2-config.json").write_text("{}")
    argv = ["nin", "--seeds", "1", "2", "--out", str(tmp_path), "--runs", str(tmp_path / "runs")]
    monkeypatch.setattr(sys, "argv", ["reproduce.py", *argv])
    monkeypatch.setattr(reproduce, "train", lambda *training: pytest.fail("it has trained"))
    with pytest.raises(SystemExit, match="nin-seed2-config.json is there already"):
        reproduce.main()


def test_reproduce_renews_what_it_kept(benchmark, lenet_run, tmp_path):
    reproduce, results = benchmark("reproduce"), benchmark("results")
    for _ in range(2):
        reproduce.keep(lenet_run, "lenet-seed1", tmp_path / "kept")
        kept = list((tmp_path / "kept").iterdir())
        results.refuse_foreign(kept)
    assert len(kept) == 3

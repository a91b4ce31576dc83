"""The files that a benchmark leaves."""

from __future__ import annotations

import importlib
from pathlib import Path
import shutil
import subprocess
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


@pytest.mark.skipif(shutil.which("git") is None, reason="needs Git")
def test_a_result_names_the_commit_that_it_measured(benchmark, tmp_path, monkeypatch):
    results = benchmark("results")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results")
    assert results.commit() is None
    (tmp_path / "gluonbook").mkdir()
    code = tmp_path / "gluonbook" / "code.py"
    code.write_text("1\n")

    def git(*arguments):
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        command = ["git", "-C", str(tmp_path), *who, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    assert results.commit() == git("log", "-1", "--format=%h").strip()
    code.write_text("2\n")
    assert results.commit() == git("log", "-1", "--format=%h").strip() + "+"


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
        reproduce.keep(lenet_run, tmp_path / "kept")
        kept = list((tmp_path / "kept").iterdir())
        results.refuse_foreign(kept)
    assert len(kept) == 3

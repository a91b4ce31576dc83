"""A chapter as a user starts it: its streams, signals, disk and memory."""

from __future__ import annotations

import json
import os
from pathlib import Path
import re
import signal
import subprocess
import sys
import time

from gluonbook.predict import load_run
from gluonbook.runs.format import CheckpointError
from gluonbook.runs.history import History
import pytest

from ..conftest import CHAPTERS, NO_MIRROR, run_chapter, run_script

pytestmark = pytest.mark.usefixtures("terminal_signals")


def test_no_data_and_no_network(tmp_path):
    code = tmp_path / "sitecustomize.py"
    code.write_text(
        "from gluonbook.data import folders\n"
        "folders.SYSTEM_FOLDER = folders.Path('/no/such/folder')\n"
    )
    result = run_script(
        "lenet.py",
        cwd=tmp_path,
        PYTHONPATH=os.pathsep.join((str(tmp_path), str(CHAPTERS.parent))),
        MXNET_HOME=str(tmp_path / "home"),
        GLUONBOOK_FASHION_MNIST_MIRRORS=NO_MIRROR,
    )
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: Fashion-MNIST is not on this machine")
    assert "dataset-fashion-mnist" in last and "--data" in last
    assert "Traceback" not in result.stderr and not (tmp_path / "runs").exists()


def test_damaged_data_is_told_and_debug_shows_where(real_files, tmp_path):
    (real_files / "train-labels-idx1-ubyte.gz").write_bytes(b"damaged")
    argv = ("lenet.py", "--data", str(real_files))
    result = run_script(*argv, cwd=tmp_path)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "train-labels-idx1-ubyte.gz is damaged" in result.stderr.splitlines()[-1]
    assert "Traceback" in run_script(*argv, "--debug", cwd=tmp_path).stderr
    assert (real_files / "train-labels-idx1-ubyte.gz").read_bytes() == b"damaged"


def test_the_same_seed_prints_the_same_figures(dataset, tmp_path):
    short = ("--limit", "600", "--limit-test", "100", "--epochs", "2", "--device", "cpu")
    files = ("--data", str(dataset.folder), "--out", str(tmp_path / "runs"))

    def figures():
        result = run_script("lenet.py", *short, "--seed", "7", *files, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        return [line.rsplit(", time", 1)[0] for line in result.stdout.splitlines()]

    first = figures()
    assert first == figures()
    assert first[-3:][0] == "training on cpu(0)" and first[-1].startswith("epoch 2, loss ")
    configs = [json.loads(path.read_text()) for path in tmp_path.glob("runs/*/config.json")]
    assert len(configs) == 2 and configs[0]["options"] == configs[1]["options"]
    assert configs[0]["dataset"]["edition"] == dataset.release
    assert time.strftime("%Y") in next(iter(tmp_path.glob("runs/*"))).name


def start_and_signal(tmp_path, signum, *options, script=CHAPTERS / "lenet.py"):
    """Start a script, send it a signal as it trains, and return what it says at its end."""
    process = subprocess.Popen(
        [sys.executable, str(script), "--limit", "2000", "--seed", "1", *options],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if line.startswith("epoch 1"):
            break
    process.send_signal(signum)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors.splitlines()[-1]


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_tells_how_to_go_on(signum, code, dataset, tmp_path):
    returned, last = start_and_signal(tmp_path, signum, "--epochs", "1000")
    assert returned == code
    match = re.fullmatch(
        r"interrupted in epoch (\d+) after batch (\d+), which is saved in (runs/lenet-\S+); "
        r"go on with `(.* --resume runs/lenet-\S+)`",
        last,
    )
    epoch, batch, folder, command = match.groups()
    assert (tmp_path / folder / f"checkpoint-{epoch}-{batch}.safetensors").exists()
    assert (tmp_path / folder / "curve.png").exists()
    result = subprocess.run(  # as it was printed, by a shell that knows no `python`
        f"{command} --epochs {epoch}",
        shell=True,
        cwd=tmp_path,
        env={**os.environ, "PATH": "/nowhere"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    printed = [line for line in result.stdout.splitlines() if line.startswith("epoch")]
    assert len(printed) == 1 and printed[0].startswith(f"epoch {epoch}, loss ")


@pytest.fixture
def edited(tmp_path):
    """LeNet's chapter as a reader has changed it: other channels, and another optimizer."""
    text = (CHAPTERS / "lenet.py").read_text(encoding="utf-8")
    for before, after in (
        ("nn.Conv2D(16,", "nn.Conv2D(20,"),
        ('"sgd"', '"adam"'),
        ("0.9", "0.002"),
    ):
        assert text.count(before) == 1
        text = text.replace(before, after)
    path = tmp_path / "mine.py"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_edited_chapter_trains_stops_and_goes_on_as_edited(edited, dataset, tmp_path):
    options = ("--epochs", "4", "--batch-size", "32", "--save-every", "7", "--device", "cpu")
    runs = {name: tmp_path / name for name in ("whole", "stopped")}
    short = ("--limit", "2000", "--seed", "1", "--limit-test", "300", *options)
    whole = run_chapter(edited, *short, "--out", str(runs["whole"]))["args"].run.folder
    stop = (*options, "--limit-test", "300", "--out", str(runs["stopped"]))
    code, last = start_and_signal(tmp_path, signal.SIGTERM, *stop, script=edited)
    assert code == 143 and "mine.py --resume" in last
    [folder] = runs["stopped"].iterdir()
    assert not (folder / "lenet.params").exists()
    run_chapter(edited, "--resume", str(folder))
    assert (folder / "lenet.params").read_bytes() == (whole / "lenet.params").read_bytes()

    assert json.loads((folder / "config.json").read_text())["optimizer"] == "adam"
    assert str(20 * (6 * 25 + 1)) in (folder / "layers.txt").read_text().replace(",", "")
    images, labels = (array[:300] for array in dataset.test)
    right = load_run(folder).probabilities(images).argmax(axis=1) == labels
    assert right.mean() == pytest.approx(History.read(folder / "history.csv")[-1].test_acc)
    with pytest.raises(CheckpointError, match="holds a run of another net"):
        run_chapter("lenet", "--resume", str(folder), "--epochs", "5")


SHORT = ("--limit", "2000", "--seed", "1", "--epochs", "2", "--device", "cpu")


def start(tmp_path, *options, **streams):
    script = [sys.executable, str(CHAPTERS / "lenet.py"), *SHORT, *options]
    environment = {**os.environ, "PYTHONUNBUFFERED": ""}  # as in a shell of a user's
    return subprocess.Popen(script, cwd=tmp_path, env=environment, **streams)


def rows_of(tmp_path):
    [folder] = (tmp_path / "runs").iterdir()
    return folder, len((folder / "history.csv").read_text().splitlines()) - 1


def test_a_reader_that_leaves_loses_nothing(dataset, tmp_path):
    """As ``| head -8`` does, which takes the shapes and goes."""
    process = start(tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for _ in range(8):
        process.stdout.readline()
    process.stdout.close()
    with process.stderr as stream:
        errors = stream.read().decode()
    assert process.wait(timeout=120) == 0, errors
    folder, rows = rows_of(tmp_path)
    assert rows == 2 and (folder / "lenet.params").exists()
    assert "standard output cannot be written (Broken pipe)" in errors


def test_a_full_disk_under_standard_output_loses_nothing(dataset, tmp_path):
    with open("/dev/full", "w") as full:
        process = start(tmp_path, stdout=full, stderr=subprocess.PIPE)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert rows_of(tmp_path)[1] == 2
    assert b"standard output cannot be written (No space left on device)" in errors


@pytest.mark.parametrize("hang_up", [True, False], ids=["hangs up", "does not"])
def test_a_terminal_that_is_closed(hang_up, dataset, tmp_path):
    """With a hang-up the run is saved; if that is ignored, as by nohup, it goes on to its end."""
    ours, theirs = os.openpty()
    process = start(
        tmp_path,
        *("--epochs", "1000" if hang_up else "3"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        preexec_fn=(os.setsid if hang_up else lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)),
    )
    os.close(theirs)
    shown = b""
    while b"epoch 1, loss" not in shown:
        shown += os.read(ours, 4096)
    os.close(ours)
    if hang_up:
        process.send_signal(signal.SIGHUP)
    code = process.wait(timeout=120)
    folder, rows = rows_of(tmp_path)
    if hang_up:
        assert code == 128 + signal.SIGHUP and rows >= 1
        epoch, batch = max(
            tuple(map(int, re.findall(r"[0-9]+", path.stem)))
            for path in folder.glob("checkpoint-*.safetensors")
        )
        assert (epoch, batch) > (rows, 0)
    else:
        assert code == 0 and rows == 3


def test_a_folder_whose_name_is_not_utf_8(dataset, tmp_path):
    out = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    process = start(tmp_path, "--out", out, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    [folder] = Path(out).iterdir()
    left = {path.name for path in folder.glob("[!.]*")}
    assert {"lenet.params", "lenet-0000.params", "lenet-symbol.json", "curve.png"} <= left


#: Runs a script under a limit that the system sets once all is loaded.
LIMITED = """
import resource, runpy, sys
import gluonbook as gb, psutil
gb.lenet()
limit = sys.argv[1]
sys.argv = sys.argv[2:]
if limit != "memory":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
else:
    size = psutil.Process().memory_info().vms + 1600 * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def limited(tmp_path, limit, *options):
    script = [str(CHAPTERS / "lenet.py"), "--limit", "500", "--epochs", "1", *options]
    return subprocess.run(
        [sys.executable, "-c", LIMITED, limit, *script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_disk_without_room_for_a_checkpoint(dataset, tmp_path):
    """LeNet's parameters are 178 kB, and a checkpoint says a little more."""
    result = limited(tmp_path, "179000")
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert re.fullmatch(
        r"error: .*checkpoint-1-0.safetensors cannot be written: there is no room for it .*; make "
        r"room on that disk; then go on with `.*python.* .*lenet.py --resume runs/lenet-.*`",
        result.stderr.splitlines()[-1],
    )
    [folder] = (tmp_path / "runs").iterdir()
    assert not list(folder.glob("*.safetensors")) and not list(folder.glob(".partial*"))


def test_memory_that_runs_out_within_mxnet(dataset, tmp_path):
    result = limited(tmp_path, "memory", "--batch-size", "500", "--size", "160")
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert re.fullmatch(
        "error: not enough memory .*: try a smaller --batch-size or --size; or make some free and "
        "go on with `.*python.* .*lenet.py --resume runs/lenet-.*`",
        result.stderr.splitlines()[-1],
    )

"""Kill a chapter script at random moments, resume it, and compare with one that never stopped."""

from __future__ import annotations

from dataclasses import dataclass, field
import hashlib
import json
from pathlib import Path
import random
import re
import shutil
import signal
import subprocess
import sys
from typing import Callable

from safetensors.numpy import load_file

CHAPTERS = Path(__file__).parents[1] / "chapters"

#: Runs the chapter script that follows, on the real data set with fewer test images.
CHILD = """
import runpy, sys
import gluonbook.data.fashion_mnist as fm
find = fm.fashion_mnist
def with_few_test_images(root=None):
    data = find(root)
    return data._replace(test=fm.Split(data.test.images[:256], data.test.labels[:256]))
fm.fashion_mnist = with_few_test_images
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""

#: Options of runs of about ten seconds: a plain net, one with batch norm, one with dropout.
RUNS = {
    "lenet": ["--limit", "8000", "--batch-size", "64", "--epochs", "4", "--save-every", "5"],
    "resnet": [
        *("--size", "48", "--limit", "320", "--batch-size", "32", "--epochs", "4"),
        *("--save-every", "1"),
    ],
    "nin": [
        *("--size", "96", "--limit", "320", "--batch-size", "32", "--epochs", "4"),
        *("--save-every", "2"),
    ],
    "edited": ["--limit", "8000", "--batch-size", "64", "--epochs", "4", "--save-every", "5"],
}
#: What makes LeNet's chapter the ``edited`` one: other channels, and another optimizer.
EDITED = (("nn.Conv2D(16,", "nn.Conv2D(20,"), ('"sgd"', '"adam"'), ("lr=0.9", "lr=0.002"))


@dataclass
class Tally:
    """What was done to one section, and what was found."""

    section: str
    kills: int = 0
    finished: int = 0
    faults: list[str] = field(default_factory=list)
    killed_at: dict[str, int] = field(default_factory=dict)
    """How often the kill came before the first checkpoint, between saves, or during one."""


def script_of(section: str, work: Path) -> Path:
    """The chapter of a section; for ``edited``, a copy of LeNet's that a reader has changed."""
    if section != "edited":
        return CHAPTERS / f"{section}.py"
    path = work / "edited.py"
    if not path.exists():
        text = (CHAPTERS / "lenet.py").read_text()
        for before, after in EDITED:
            assert before in text
            text = text.replace(before, after)
        path.write_text(text)
    return path


def start(section: str, out: Path, *options: str, errors: Path | None = None) -> subprocess.Popen:
    """Start the section's script in a process of its own; its errors go beside `out`."""
    command = [sys.executable, "-c", CHILD, str(script_of(section, out.parent)), *options]
    with open(out, "a") as lines, open(errors or out.with_suffix(".err"), "a") as stream:
        return subprocess.Popen(command, stdout=lines, stderr=stream)


def kill(process: subprocess.Popen) -> str | None:
    """Kill the process; returns what went wrong, if anything."""
    process.kill()
    process.wait()
    return None


def two_signals(process: subprocess.Popen) -> str | None:
    """Send SIGTERM and SIGINT at the same time; returns what went wrong, if anything."""
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    code = process.wait(120)
    # Before the run has begun a signal simply ends the process; after that the run is saved first.
    ended = {-signal.SIGTERM, -signal.SIGINT, 128 + signal.SIGTERM, 128 + signal.SIGINT, 0, 1}
    return None if code in ended else f"exit code {code} after SIGTERM and SIGINT"


def figures(folder: Path, out: Path) -> dict[str, object]:
    """What a run leaves, without times: printed lines, history, parameters, last checkpoint."""
    lines = {}
    for line in out.read_text().splitlines():
        match = re.match(r"(epoch \d+), (.*), time", line)
        if match:
            lines[match[1]] = match[2]
    rows = (folder / "history.csv").read_text().splitlines()
    newest = max(
        folder.glob("checkpoint-*.safetensors"), key=lambda path: int(path.name.split("-")[1])
    )
    [params] = (path for path in folder.glob("*.params") if "0000" not in path.name)
    return {
        "lines": lines,
        "history.csv": [row.rsplit(",", 1)[0] for row in rows],
        "parameters": params.read_bytes(),
        "checkpoint": {name: value.tobytes() for name, value in load_file(newest).items()},
    }


def half_written(folder: Path) -> list[str]:
    """Files that have their final name but are not whole, or not the one whose digest is listed."""
    found = []
    for path in folder.glob("[!.]*"):
        try:
            if path.suffix == ".json":
                json.loads(path.read_text())
            elif path.suffix == ".safetensors":
                load_file(path)
            elif path.suffix == ".csv":
                assert all(len(row.split(",")) == 5 for row in path.read_text().splitlines())
            elif path.suffix == ".png":
                assert path.read_bytes().endswith(b"IEND\xaeB`\x82")
            elif path.name == "SHA256SUMS":
                for line in path.read_text().splitlines()[1:]:
                    digest, name = line.split("  ")
                    assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name
        except Exception as error:
            found.append(f"{path.name}: {error!r}")
    return found


def run_section(
    section: str,
    num_kills: int,
    work: Path,
    longest: float,
    seed: int,
    by: Callable[[subprocess.Popen], str | None] = kill,
) -> Tally:
    """Kill and resume runs of `section` until `num_kills` kills are done and the last has ended.

    A process lives for at most `longest` seconds before `by` kills it.
    """
    work.mkdir(exist_ok=True)
    errors = Path("/dev/full") if by is two_signals else None
    moments = random.Random(seed)
    tally = Tally(section, killed_at={"before the first save": 0, "between": 0, "in a save": 0})
    options = [*RUNS[section], "--seed", str(seed), "--device", "cpu"]
    out = work / f"{section}-unbroken.txt"
    assert start(section, out, *options, "--out", str(work / f"{section}-unbroken")).wait() == 0
    [folder] = (work / f"{section}-unbroken").iterdir()
    expected = figures(folder, out)

    broken, out = work / f"{section}-broken", work / f"{section}-broken.txt"
    while True:
        folders = list(broken.iterdir()) if broken.exists() else []
        if folders and any(folders[0].glob("checkpoint-*.safetensors")):
            process = start(section, out, *options, "--resume", str(folders[0]), errors=errors)
        else:  # killed before there was anything to go on with
            shutil.rmtree(broken, ignore_errors=True)
            process = start(section, out, *options, "--out", str(broken), errors=errors)
        try:
            if tally.kills < num_kills:
                code = process.wait(moments.uniform(0, longest))
            else:
                code = process.wait()
        except subprocess.TimeoutExpired:
            fault = by(process)
            tally.faults += [fault] if fault else []
            tally.kills += 1
            folders = list(broken.iterdir()) if broken.exists() else []
            tally.killed_at[_moment(folders)] += 1
            for folder in folders:
                tally.faults += half_written(folder)
            continue
        if code != 0:
            said = "" if errors else out.with_suffix(".err").read_text()[-500:]
            tally.faults.append(f"exit code {code}: {said}")
            return tally
        tally.finished += 1
        [folder] = broken.iterdir()
        found = figures(folder, out)
        tally.faults += [
            f"run {tally.finished}: {what} differ"
            for what in expected
            if found[what] != expected[what]
        ]
        shutil.rmtree(broken)
        out.unlink()
        if tally.kills >= num_kills:
            return tally


def _moment(folders: list[Path]) -> str:
    if not folders or not any(folders[0].glob("checkpoint-*.safetensors")):
        return "before the first save"
    return "in a save" if any(folders[0].glob(".partial-*")) else "between"

"""Kill one process of a run by several workers, resume it, and compare with a run left alone.

Each time a worker, a server, the scheduler or the launcher is killed at a random moment. Then
everything has to end in time, with an exit code, a sentence that names the dead process, and no
process left over. Resumed until it ends, the run has to leave what an unbroken one leaves.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import kills
import psutil

import results

#: Seconds in which all has to have ended.
END = 20
#: Of a run of some fifteen seconds on two cores.
OPTIONS = [
    *("--limit", "6400", "--limit-test", "256", "--batch-size", "64", "--epochs", "4"),
    *("--save-every", "5", "--device", "cpu"),
]
#: What a sentence says of each process that may be killed.
NAMES = {
    "launcher": r"the launcher \(process {pid}\) was killed",
    "scheduler": r"the scheduler \(process {pid}\) was killed by SIGKILL",
    "server": r"server \d+ of \d+ \(process {pid}\) was killed by SIGKILL",
    "worker": r"worker \d+ of \d+ \(process {pid}\) was killed by SIGKILL",
}


def start(section: str, workers: int, out: Path, *options: str) -> subprocess.Popen:
    """Start a run by several workers; its lines are added to `out`, its errors written beside."""
    launch = [sys.executable, "-m", "gluonbook.launch", "--workers", str(workers), "--"]
    script = [str(kills.CHAPTERS / f"{section}.py"), *options]
    with open(out, "a") as lines, open(out.with_suffix(".err"), "w") as errors:
        return subprocess.Popen(
            [*launch, *script],
            env=results.environment(),
            stdout=lines,
            stderr=errors,
            cwd=kills.CHAPTERS.parent,
        )


def processes_of(launcher: psutil.Process) -> dict[str, list[psutil.Process]]:
    """The processes of a run by their role, as far as they have been started."""
    found: dict[str, list[psutil.Process]] = {"launcher": [launcher]}
    for child in launcher.children():
        try:
            role = child.environ().get("DMLC_ROLE")
        except psutil.Error:
            continue
        if role is not None:
            found.setdefault(role, []).append(child)
    return found


def wait_for_workers(process: subprocess.Popen) -> None:
    """Return when a run has begun to start its workers: before, there is nothing to end."""
    launcher = psutil.Process(process.pid)
    while process.poll() is None and "worker" not in processes_of(launcher):
        time.sleep(0.05)


def kill_one(process: subprocess.Popen, moments: random.Random, out: Path) -> tuple[str, list[str]]:
    """Kill a process of a run that goes on; its role, and what was wrong afterwards."""
    launcher = psutil.Process(process.pid)
    found = processes_of(launcher)
    family = [one for each in found.values() for one in each] + launcher.children(recursive=True)
    role = moments.choice(sorted(found))
    victim = moments.choice(found[role])
    victim.send_signal(signal.SIGKILL)
    start, faults = time.monotonic(), []
    try:
        code = process.wait(END)
    except subprocess.TimeoutExpired:
        return role, [f"after {END} s the launcher still runs"]
    while any(one.is_running() for one in family) and time.monotonic() - start < END:
        time.sleep(0.05)
    faults += [f"{one} is left over" for one in family if one.is_running()]
    if code == 0:
        faults.append("exit code 0")
    pattern = NAMES[role].format(pid=victim.pid)
    while not re.search(pattern, out.with_suffix(".err").read_text()):
        if time.monotonic() - start > END:
            faults.append(f"no sentence names {role}: {out.with_suffix('.err').read_text()!r}")
            break
        time.sleep(0.05)
    return role, faults


def run(section: str, num_kills: int, workers: int, work: Path, longest: float, seed: int) -> dict:
    """Kill and resume runs until `num_kills` kills are done and the last run has ended."""
    moments, killed, faults, finished = random.Random(seed), Counter(), [], 0
    options = [*OPTIONS, "--seed", str(seed)]
    out = work / "unbroken.txt"
    whole = start(section, workers, out, *options, "--out", str(work / "unbroken"))
    assert whole.wait() == 0, out.with_suffix(".err").read_text()
    [folder] = (work / "unbroken").iterdir()
    expected = kills.figures(folder, out)
    broken, out = work / "broken", work / "broken.txt"
    while True:
        folders = list(broken.iterdir()) if broken.exists() else []
        if folders and any(folders[0].glob("checkpoint-*.safetensors")):
            process = start(section, workers, out, *options, "--resume", str(folders[0]))
        else:
            shutil.rmtree(broken, ignore_errors=True)
            process = start(section, workers, out, *options, "--out", str(broken))
        wait_for_workers(process)
        try:
            going_on = sum(killed.values()) < num_kills
            code = process.wait(moments.uniform(0, longest) if going_on else None)
        except subprocess.TimeoutExpired:
            role, wrong = kill_one(process, moments, out)
            killed[role] += 1
            faults += [f"{role} killed: {what}" for what in wrong]
            for folder in broken.iterdir() if broken.exists() else []:
                faults += [f"{role} killed: {what}" for what in kills.half_written(folder)]
            print(sum(killed.values()), role, wrong, file=sys.stderr, flush=True)
            continue
        if code != 0:
            said = out.with_suffix(".err").read_text()[-500:]
            faults.append(f"run {finished + 1}: exit code {code}: {said}")
            break
        finished += 1
        [folder] = broken.iterdir()
        found = kills.figures(folder, out)
        faults += [
            f"run {finished}: {what} differ" for what in expected if found[what] != expected[what]
        ]
        shutil.rmtree(broken)
        out.unlink()
        if sum(killed.values()) >= num_kills:
            break
    return {
        "section": section,
        "workers": workers,
        "killed": dict(killed),
        "finished": finished,
        "faults": faults,
    }


def count(faults: list[str], beginning: str) -> int:
    return sum(fault.startswith(beginning) for fault in faults)


def main() -> None:
    options = results.parser(__doc__)
    options.add_argument("--kills", type=int, default=50)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--seed", type=int, default=1, help="of the run and of the kills")
    options.add_argument(
        "--longest", type=float, default=14, metavar="SECONDS", help="a run lives until its kill"
    )
    options = options.parse_args()
    with tempfile.TemporaryDirectory() as work:
        row = run(
            "lenet", options.kills, options.workers, Path(work), options.longest, options.seed
        )
    table = results.markdown(
        ["what", "tried", "faults"],
        [
            *(
                [f"a kill of a {role}", str(times), str(count(row["faults"], f"{role} killed"))]
                for role, times in row["killed"].items()
            ),
            ["a run resumed to its end", str(row["finished"]), str(count(row["faults"], "run "))],
        ],
    )
    results.write(
        "distributed_kills",
        options.out,
        f"Kills of a run by {options.workers} workers",
        table,
        [row],
    )
    if row["faults"]:
        sys.exit("\n".join(row["faults"]))


if __name__ == "__main__":
    main()

"""Count what a run survives: kills, and many processes at once.

With the default numbers it takes about an hour on two cores.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
import functools
import http.server
import os
from pathlib import Path
import random
from statistics import median
import subprocess
import sys
import tempfile
import threading
import time

from gluonbook.data import fashion_mnist as fm
from gluonbook.data import mirrors, published_files
from gluonbook.recipes import RECIPES
from gluonbook.runs.checkpoint import Checkpoint
from gluonbook.runs.history import History
from gluonbook.training.tally import Progress
import kills
import mxnet as mx

import results

PROCESSES = 8


def kill_runs(num_kills: int, work: Path, longest: float) -> list[dict]:
    """Kill and resume the runs of every section in `kills.RUNS`, two at a time."""
    share = -(-num_kills // len(kills.RUNS))
    with ThreadPoolExecutor(2) as pool:
        tallies = list(
            pool.map(
                lambda section: kills.run_section(section, share, work, longest, seed=1),
                kills.RUNS,
            )
        )
    return [
        {
            "what": f"kill -9 and resume, {RECIPES[tally.section].title}",
            "tried": tally.kills,
            "outcome": f"{tally.finished} runs ended, all bit-identical; "
            + ", ".join(f"{count} {when}" for when, count in tally.killed_at.items()),
            "faults": tally.faults,
        }
        for tally in tallies
    ]


def signal_runs(num_signals: int, work: Path, longest: float) -> dict:
    """End runs of LeNet by two signals at once while their terminal is gone, and resume them."""
    tally = kills.run_section(
        "lenet", num_signals, work / "signals", longest, seed=2, by=kills.two_signals
    )
    return {
        "what": "SIGTERM and SIGINT together, standard error full, and resume, LeNet",
        "tried": tally.kills,
        "outcome": f"{tally.finished} runs ended, all bit-identical; "
        + ", ".join(f"{count} {when}" for when, count in tally.killed_at.items()),
        "faults": tally.faults,
    }


def one_cache(rounds: int, work: Path) -> dict:
    """Let several processes download the data set into one folder at once, and kill some."""
    source = fm.fashion_mnist().folder
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(quiet, directory=str(source))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {
        **os.environ,
        "MXNET_HOME": str(work / "home"),
        mirrors.MIRRORS_VARIABLE: f"http://127.0.0.1:{server.server_port}",
    }
    code = """
import sys
from gluonbook.data import fashion_mnist, folders
folders.SYSTEM_FOLDER = folders.Path("/none")
data = fashion_mnist.fashion_mnist(sys.argv[1])
assert len(data.train.labels) == 60_000
"""
    moments, faults, killed = random.Random(1), [], 0
    for i in range(rounds):
        folder = work / f"cache-{i}"
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", code, str(folder)],
                env=environment,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(PROCESSES)
        ]
        time.sleep(moments.uniform(2, 6))
        for process in processes[:2]:
            process.kill()
        for process in processes:
            _, errors = process.communicate()
            killed += process.returncode == -9
            if process.returncode not in (0, -9):
                faults.append(errors[-300:])
        if sorted(path.name for path in folder.glob("[!.]*")) != sorted(
            f"{name}.gz" for name in published_files.SIZES
        ):
            faults.append(f"{folder} holds {list(folder.iterdir())}")
        fm.read_folder(folder)
    server.shutdown()
    return {
        "what": f"{PROCESSES} processes download into one folder, two of them killed",
        "tried": rounds,
        "outcome": f"the four whole files each time; {killed} processes killed",
        "faults": faults,
    }


def one_folder(rounds: int, work: Path) -> list[dict]:
    """Start several runs at once under one folder, and resume one run several times at once."""
    options = ["--limit", "3000", "--epochs", "2", "--seed", "1", "--device", "cpu"]
    begun, resumed = [], []
    for i in range(rounds):
        parent = work / f"runs-{i}"
        first = [
            kills.start("lenet", work / f"begun-{i}-{j}.txt", *options, "--out", str(parent))
            for j in range(PROCESSES)
        ]
        begun += [f"exit code {code}" for code in (one.wait() for one in first) if code != 0]
        folders = list(parent.iterdir())
        if len(folders) != PROCESSES:
            begun.append(f"{len(folders)} folders")
        if len({next(path.glob("lenet.params")).read_bytes() for path in folders}) != 1:
            begun.append("the same seed gave other parameters")
        again = ["--resume", str(folders[0]), "--epochs", "6"]
        second = [
            kills.start("lenet", work / f"resumed-{i}-{j}.txt", *again) for j in range(PROCESSES)
        ]
        codes = [one.wait() for one in second]
        if 0 not in codes or set(codes) - {0, 1}:
            resumed.append(f"exit codes {codes}")
        for j, code in enumerate(codes):
            last = (work / f"resumed-{i}-{j}.err").read_text().splitlines()[-1]
            if code == 1 and "is in use by another run" not in last:
                resumed.append(last)
        resumed += kills.half_written(folders[0])
    return [
        {
            "what": f"{PROCESSES} runs begin under one folder in the same second",
            "tried": rounds,
            "outcome": "each has a folder of its own, with the same parameters",
            "faults": begun,
        },
        {
            "what": f"{PROCESSES} processes resume one run at once",
            "tried": rounds,
            "outcome": "those that come while another has it are refused in one sentence",
            "faults": resumed,
        },
    ]


def cost(rounds: int, work: Path) -> dict:
    """Time of a checkpoint, against the training steps of an epoch of ResNet-18."""
    recipe = RECIPES["resnet"]
    train_iter, _ = fm.load_data_fashion_mnist(recipe.batch_size, recipe.size, limit=4096, seed=1)
    net = recipe.net()
    net.initialize(mx.init.Xavier())
    net.hybridize(static_alloc=True, static_shape=True)
    trainer = mx.gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": recipe.lr})
    loss = mx.gluon.loss.SoftmaxCrossEntropyLoss()
    batches = iter(train_iter)

    def step() -> None:
        X, y = next(batches)
        with mx.autograd.record():
            value = loss(net(X), y)
        value.backward()
        trainer.step(recipe.batch_size)

    results.seconds(step)
    checkpoint = Checkpoint(work / "cost", seed=1)
    checkpoint.begin(net, trainer, train_iter, History(), {})
    steps, saves = [], []
    for i in range(rounds):
        steps.append(results.seconds(step))
        progress = Progress(batch=i + 1)
        saves.append(results.seconds(lambda progress=progress: checkpoint.save(progress)))
    checkpoint.end()
    epoch = median(steps) * -(-60_000 // recipe.batch_size)
    share = median(saves) / epoch
    return {
        "what": "a checkpoint at the end of each epoch, ResNet-18",
        "tried": rounds,
        "outcome": f"{median(saves):.2f} s, beside {epoch:.0f} s for the steps of an epoch: "
        f"{share:.2%}",
        "faults": [] if share < 0.01 else ["more than 1 %"],
        "figures": {"steps_s": steps, "saves_s": saves},
    }


def main() -> None:
    options = results.parser(__doc__)
    options.add_argument("--kills", type=int, default=200, help="over three sections")
    options.add_argument("--signals", type=int, default=30, help="pairs of them")
    options.add_argument("--rounds", type=int, default=5, help="of the rest")
    options.add_argument(
        "--longest", type=float, default=9, metavar="SECONDS", help="a process lives until its kill"
    )
    options = options.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        rows = [
            cost(options.rounds, work),
            one_cache(options.rounds, work),
            *one_folder(options.rounds, work),
            *kill_runs(options.kills, work, options.longest),
            signal_runs(options.signals, work, options.longest),
        ]
    table = results.markdown(
        ["what", "tried", "faults", "outcome"],
        [
            [row["what"], f"{row['tried']:,}", str(len(row["faults"])), row["outcome"]]
            for row in rows
        ],
    )
    results.write("soak", options.out, "What a run survives", table, rows)
    if any(row["faults"] for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()

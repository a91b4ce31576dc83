"""Give damaged and hostile files to every reader, and count what happens.

Whatever is read from a changed file is compared with what is read from the file as it was. A reader
that has a checksum must not take another value; one that has none may not be able to tell.
"""

from __future__ import annotations

import collections
import faulthandler
import gzip
import json
import os
from pathlib import Path
import random
import re
import runpy
import struct
import subprocess
import sys
import tempfile
import time
from typing import Any, Callable, NamedTuple
from unittest import mock

import results

CHAPTERS = Path(__file__).parents[1] / "chapters"
SECONDS, MEMORY = 20, 2**30
EXTREME = [0, 1, 0x7F, 0xFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**31, 2**62, 2**63 - 1, 2**63, 2**64 - 1]
WEIRD: list[Any] = [
    *(None, True, -1, 0, 10**9, 2**62, 2**70, 1e308, -0.5, "", "x", "../..", "9" * 5000),
    *("\x1b[2J", "a\nb", "\udce9"),
    *([], {}, [[]], {"": None}, [0] * 50, "\x00", "٣"),
]


#: Kinds of files. Only the first must be refused whenever they hold other values than before: the
#: second have no checksum, and the third have a right one over false content.
DAMAGED, UNCHECKED, FORGED = "damaged", "damaged, no checksum", "forged"
#: What may be rightly done with a file.
OUTCOMES = ("refused", "the same", "other values")


class Reader(NamedTuple):
    """A reader of one kind of file, and how many of 20,000 inputs are for it."""

    inputs: int
    originals: Callable[[Path], list[bytes]]
    """Real files to damage, made in a scratch folder."""
    read: Callable[[Path, bytes], object]
    """Reads the bytes from the folder: the values read, or False if they can be no such values."""
    structured: Callable[[bytes, random.Random], bytes] | None = None
    """A change that keeps the format but lies in its content."""
    kind: str = DAMAGED


# --- changes --------------------------------------------------------------------------------


def damage(content: bytes, rng: random.Random) -> bytes:
    """`content` with one to three random changes, mostly near its beginning or end."""
    for _ in range(rng.randint(1, 3)):
        content = rng.choice(CHANGES)(bytearray(content), _place(len(content), rng), rng)
    return bytes(content)


def _place(length: int, rng: random.Random) -> int:
    near = min(256, length)
    return rng.choice([rng.randint(0, near), length - rng.randint(0, near), rng.randint(0, length)])


def _flip(content: bytearray, at: int, rng: random.Random) -> bytearray:
    if at < len(content):
        content[at] ^= 1 << rng.randrange(8)
    return content


def _number(content: bytearray, at: int, rng: random.Random) -> bytearray:
    form = rng.choice(["<I", ">I", "<Q", ">Q"])
    number = rng.choice(EXTREME) % 2 ** (8 * struct.calcsize(form))
    content[at : at + struct.calcsize(form)] = struct.pack(form, number)
    return content


def _noise(content: bytearray, at: int, rng: random.Random) -> bytearray:
    content[at : at + 16] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 32)))
    return content


def _cut(content: bytearray, at: int, rng: random.Random) -> bytearray:
    return content[:at]


def _remove(content: bytearray, at: int, rng: random.Random) -> bytearray:
    del content[at : at + rng.randint(1, 1000)]
    return content


def _repeat(content: bytearray, at: int, rng: random.Random) -> bytearray:
    return content[:at] + content[max(0, at - rng.randint(1, 1000)) :]


def _zero(content: bytearray, at: int, rng: random.Random) -> bytearray:
    end = min(len(content), at + rng.randint(1, 5000))
    content[at:end] = bytes(end - at)
    return content


CHANGES = [_flip, _number, _noise, _cut, _remove, _repeat, _zero]


def lie(tree: Any, rng: random.Random) -> Any:
    """JSON data with one value anywhere replaced, removed or renamed."""
    if isinstance(tree, dict) and tree and rng.random() < 0.85:
        key = rng.choice(list(tree))
        action = rng.random()
        if action < 0.1:
            return {k: v for k, v in tree.items() if k != key}
        if action < 0.2:
            return {(str(rng.choice(WEIRD)) if k == key else k): v for k, v in tree.items()}
        return {**tree, key: lie(tree[key], rng)}
    if isinstance(tree, list) and tree and rng.random() < 0.85:
        i = rng.randrange(len(tree))
        return [*tree[:i], lie(tree[i], rng), *tree[i + 1 :]]
    return rng.choice(WEIRD)


# --- readers --------------------------------------------------------------------------------


def _data_file(name: str, inputs: int, packed: bool) -> Reader:
    from gluonbook.data import fashion_mnist as fm

    def originals(folder: Path) -> list[bytes]:
        data = fm.fashion_mnist()
        content, _ = fm.read_file(data.folder, name)
        return [gzip.compress(content, 1) if packed else content]

    def read(folder: Path, content: bytes) -> bool:
        (folder / (f"{name}.gz" if packed else name)).write_bytes(content)
        found, _ = fm.read_file(folder, name)
        return found == true_content(name)

    def structured(content: bytes, rng: random.Random) -> bytes:
        """Sound gzip data of damaged content, and bombs."""
        if rng.random() < 0.05:
            return gzip.compress(bytes(2**26)) * rng.randint(1, 40)
        return gzip.compress(damage(true_content(name), rng), 1)

    return Reader(inputs, originals, read, structured if packed else None)


_TRUE: dict[str, bytes] = {}


def true_content(name: str) -> bytes:
    """The verified content of a file of the data set."""
    from gluonbook.data import fashion_mnist as fm

    if name not in _TRUE:
        _TRUE[name], _ = fm.read_file(fm.fashion_mnist().folder, name)
    return _TRUE[name]


def _lenet() -> Any:
    import gluonbook as gb
    import mxnet as mx

    net = gb.lenet()
    net.initialize(mx.init.Xavier())
    net(mx.nd.ones((2, 1, 28, 28)))
    return net


def _trained() -> tuple[Any, Any]:
    """A LeNet and its trainer, after one step with momentum."""
    import mxnet as mx

    net = _lenet()
    trainer = mx.gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1, "momentum": 0.9})
    _step(net, trainer)
    return net, trainer


def _step(net: Any, trainer: Any) -> None:
    import mxnet as mx

    with mx.autograd.record():
        loss = net(mx.nd.ones((2, 1, 28, 28))).sum()
    loss.backward()
    trainer.step(2)
    mx.nd.waitall()


def _values(net: Any) -> list[bytes]:
    """The values of a Gluon net's parameters, in the order of their places."""
    from gluonbook.runs.net_state import parameter_arrays

    return [value.tobytes() for _, value in sorted(parameter_arrays(net))]


def _checkpoint(inputs: int, forged: bool = False) -> Reader:
    from gluonbook.data.image_batches import ImageBatches
    from gluonbook.runs.checkpoint import Checkpoint
    from gluonbook.runs.format import digest
    from gluonbook.runs.history import History
    from gluonbook.training.epochs import Epoch
    from gluonbook.training.tally import Progress
    import mxnet as mx
    import numpy as np
    import safetensors.numpy

    name = "checkpoint-2-3.safetensors"
    batches = ImageBatches(np.zeros((20, 1, 28, 28), np.uint8), np.zeros(20, np.int32), 4, seed=1)

    def originals(folder: Path) -> list[bytes]:
        net, trainer = _trained()
        saved = Checkpoint(folder / "run", seed=1)
        history = History()
        saved.begin(net, trainer, batches, history, {})
        history.append(Epoch(1, 2.0, 0.1, 0.1, 1.0))
        sums = {"loss": 27.5, "examples": 12, "correct": 4, "labels": 12}
        path = saved.save(Progress(epoch=2, batch=3, seconds=0.5, **sums))
        saved.end()
        return [path.read_bytes()]

    def read(folder: Path, content: bytes) -> object:
        for old in folder.glob("checkpoint-*"):
            old.unlink()
        (folder / name).write_bytes(content)
        net, trainer = _trained()
        resumed = Checkpoint(folder, seed=1)
        history = History()
        at = resumed.begin(net, trainer, batches, history, {})
        resumed.end()
        _step(net, trainer)
        next(batches.split_batches([mx.cpu()], epoch=at.epoch - 1, first=min(at.batch, 4)))
        possible = (
            all(param.data().shape == param.shape for param in net.collect_params().values())
            and at.epoch == len(history) + 1
            and at.batch <= len(batches)
        )
        return possible and (at, history.epochs, _values(net))

    def structured(content: bytes, rng: random.Random) -> bytes:
        length = int.from_bytes(content[:8], "little")
        state = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["state"])
        arrays = safetensors.numpy.load(content)
        if rng.random() < 0.3:
            arrays.pop(rng.choice(list(arrays)))
        text = json.dumps(lie(state, rng))
        metadata = {"state": text, "sha256": digest(text, arrays)}
        return safetensors.numpy.save(arrays, metadata)

    return Reader(
        *(inputs, originals, read),
        *((structured, FORGED) if forged else (None, DAMAGED)),
    )


def _parameters(inputs: int) -> Reader:
    from gluonbook.export import load_parameters, save_parameters

    def originals(folder: Path) -> list[bytes]:
        save_parameters(_lenet(), folder / "net.params")
        return [(folder / "net.params").read_bytes()]

    def read(folder: Path, content: bytes) -> object:
        (folder / "net.params").write_bytes(content)
        net = _lenet()
        load_parameters(net, folder / "net.params")
        return _values(net)

    return Reader(inputs, originals, read, kind=UNCHECKED)


def _of_a_run(inputs: int, name: str) -> Reader:
    """One of the files that a run of LeNet leaves."""
    from gluonbook.cli.options import of_trainer
    from gluonbook.export import import_symbol
    from gluonbook.predict import load_run
    from gluonbook.runs.config import read_config
    from gluonbook.runs.history import History
    import mxnet as mx

    def originals(folder: Path) -> list[bytes]:
        options = ["--limit", "64", "--limit-test", "20", "--epochs", "1", "--batch-size", "16"]
        argv = ["lenet.py", *options, "--seed", "1", "--out", str(folder / "files")]
        with mock.patch.multiple(sys, argv=argv, excepthook=sys.excepthook):
            runpy.run_path(str(CHAPTERS / "lenet.py"))
        [run] = (folder / "files").iterdir()
        return [(run / name).read_bytes()]

    def read(folder: Path, content: bytes) -> object:
        [run] = folder.iterdir()
        (run / name).write_bytes(content)
        trained, exported = load_run(run), import_symbol(run / "lenet")
        return (
            *(
                vars(of_trainer("lenet", ["--resume", str(run)])),
                read_config(run),
                History.read(run / "history.csv").epochs,
            ),
            *(_values(trained.net), exported(mx.nd.ones((1, 1, 28, 28))).asnumpy().tobytes()),
        )

    return Reader(inputs, originals, read)


def _torch_weights(inputs: int, ending: str, kind: str = DAMAGED) -> Reader:
    from gluonbook.pytorch import nets
    from gluonbook.pytorch.transfer import load_weights, save_weights
    import safetensors.torch

    def originals(folder: Path) -> list[bytes]:
        if kind == UNCHECKED:
            return [safetensors.torch.save(nets.lenet().state_dict())]
        save_weights(nets.lenet(), folder / f"weights{ending}")
        return [(folder / f"weights{ending}").read_bytes()]

    def read(folder: Path, content: bytes) -> object:
        (folder / f"weights{ending}").write_bytes(content)
        net = nets.lenet()
        load_weights(net, folder / f"weights{ending}")
        return [tensor.numpy().tobytes() for tensor in net.state_dict().values()]

    return Reader(inputs, originals, read, kind=kind)


def _config(inputs: int) -> Reader:
    from gluonbook.cli.options import of_trainer
    from gluonbook.nets.edition import EDITIONS
    from gluonbook.recipes import RECIPES
    from gluonbook.runs.config import CONFIG

    def originals(folder: Path) -> list[bytes]:
        options = vars(of_trainer("lenet", ["--seed", "1", "--save-every", "9"]))
        recipe = RECIPES["lenet"]
        config = {
            **{"section": "lenet", "options": options, "optimizer": recipe.optimizer},
            **{"initializer": recipe.initializer, "dataset": {"edition": "2017-08-31"}},
        }
        return [json.dumps(config, indent=2).encode()]

    def read(folder: Path, content: bytes) -> object:
        (folder / CONFIG).write_bytes(content)
        options = of_trainer("lenet", ["--resume", str(folder)])
        possible = options.batch_size >= 1 and options.lr > 0 and options.edition in EDITIONS
        return possible and vars(options)

    def structured(content: bytes, rng: random.Random) -> bytes:
        return json.dumps(lie(json.loads(content), rng)).encode()

    return Reader(inputs, originals, read, structured, UNCHECKED)


def readers() -> dict[str, Callable[[], Reader]]:
    from gluonbook.data import fashion_mnist as fm

    return {
        "IDX labels, gzip": lambda: _data_file(fm.TEST_LABELS, 2000, True),
        "IDX labels": lambda: _data_file(fm.TRAIN_LABELS, 2000, False),
        "IDX images, gzip": lambda: _data_file(fm.TEST_IMAGES, 500, True),
        "IDX images": lambda: _data_file(fm.TRAIN_IMAGES, 250, False),
        "checkpoint": lambda: _checkpoint(3000),
        "configuration of a run": lambda: _of_a_run(800, "config.json"),
        "parameters of a run": lambda: _of_a_run(1500, "lenet.params"),
        "symbol of a run": lambda: _of_a_run(500, "lenet-symbol.json"),
        "exported parameters of a run": lambda: _of_a_run(500, "lenet-0000.params"),
        "history of a run": lambda: _of_a_run(600, "history.csv"),
        "digests of a run": lambda: _of_a_run(600, "SHA256SUMS"),
        "state_dict": lambda: _torch_weights(1500, ".pt"),
        "safetensors": lambda: _torch_weights(1500, ".safetensors"),
        ".params": lambda: _parameters(2000),
        "safetensors of others": lambda: _torch_weights(500, ".safetensors", UNCHECKED),
        "configuration alone": lambda: _config(750),
        "checkpoint, forged": lambda: _checkpoint(1500, forged=True),
    }


# --- one process for each reader ------------------------------------------------------------


def child(kind: str, inputs: int, seed: int, folder: Path) -> dict[str, Any]:
    """Try `inputs` damaged files on one reader, in this process."""
    import logging

    from gluonbook.system.errors import Failure
    import mxnet as mx

    logging.disable(logging.CRITICAL)
    reader = readers()[kind]()
    rng = random.Random(seed)
    (folder / "files").mkdir()
    originals = reader.originals(folder)
    (folder / "run").mkdir(exist_ok=True)
    before = _tree(folder)

    def read(content: bytes) -> object:
        (folder / "input").write_bytes(content)  # what is left if the process dies
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        try:
            return reader.read(folder / "files", content)
        finally:
            faulthandler.cancel_dump_traceback_later()

    values = {original: read(original) for original in originals}
    counts: collections.Counter[str] = collections.Counter()
    slowest, defects = 0.0, []
    for i in range(inputs):
        original = rng.choice(originals)
        if reader.structured is not None and (reader.kind == FORGED or rng.random() < 0.35):
            content = reader.structured(original, rng)
        else:
            content = damage(original, rng)
        start = time.perf_counter()
        try:
            found = read(content)
            if found is False or (reader.kind == DAMAGED and found != values[original]):
                outcome = "wrongly accepted"
            else:
                outcome = "the same" if found == values[original] else "other values"
        except (Failure, mx.base.MXNetError) as error:
            outcome = "refused"
            if "\n" in str(error) and isinstance(error, Failure):
                defects.append(f"several lines: {error!r}")
        except BaseException as error:
            outcome = "another error"
            defects.append(f"input {i}: {error!r}")
        slowest = max(slowest, time.perf_counter() - start)
        counts[outcome] += 1
    if _tree(folder) != before:
        defects.append("something was written outside of the folder of files")
    peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    return {
        **{"kind": kind, "inputs": inputs, **counts, "slowest_s": slowest},
        **{"peak_bytes": int(peak[1]) * 1024 if peak else 0, "defects": defects[:5]},
    }


def _tree(folder: Path) -> set[str]:
    """What is in `folder`, but for the files handed to the reader."""
    return {
        str(path)
        for path in folder.rglob("*")
        if path.relative_to(folder).parts[0] not in ("files", "input")
    }


def run(kind: str, inputs: int, seed: int) -> dict[str, Any]:
    """Run `child` in its own process, so that a crash or a hang is counted too."""
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(
            [sys.executable, "-c", CHILD, kind, str(inputs), str(seed), scratch],
            capture_output=True,
            text=True,
            cwd=Path(__file__).parent,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        if done.returncode != 0:
            return {
                **{"kind": kind, "inputs": inputs, "died": done.returncode},
                "defects": [done.stderr[-1500:]],
            }
    return json.loads(done.stdout.splitlines()[-1])


CHILD = """
import json, pathlib, sys
import fuzz
kind, inputs, seed, folder = sys.argv[1:]
print(json.dumps(fuzz.child(kind, int(inputs), int(seed), pathlib.Path(folder))))
"""


def faults(result: dict[str, Any]) -> list[str]:
    """What is wrong with a result of `run`."""
    found = list(result["defects"])
    if result.get("wrongly accepted"):
        found.append(f"{result['wrongly accepted']} wrongly accepted")
    if result.get("peak_bytes", 0) > MEMORY:
        found.append(f"{result['peak_bytes'] / 2**20:.0f} MiB of memory")
    return found


def fuzz_readers(num_inputs: int, seed: int) -> list[dict[str, Any]]:
    """Share out `num_inputs` files among the readers."""
    kinds = {name: make() for name, make in readers().items()}
    whole = sum(reader.inputs for reader in kinds.values())
    rows = []
    for name, reader in kinds.items():
        found = run(name, -(-reader.inputs * num_inputs // whole), seed)
        rows.append(
            {
                **{"file": name, "kind": reader.kind, "tried": found["inputs"]},
                **{outcome: found.get(outcome, 0) for outcome in OUTCOMES},
                **{"faults": faults(found), "figures": found},
            }
        )
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    options = results.parser(__doc__)
    options.add_argument("--inputs", type=int, default=20_000, help="over all readers")
    options.add_argument("--seed", type=int, default=1, help="of the damage")
    options = options.parse_args()
    rows = fuzz_readers(options.inputs, options.seed)
    table = results.markdown(
        ["file", "kind", "tried", *OUTCOMES, "faults", "slowest", "memory"],
        [
            [row["file"], row["kind"]]
            + [f"{row[figure]:,}" for figure in ("tried", *OUTCOMES)]
            + [str(len(row["faults"])), f"{row['figures'].get('slowest_s', 0):.2f} s"]
            + [f"{row['figures'].get('peak_bytes', 0) / 2**20:.0f} MiB"]
            for row in rows
        ],
    )
    results.write("fuzz", options.out, "Damaged files", table, rows)
    if any(row["faults"] for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()

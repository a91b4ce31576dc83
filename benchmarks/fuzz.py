"""Give damaged and hostile files to every reader, and count what happens."""

from __future__ import annotations

import argparse
import collections
import faulthandler
import gzip
import json
import os
from pathlib import Path
import random
import re
import struct
import subprocess
import sys
import tempfile
import time
from typing import Any, Callable, NamedTuple

SECONDS, MEMORY = 20, 2**30
EXTREME = [0, 1, 0x7F, 0xFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**31, 2**62, 2**63 - 1, 2**63, 2**64 - 1]
WEIRD: list[Any] = [
    *(None, True, -1, 0, 10**9, 2**62, 2**70, 1e308, -0.5, "", "x", "../..", "9" * 5000),
    *("\x1b[2J", "a\nb", "\udce9"),
    *([], {}, [[]], {"": None}, [0] * 50, "\x00", "٣"),
]


class Reader(NamedTuple):
    """A reader of one kind of file, and how many of 20,000 inputs are for it."""

    inputs: int
    originals: Callable[[Path], list[bytes]]
    """Real files to damage, made in a scratch folder."""
    read: Callable[[Path, bytes], bool]
    """Reads the bytes from the folder; False if it accepts what it should not."""
    structured: Callable[[bytes, random.Random], bytes] | None = None
    """A change that keeps the format but lies in its content."""


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


def _checkpoint(inputs: int) -> Reader:
    from gluonbook.checkpoints.checkpoint import Checkpoint
    from gluonbook.checkpoints.format import Progress, digest
    from gluonbook.data.image_batches import ImageBatches
    from gluonbook.figures.history import Epoch, History
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

    def read(folder: Path, content: bytes) -> bool:
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
        return (
            all(param.data().shape == param.shape for param in net.collect_params().values())
            and at.epoch == len(history) + 1
            and at.batch <= len(batches)
        )

    def structured(content: bytes, rng: random.Random) -> bytes:
        length = int.from_bytes(content[:8], "little")
        state = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["state"])
        arrays = safetensors.numpy.load(content)
        if rng.random() < 0.3:
            arrays.pop(rng.choice(list(arrays)))
        text = json.dumps(lie(state, rng))
        metadata = {"state": text, "sha256": digest(text, arrays)}
        return safetensors.numpy.save(arrays, metadata)

    return Reader(inputs, originals, read, structured)


def _parameters(inputs: int) -> Reader:
    from gluonbook.export import load_parameters, save_parameters

    def originals(folder: Path) -> list[bytes]:
        save_parameters(_lenet(), folder / "net.params")
        return [(folder / "net.params").read_bytes()]

    def read(folder: Path, content: bytes) -> bool:
        (folder / "net.params").write_bytes(content)
        load_parameters(_lenet(), folder / "net.params")
        return True

    return Reader(inputs, originals, read)


def _torch_weights(inputs: int, ending: str) -> Reader:
    from gluonbook.pytorch import nets
    from gluonbook.pytorch.transfer import load_weights, save_weights

    def originals(folder: Path) -> list[bytes]:
        save_weights(nets.lenet(), folder / f"weights{ending}")
        return [(folder / f"weights{ending}").read_bytes()]

    def read(folder: Path, content: bytes) -> bool:
        (folder / f"weights{ending}").write_bytes(content)
        load_weights(nets.lenet(), folder / f"weights{ending}")
        return True

    return Reader(inputs, originals, read)


def _config(inputs: int) -> Reader:
    from gluonbook.cli import options as chapter_options
    from gluonbook.nets.edition import EDITIONS
    from gluonbook.recipes import RECIPES

    def originals(folder: Path) -> list[bytes]:
        options = vars(chapter_options.parse("lenet", ["--seed", "1", "--save-every", "9"]))
        del options["given"]
        recipe = RECIPES["lenet"]
        config = {
            **{"section": "lenet", "options": options, "optimizer": recipe.optimizer},
            **{"initializer": recipe.initializer, "dataset": {"edition": "2017-08-31"}},
        }
        return [json.dumps(config, indent=2).encode()]

    def read(folder: Path, content: bytes) -> bool:
        (folder / chapter_options.CONFIG).write_bytes(content)
        options = chapter_options.parse("lenet", ["--resume", str(folder)])
        return options.batch_size >= 1 and options.lr > 0 and options.edition in EDITIONS

    def structured(content: bytes, rng: random.Random) -> bytes:
        return json.dumps(lie(json.loads(content), rng)).encode()

    return Reader(inputs, originals, read, structured)


def readers() -> dict[str, Callable[[], Reader]]:
    from gluonbook.data import fashion_mnist as fm

    return {
        "IDX labels, gzip": lambda: _data_file(fm.TEST_LABELS, 3000, True),
        "IDX labels": lambda: _data_file(fm.TRAIN_LABELS, 2500, False),
        "IDX images, gzip": lambda: _data_file(fm.TEST_IMAGES, 700, True),
        "IDX images": lambda: _data_file(fm.TRAIN_IMAGES, 300, False),
        "checkpoint": lambda: _checkpoint(4500),
        "configuration of a run": lambda: _config(2000),
        ".params": lambda: _parameters(3500),
        "state_dict": lambda: _torch_weights(2000, ".pt"),
        "safetensors": lambda: _torch_weights(1500, ".safetensors"),
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
    counts: collections.Counter[str] = collections.Counter()
    slowest, defects = 0.0, []
    for i in range(inputs):
        content = rng.choice(originals)
        if reader.structured is not None and rng.random() < 0.35:
            content = reader.structured(content, rng)
        else:
            content = damage(content, rng)
        (folder / "input").write_bytes(content)  # what is left if the process dies
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        start = time.perf_counter()
        try:
            outcome = "accepted" if reader.read(folder / "files", content) else "wrongly accepted"
        except (Failure, mx.base.MXNetError) as error:
            outcome = "refused"
            if "\n" in str(error) and isinstance(error, Failure):
                defects.append(f"several lines: {error!r}")
        except BaseException as error:
            outcome = "another error"
            defects.append(f"input {i}: {error!r}")
        slowest = max(slowest, time.perf_counter() - start)
        faulthandler.cancel_dump_traceback_later()
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
            [sys.executable, __file__, kind, str(inputs), str(seed), scratch],
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        if done.returncode != 0:
            return {
                **{"kind": kind, "inputs": inputs, "died": done.returncode},
                "defects": [done.stderr[-1500:]],
            }
    return json.loads(done.stdout.splitlines()[-1])


def faults(result: dict[str, Any]) -> list[str]:
    """What is wrong with a result of `run`."""
    found = list(result["defects"])
    if result.get("wrongly accepted"):
        found.append(f"{result['wrongly accepted']} wrongly accepted")
    if result.get("peak_bytes", 0) > MEMORY:
        found.append(f"{result['peak_bytes'] / 2**20:.0f} MiB of memory")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind")
    parser.add_argument("inputs", type=int)
    parser.add_argument("seed", type=int)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    print(json.dumps(child(options.kind, options.inputs, options.seed, options.folder)))

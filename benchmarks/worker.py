"""One form of a net in a process of its own, which takes a measurement whenever it is told to.

So each form has the number of threads it would have by itself, and memory of its own.
"""

from __future__ import annotations

from functools import partial
import importlib
import os
import subprocess
import sys
import time
from typing import Callable, Iterator

#: A measurement repeats its work until this much time has passed.
LEAST_SECONDS = 1.0
#: Images in memory that batches are drawn from when loading is measured.
LOADED = 5120


class Worker:
    """A process that trains or infers with one form of a section's net on one batch."""

    def __init__(self, form: str, section: str, batch_size: int, threads: int | None = None):
        """`threads` None leaves MXNet what it takes by itself: of threads, and for copies."""
        environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
        if threads is not None:
            environment["OMP_NUM_THREADS"] = str(threads)
        else:
            environment["MXNET_CPU_PARALLEL_SIZE"] = "200000"
        self._process = subprocess.Popen(
            [sys.executable, __file__, form, section, str(batch_size), str(threads or "")],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def seconds(self, work: str) -> float:
        """Seconds that one batch of ``"train"``, ``"infer"`` or ``"load"`` takes."""
        try:
            print(work, file=self._process.stdin, flush=True)
            return float(self._process.stdout.readline())
        except (OSError, ValueError) as error:
            reason = self._process.stderr.read().strip().splitlines() or ["it ended"]
            raise RuntimeError(f"{' '.join(self._process.args[2:5])}: {reason[-1]}") from error

    def close(self) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.stderr.close()
        self._process.wait()


def _endless(batch_size: int, size: int) -> Iterator[list]:
    """Shuffled batches as a training gets them, epoch after epoch."""
    from gluonbook.fashion_mnist import fashion_mnist
    import mxnet as mx

    batches, _ = fashion_mnist().batches(batch_size, size, limit=LOADED, seed=1)
    while True:
        yield from batches.shards([mx.cpu()])


def _load(stream: Iterator[list], X: object, y: object) -> None:
    [(images, _)] = next(stream)
    images.wait_to_read()


def _serve(form: str, section: str, batch_size: int, threads: str) -> None:
    # Before gluonbook, which would choose the number of threads.
    mx = importlib.import_module("mxnet")
    from gluonbook.fashion_mnist import fashion_mnist
    from gluonbook.form import IMPERATIVE, GluonForm
    from gluonbook.recipes import RECIPES

    recipe = RECIPES[section]
    lr = recipe.lr / 100
    if form.startswith("Gluon"):
        side = GluonForm(recipe, "pytorch", lr=lr, hybridize=form != IMPERATIVE)
    else:  # in a process without PyTorch, whose threads slow MXNet's shortest steps
        from gluonbook.pytorch.speed import TorchForm
        import torch

        torch.set_num_threads(int(threads))
        side = TorchForm(form, section, lr)
    batches, _ = fashion_mnist().batches(batch_size, recipe.size, limit=batch_size, seed=1)
    [(X, y)] = batches.arrays()
    works: dict[str, Callable[..., object]] = {
        "train": side.train,
        "infer": side.infer,
        "load": partial(_load, _endless(batch_size, recipe.size)),
    }
    for line in sys.stdin:
        work, times, start = works[line.strip()], 0, time.perf_counter()
        while time.perf_counter() - start < LEAST_SECONDS:
            work(X, y)
            times += 1
        mx.nd.waitall()
        print((time.perf_counter() - start) / times, flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])

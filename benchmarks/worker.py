"""One form of a net in a process of its own, which takes a measurement whenever it is told to.

So each form has the number of threads it would have by itself, and memory of its own.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
from typing import Callable

#: A measurement repeats its work until this much time has passed.
LEAST_SECONDS = 1.0


class Worker:
    """A process that trains or infers with one form of a section's net on one batch."""

    def __init__(self, form: str, section: str, batch_size: int, threads: int | None = None):
        """`threads` None leaves MXNet the number that it takes by itself."""
        environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
        if threads is not None:
            environment["OMP_NUM_THREADS"] = str(threads)
        self._process = subprocess.Popen(
            [sys.executable, __file__, form, section, str(batch_size), str(threads or "")],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def seconds(self, work: str) -> float:
        """Seconds that one batch of ``"train"`` or ``"infer"`` takes."""
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


def _serve(form: str, section: str, batch_size: int, threads: str) -> None:
    # Before gluonbook, which would choose the number of threads.
    mx = importlib.import_module("mxnet")
    from gluonbook.fashion_mnist import fashion_mnist
    from gluonbook.pytorch.speed import Side
    from gluonbook.recipes import RECIPES
    import torch

    if threads:
        torch.set_num_threads(int(threads))
    recipe = RECIPES[section]
    batches, _ = fashion_mnist().batches(batch_size, recipe.size, limit=batch_size, seed=1)
    [(X, y)] = batches.arrays()
    side = Side(form, section, "pytorch", recipe.lr / 100)
    works: dict[str, Callable[..., None]] = {"train": side.train, "infer": side.infer}
    for line in sys.stdin:
        work, times, start = works[line.strip()], 0, time.perf_counter()
        while time.perf_counter() - start < LEAST_SECONDS:
            work(X, y)
            times += 1
        mx.nd.waitall()
        print((time.perf_counter() - start) / times, flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])

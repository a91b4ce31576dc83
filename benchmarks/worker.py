"""One form of a net in a process of its own, which takes a measurement whenever it is told to.

So each form has the number of threads it would have by itself, and memory of its own.
"""

from __future__ import annotations

from functools import partial
import importlib
import os
import sys
import time
from typing import Callable, Iterator

from child import Child

#: A measurement repeats its work until this much time has passed.
LEAST_SECONDS = 1.0
#: Images in memory that batches are drawn from when loading is measured.
LOADED = 5120


class Worker(Child):
    """A process that trains or infers with one form of a section's net on one batch.

    Asked ``"train"``, ``"infer"`` or ``"load"``, it answers with the seconds that one batch takes.
    """

    def __init__(self, form: str, section: str, batch_size: int, threads: int | None = None):
        """`threads` None leaves MXNet what it takes by itself: of threads, and for copies."""
        environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
        if threads is not None:
            environment["OMP_NUM_THREADS"] = str(threads)
        else:
            environment["MXNET_CPU_PARALLEL_SIZE"] = "200000"
        super().__init__(__file__, form, section, batch_size, threads or "", env=environment)


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

"""The nets that benchmarks measure, each in a process of its own.

A form of a net does one training step or one inference. A `Worker` holds it in its own process,
so that it has all threads and its memory can be told apart.
"""

from __future__ import annotations

from functools import partial
import json
import sys
import time
from typing import Any, Callable, Iterator, Mapping, Protocol

import mxnet as mx
from mxnet import autograd, gluon, nd
import numpy as np
import psutil

from ..data.image_batches import ImageBatches
from ..recipes import Recipe, recipe_of
from ..system.contention import PERIOD
from ..system.machine import peak_resident
from ..training.graphs import inference_of, step_of
from .subprocess_worker import SubprocessWorker

HYBRIDIZED = "Gluon, hybridized"


class Form(Protocol):
    """X is float32 (N, 1, H, W), y int32 (N,). Each call returns once all is computed."""

    def train(self, X: np.ndarray, y: np.ndarray) -> object: ...

    def infer(self, X: np.ndarray, y: np.ndarray) -> object: ...


def untrained(recipe: Recipe, edition: str = "gluon") -> Any:
    """The net of a recipe with its initial weights."""
    net = recipe.net(edition)
    net.initialize(mx.init.create(recipe.initializer))
    return net


class GluonForm:
    """A Gluon net that trains by its recipe and infers."""

    def __init__(
        self,
        recipe: Recipe,
        edition: str = "gluon",
        *,
        lr: float | None = None,
        hybridize: bool = True,
    ) -> None:
        self.net: Any = untrained(recipe, edition)
        if hybridize:
            self.net.hybridize(static_alloc=True, static_shape=True)
        self._step = step_of(self.net, gluon.loss.SoftmaxCrossEntropyLoss())
        self._trainer = gluon.Trainer(
            self.net.collect_params(),
            recipe.optimizer,
            {"learning_rate": recipe.lr if lr is None else lr},
        )
        self._batch_size = recipe.batch_size
        self._infer: Any = None

    def train(self, X: np.ndarray, y: np.ndarray) -> nd.NDArray:
        """The losses (N,) before the step."""
        self._infer = None  # it has the weights of before
        with autograd.record():
            losses = self._step(nd.from_numpy(X, zero_copy=False), nd.array(y)).losses
        losses.backward()
        self._trainer.step(self._batch_size)
        nd.waitall()
        return losses

    def infer(self, X: np.ndarray, y: np.ndarray) -> None:
        if self._infer is None:
            self._infer = inference_of(self.net, [mx.cpu()])
        self._infer(nd.from_numpy(X, zero_copy=False)).wait_to_read()


# --- in a process of its own ----------------------------------------------------------------

#: A measurement repeats its work until this much time has passed.
LEAST_SECONDS = 1.0
#: The seconds before a measurement. After these the `contention` watch has seen for a whole period
#: that the process which was measured before is at rest, and lets the threads spin again.
AT_REST = 2 * PERIOD
#: Single inferences of which the 99th percentile is taken.
LEAST_CALLS = 300
#: Images in memory that batches are drawn from when loading is measured.
LOADED = 5120


class Worker(SubprocessWorker):
    """A form of a section's net that is measured whenever it is told to.

    Asked ``"train"``, ``"infer"`` or ``"load"``, it answers with the seconds that one batch takes;
    asked ``"latency"``, with the median and the 99th percentile of the seconds of single
    inferences; asked ``"memory"``, with the bytes by which two training steps raise the peak of the
    process.

    Parameters
    ----------
    module
        Its ``main()`` calls `serve`.
    size
        The images' height and width, by default the recipe's.
    env
        Its environment, by default that of this process.
    """

    def __init__(
        self,
        module: str,
        form: str,
        section: str,
        edition: str,
        batch_size: int,
        size: int | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        code = f"from {module} import main; main()"
        size = size or recipe_of(section).size
        super().__init__("-c", code, form, section, edition, batch_size, size, env=env)


def serve(make: Callable[[str, str, str, float], Form]) -> None:
    """Be the process of a `Worker`; `make` takes form, section, edition and learning rate.

    Inputs are random, so that no other library computes anything in this process: a second team
    of OpenMP threads would slow both.
    """
    form, section, edition = sys.argv[1:4]
    batch_size, size = map(int, sys.argv[4:])
    X = np.random.rand(batch_size, 1, size, size).astype(np.float32)
    y = np.random.randint(0, 10, batch_size).astype(np.int32)
    before = psutil.Process().memory_info().rss
    side = make(form, section, edition, recipe_of(section).lr / 100)
    stream = _batches(batch_size, size)

    def memory() -> int:
        for _ in range(2):
            side.train(X, y)
        return peak_resident() - before

    infer = partial(side.infer, X, y)
    answers: dict[str, Callable[[], float | list[float]]] = {
        "train": partial(seconds_each, partial(side.train, X, y)),
        "infer": partial(seconds_each, infer),
        "latency": partial(_latency, infer),
        "load": partial(seconds_each, partial(next, stream)),
        "memory": memory,
    }
    for line in sys.stdin:
        time.sleep(AT_REST)
        print(json.dumps(answers[line.strip()]()), flush=True)


def _batches(batch_size: int, size: int) -> Iterator[object]:
    """Shuffled batches as a training gets them, epoch after epoch."""
    number = batch_size * max(1, LOADED // batch_size)
    images = np.random.randint(0, 256, (number, 1, 28, 28)).astype(np.uint8)
    labels = np.zeros(number, np.int32)
    batches = ImageBatches(images, labels, batch_size, size=size, shuffle=True)
    while True:
        for [(X, y)] in batches.split_batches([mx.cpu()]):
            X.wait_to_read()
            yield X, y


def seconds_each(work: Callable[[], object]) -> float:
    """What one call takes, on average over at least `LEAST_SECONDS`."""
    times, start = 0, time.perf_counter()
    while time.perf_counter() - start < LEAST_SECONDS:
        work()
        times += 1
    return (time.perf_counter() - start) / times


def _latency(work: Callable[[], object]) -> list[float]:
    """Median and 99th percentile of the seconds that one call takes."""
    seconds: list[float] = []
    while len(seconds) < LEAST_CALLS or sum(seconds) < LEAST_SECONDS:
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return np.percentile(seconds, [50, 99]).tolist()


def main() -> None:
    serve(
        lambda form, section, edition, lr: GluonForm(
            recipe_of(section), edition, lr=lr, hybridize=form == HYBRIDIZED
        )
    )

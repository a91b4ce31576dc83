"""Speed and memory of a section's nets, interleaved in one run, with equal numbers of threads."""

from __future__ import annotations

from functools import partial
import itertools
import json
import os
import subprocess
import sys
import time
from typing import Any, Callable, Iterator, NamedTuple, cast

import numpy as np
import psutil
import torch
from torch.nn import functional as F

from ..fashion_mnist import ImageBatches
from ..form import HYBRIDIZED, IMPERATIVE, GluonForm
from ..recipes import RECIPES
from ..timing import interleaved, median
from .compare import torch_net

FORMS = (HYBRIDIZED, "PyTorch, as written", "PyTorch, channels_last", "PyTorch, compiled")
EPOCH = 60_000


class Speed(NamedTuple):
    """Medians of one form of a net."""

    form: str
    training: float
    """Images a second of training, without loading."""
    training_with_loading: float
    inference: float
    """Images a second of inference, without loading."""
    peak_memory: int | None
    """Bytes that two training steps added to a process of their own at most, if measured."""
    fault: str | None = None
    """Why the form did not run, or None."""

    @property
    def epoch_seconds(self) -> float:
        return EPOCH / self.training

    @property
    def epoch_seconds_with_loading(self) -> float:
        return EPOCH / self.training_with_loading


class TorchForm:
    """The PyTorch net of `section`, measured as `GluonForm` is."""

    def __init__(self, form: str, section: str, lr: float) -> None:
        self.net = cast(Any, torch_net(section))
        self.channels_last = form.endswith("channels_last")
        if self.channels_last:
            self.net = self.net.to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=lr)
        if form.endswith("compiled"):
            self.net = torch.compile(self.net)

    def train(self, X: np.ndarray, y: np.ndarray) -> None:
        self.net.train()
        self.optimizer.zero_grad()
        F.cross_entropy(self.net(self._tensor(X)), torch.from_numpy(y.astype(np.int64))).backward()
        self.optimizer.step()

    def infer(self, X: np.ndarray, y: np.ndarray) -> None:
        self.net.eval()
        with torch.no_grad():
            self.net(self._tensor(X))

    def _tensor(self, X: np.ndarray) -> torch.Tensor:
        tensor = torch.from_numpy(X)
        return tensor.to(memory_format=torch.channels_last) if self.channels_last else tensor


def form_of(form: str, section: str, edition: str, lr: float) -> GluonForm | TorchForm:
    """The form of that name; `edition` is the text that the Gluon net follows."""
    if form in FORMS[1:]:
        return TorchForm(form, section, lr)
    return GluonForm(RECIPES[section], edition, lr=lr, hybridize=form != IMPERATIVE)


def _endless(batches: ImageBatches) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Whole batches, epoch after epoch."""
    for _ in itertools.count():
        for X, y in batches.arrays():
            if len(y) == batches.batch_size:
                yield X, y


def measure(
    section: str,
    edition: str,
    batches: ImageBatches,
    rounds: int,
    *,
    compiled: bool = True,
    memory: bool = True,
) -> list[Speed]:
    """Images a second and peak memory of each form, medians of `rounds` interleaved rounds."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    lr, batch_size = RECIPES[section].lr / 100, batches.batch_size
    stream = _endless(batches)
    X, y = next(stream)
    sides, faults = {}, {}
    for form in FORMS if compiled else FORMS[:-1]:
        side = form_of(form, section, edition, lr)
        try:
            side.train(X, y)
            side.infer(X, y)
            sides[form] = side
        except Exception as error:
            faults[form] = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"

    def rates(work: Callable[[GluonForm | TorchForm], None]) -> dict[str, float]:
        measured = interleaved(
            {form: partial(_seconds, partial(work, side)) for form, side in sides.items()}, rounds
        )
        return {form: batch_size / median(seconds) for form, seconds in measured.items()}

    training = rates(lambda side: side.train(X, y))
    with_loading = rates(lambda side: side.train(*next(stream)))
    inference = rates(lambda side: side.infer(X, y))
    return [
        Speed(
            form,
            training[form],
            with_loading[form],
            inference[form],
            # Compiling takes a minute again in the process that measures memory.
            peak_memory(section, edition, form, batch_size)
            if memory and not form.endswith("compiled")
            else None,
        )
        if form in sides
        else Speed(form, 0.0, 0.0, 0.0, None, faults[form])
        for form in (FORMS if compiled else FORMS[:-1])
    ]


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peak_memory(
    section: str, edition: str, form: str, batch_size: int, size: int | None = None
) -> int | None:
    """Bytes by which two training steps raise the peak of a fresh process, or None.

    `size` is the images' height and width, by default the recipe's.
    """
    size = size or RECIPES[section].size
    result = subprocess.run(
        [sys.executable, "-m", __name__, section, edition, form, str(batch_size), str(size)],
        capture_output=True,
        text=True,
    )
    return int(json.loads(result.stdout)) if result.returncode == 0 else None


def _print_peak_memory(section: str, edition: str, form: str, batch_size: str, size: str) -> None:
    X = np.random.rand(int(batch_size), 1, int(size), int(size)).astype(np.float32)
    y = np.zeros(int(batch_size), np.int32)
    before = psutil.Process().memory_info().rss
    side = form_of(form, section, edition, 1e-4)
    for _ in range(2):
        side.train(X, y)
    print(_peak_resident() - before)


def _peak_resident() -> int:
    """Greatest resident size of this process so far, in bytes.

    getrusage will not do: its figure begins with the parent's.
    """
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status states no VmHWM")


if __name__ == "__main__":
    _print_peak_memory(*sys.argv[1:])

"""Speed and memory of a section's nets, interleaved in one run, with equal numbers of threads."""

from __future__ import annotations

from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
import os
from statistics import median
from typing import Any, Callable, Iterator, Mapping, NamedTuple, Protocol, Sequence, cast

import numpy as np
import torch
from torch.nn import functional as F
from tqdm import tqdm

from ..measure import contenders
from ..measure.contenders import HYBRIDIZED, Worker, serve
from ..measure.interleaving import interleaved
from .numbers import torch_net

AS_WRITTEN = "PyTorch, as written"
TORCH_FORMS = (AS_WRITTEN, "PyTorch, channels_last", "PyTorch, compiled")
FORMS = (HYBRIDIZED, *TORCH_FORMS)
LOADING = "loading"
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


def main() -> None:
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    serve(lambda form, section, edition, lr: TorchForm(form, section, lr))


class Answering(Protocol):
    """A process that answers questions, as a `SubprocessWorker` does."""

    def ask(self, question: str) -> Any: ...

    def close(self) -> None: ...


class _Shown:
    """A form's process that says on a progress bar what it is asked, and when it has answered."""

    def __init__(self, form: str, worker: Answering, bar: tqdm[Any]) -> None:
        self._form, self._worker, self._bar = form, worker, bar
        self.close = worker.close

    def ask(self, question: str) -> Any:
        self._bar.set_description(f"{self._form}: {question}")
        answer = self._worker.ask(question)
        self._bar.update()
        return answer


def worker_of(
    form: str, section: str, edition: str, batch_size: int, size: int | None = None
) -> Worker:
    """The form of that name; `edition` is the text that a Gluon net follows."""
    module = __name__ if form in TORCH_FORMS else contenders.__name__
    return Worker(module, form, section, edition, batch_size, size)


@contextmanager
def workers_of(
    forms: Sequence[str],
    section: str,
    edition: str,
    batch_size: int,
    questions: Sequence[str],
    worker_of: Callable[[str, str, str, int], Answering] = worker_of,
) -> Iterator[tuple[dict[str, Answering], dict[str, str]]]:
    """A process for each form that has answered the questions once, and why others could not."""
    workers: dict[str, Answering] = {}
    faults: dict[str, str] = {}
    with ExitStack() as stack:
        for form in forms:
            worker = stack.enter_context(closing(worker_of(form, section, edition, batch_size)))
            try:
                for question in questions:
                    worker.ask(question)
                workers[form] = worker
            except RuntimeError as error:
                faults[form] = str(error)
        yield workers, faults


def seconds_of(workers: Mapping[str, Answering], work: str, rounds: int) -> dict[str, list[float]]:
    """Seconds that each form takes for a batch, one figure per round, the forms interleaved.

    ``LOADING`` is beside them where they train: the loader is the same for all forms, so one of
    the Gluon workers answers for it.
    """
    sides = {form: partial(worker.ask, work) for form, worker in workers.items()}
    if work == "train" and HYBRIDIZED in workers:
        sides[LOADING] = partial(workers[HYBRIDIZED].ask, "load")
    return interleaved(sides, rounds)


def measure(
    section: str, edition: str, batch_size: int, rounds: int, *, compiled: bool = True
) -> list[Speed]:
    """Images a second and peak memory of each form, medians of `rounds` interleaved rounds.

    On a terminal a progress bar says what is being measured.
    """
    forms = FORMS if compiled else FORMS[:-1]
    works = ("train", "infer")
    # Each form answers once to begin with and once a round, of which one more warms up.
    answers = len(works) * len(forms) * (rounds + 2) + (rounds + 1)  # the last of loading
    with tqdm(total=answers, unit="answer", leave=False, disable=None) as bar:

        def shown(form: str, *given: Any) -> Answering:
            return _Shown(form, worker_of(form, *given), bar)

        with workers_of(forms, section, edition, batch_size, works, shown) as (workers, faults):
            seconds = {work: seconds_of(workers, work, rounds) for work in works}
    loading = median(seconds["train"].get(LOADING, [0.0]))

    def speed(form: str) -> Speed:
        if form in faults:
            return Speed(form, 0.0, 0.0, 0.0, None, faults[form])
        training, inference = (median(seconds[work][form]) for work in works)
        return Speed(
            form,
            batch_size / training,
            batch_size / (training + loading),
            batch_size / inference,
            # Compiling takes a minute again in the process that measures memory.
            None if form.endswith("compiled") else peak_memory(section, edition, form, batch_size),
        )

    return [speed(form) for form in forms]


def peak_memory(
    section: str, edition: str, form: str, batch_size: int, size: int | None = None
) -> int | None:
    """Bytes by which two training steps raise the peak of a fresh process, or None.

    `size` is the images' height and width, by default the recipe's.
    """
    worker = worker_of(form, section, edition, batch_size, size)
    with closing(worker), suppress(RuntimeError):
        return worker.ask("memory")
    return None

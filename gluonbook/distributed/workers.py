"""What a process knows of the workers that train with it, and what they tell one another.

Each worker computes the gradients of its part of a batch. A server adds them up, which MXNet's
key-value store ``dist_sync`` does, and each worker then updates its own copy of the parameters.
MXNet would rather update on the server. But there no worker sees the state of the optimizer, such
as momentum, and the first could not save it. Updated by the workers, it is the same on each.
"""

from __future__ import annotations

import atexit
from contextlib import contextmanager
import functools
import os
import sys
from types import TracebackType
from typing import Any, Iterator, Sequence

import mxnet as mx
from mxnet import gluon, nd
import numpy as np

from ..system import mxnet_private
from ..system.errors import Failure
from . import environment
from .watchdog import Watchdog, end_now

#: Seconds for which a worker waits for the others while they get ready or write their results.
PATIENCE = 600
#: Numbers of the store's entries: a trainer counts its parameters from 0, and these come after.
_FIRST_KEY = 10**6
#: Bytes that are sent together.
_CHUNK = 2**22


class Workers:
    """The workers of a run, as one of them sees them. By default there is one, this process.

    All workers have to call the methods that talk to the others in the same order.

    Attributes
    ----------
    rank, count
        The number of this worker, from 0, and how many there are. The first prints and saves.
    kvstore
        What ``gluon.Trainer`` takes as its key-value store.
    """

    def __init__(
        self,
        rank: int = 0,
        count: int = 1,
        kvstore: Any = "device",
        watchdog: Watchdog | None = None,
        timeout: float = PATIENCE,
    ) -> None:
        self.rank, self.count, self.kvstore = rank, count, kvstore
        self._watchdog, self._timeout = watchdog, timeout
        self._keys: dict[int, int] = {}  # by the number of values

    @property
    def alone(self) -> bool:
        """Whether this process trains by itself."""
        return self.count == 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    @property
    def part(self) -> tuple[int, int]:
        """Which part of each batch is this worker's, and of how many."""
        return self.rank, self.count

    def sum(self, values: Sequence[float]) -> list[float]:
        """The sums over all workers, in float64 and in their order: the same in every run.

        Whether the server adds float64 in float32 depends on which worker comes first. So each
        worker has a row of its own, in numbers of 16 bits, to which the others add zeros.
        """
        if self.alone:
            return list(values)
        rows = np.zeros((self.count, len(values)), np.float64)
        rows[self.rank] = values
        each = self._added_up(rows.view(np.uint16)).view(np.float64)
        # One after another: `sum` of Python 3.12 and later compensates for rounding.
        return functools.reduce(np.add, each).tolist()

    def from_first(self, content: bytes = b"") -> bytes:
        """What the first worker has given, on each of them."""
        if self.alone:
            return content
        if not self.is_first:
            content = b""
        [length] = self.sum([len(content)])
        received = []
        for start in range(0, int(length), _CHUNK):
            piece = content[start : start + _CHUNK].ljust(_CHUNK, b"\0")
            received.append(self._added_up(np.frombuffer(piece, np.uint16)).tobytes())
        return b"".join(received)[: int(length)]

    def join(self, trainer: gluon.Trainer, train_iter: object) -> None:
        """Let the trainer add up its gradients with those of the others.

        Raises
        ------
        Failure
            Unless the workers would train the same net, each on its own part.
        """
        if self.alone:
            return
        if not all(map(mxnet_private.has_values, mxnet_private.parameters_of(trainer))):
            raise Failure(
                f"{self.count} workers need a net whose shapes are known before they train: run it "
                "on one batch first"
            )
        mxnet_private.add_up_in(trainer, self.kvstore)
        if not mxnet_private.adds_up_in(trainer, self.kvstore):
            raise Failure(
                f"this is one of {self.count} workers, and its trainer works alone: give "
                "gluon.Trainer the argument kvstore=gluonbook.distributed.workers.workers().kvstore"
            )
        if getattr(train_iter, "part", None) != self.part:
            raise Failure(
                f"this is one of {self.count} workers, and its data is not divided among them: "
                "give load_data_fashion_mnist the argument "
                "part=gluonbook.distributed.workers.workers().part"
            )

    def share_parameters(self, trainer: gluon.Trainer) -> None:
        """Give all workers the same parameters to begin with."""
        if not self.alone:
            mxnet_private.fill_shared_store(trainer)

    def share_statistics(self, net: gluon.Block) -> None:
        """Give the running statistics of the first worker to all, which then evaluate one net."""
        if self.alone:
            return
        parameters = mxnet_private.parameters_by_place(net).values()
        params = [param for param in parameters if param.grad_req == "null"]
        own = [param.list_data()[0].asnumpy() for param in params]
        content = self.from_first(b"".join(value.tobytes() for value in own))
        if self.is_first:
            return
        start = 0
        for param, value in zip(params, own):
            end = start + value.nbytes
            given = np.frombuffer(content[start:end], value.dtype).reshape(value.shape)
            param.set_data(nd.array(given, dtype=value.dtype))
            start = end

    @contextmanager
    def stepping(self) -> Iterator[None]:
        """Within the block a step has to end in the time that the launcher has stated."""
        self._wait_for(self._timeout)
        try:
            yield
        finally:
            self._wait_for(PATIENCE)

    def beat(self) -> None:
        """Say that this worker gets on."""
        if self._watchdog is not None:
            self._watchdog.beat()

    def leave(self) -> None:
        """Wait until all workers are done, and end the servers."""
        self._wait_for(PATIENCE)
        mxnet_private.close(self.kvstore)

    def _wait_for(self, seconds: float) -> None:
        if self._watchdog is not None:
            self._watchdog.limit = seconds
            self._watchdog.beat()

    def _added_up(self, numbers: np.ndarray) -> np.ndarray:
        """uint16 of all workers, at each place of which all but one have 0.

        The server adds up nothing but floating-point numbers; float32 holds these exactly.
        """
        array = nd.array(numbers, dtype=np.float32)
        if array.size not in self._keys:
            self._keys[array.size] = _FIRST_KEY + len(self._keys)
            self.kvstore.init(self._keys[array.size], nd.zeros_like(array))
        self.kvstore.pushpull(self._keys[array.size], array)
        result = array.asnumpy().astype(np.uint16)
        self.beat()
        return result


@functools.lru_cache(maxsize=None)
def workers() -> Workers:
    """The workers that this process is one of. The first call waits until all are there.

    Raises
    ------
    Failure
        If a program other than ours has made this process a worker.
    """
    member = environment.member()
    if member is None or member.num_workers == 1:
        return Workers()
    who = f"worker {member.rank} of {member.num_workers}"
    sentence = f"{who} has waited {{}} s for the others: one has stopped, or the network is cut"
    watchdog = Watchdog(PATIENCE, sentence)
    before = os.umask(0o077)  # nobody else may open the socket at which this worker listens
    try:
        kvstore = mx.kv.create("dist_sync")
    except mx.base.MXNetError as error:
        if environment.BIND_FAILED in str(error):
            end_now(environment.TRY_AGAIN)
        raise
    finally:
        os.umask(before)
    os.environ["MXNET_UPDATE_ON_KVSTORE"] = "0"  # which Trainer reads
    joined = Workers(member.rank, member.num_workers, kvstore, watchdog, member.timeout)
    atexit.register(joined.leave)
    _end_at_once_on_an_error()
    return joined


def _end_at_once_on_an_error() -> None:
    """Let an error end this process, which in an orderly end would wait for the others first."""
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        previous(kind, error, trace)
        end_now(1)

    sys.excepthook = hook

"""The data iterators that the loop takes, and batches split over devices."""

from __future__ import annotations

import random
from typing import (
    Any,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Protocol,
    Sequence,
    Sized,
    runtime_checkable,
)

import mxnet as mx
from mxnet import gluon, nd
import numpy as np

from ..system import mxnet_private
from ..system.errors import Failure

#: One batch, split into one ``(X, y)`` for each device.
SplitBatch = Sequence["tuple[nd.NDArray, nd.NDArray]"]


class BatchError(Failure, ValueError):
    """A batch cannot be trained on, or its figures cannot be counted."""


@runtime_checkable
class PositionedLoader(Protocol):
    """A loader that begins at any batch of any epoch, so that a run goes on without reading again.

    Any other iterable of batches works too. The loop then splits and checks its batches, and skips
    those that a resumed run has done. It uses only iteration and ``len()`` of such an iterable.
    """

    seed: int
    """Of the shuffling: the order of an epoch follows from it and the epoch's number alone."""

    @property
    def facts(self) -> Mapping[str, object]:
        """What must be the same for a run to go on with these batches."""

    def __len__(self) -> int:
        """Number of batches in an epoch."""

    def split_batches(
        self, ctxs: Sequence[mx.Context], *, epoch: int | None = None, first: int = 0
    ) -> Iterator[SplitBatch]:
        """The batches of `epoch` (from 0; by default the next) from batch `first` on.

        The images are finite.
        """


def split_batches(data_iter: Iterable[Any], ctxs: Sequence[mx.Context]) -> Iterator[SplitBatch]:
    """Each batch of `data_iter`, split into one part for each device and moved there.

    A batch smaller than the number of devices uses only the first devices. The padding that
    MXNet's own iterators add to their last batch is dropped.

    Raises
    ------
    BatchError
        If a batch has more or fewer labels than examples, or `data_iter` is one of MXNet's
        iterators over files, which do not say what is padding.
    """
    if isinstance(data_iter, PositionedLoader):
        yield from data_iter.split_batches(ctxs)
        return
    padded = False
    if isinstance(data_iter, mx.io.DataIter):
        padded = _pads(data_iter)
        data_iter.reset()
    for batch in _known_types(data_iter):
        if isinstance(batch, mx.io.DataBatch):
            whole = len(batch.data[0]) - ((batch.pad or 0) if padded else 0)
            X, y = batch.data[0][:whole], batch.label[0][:whole]
        else:
            X, y = batch
        if len(X) != len(y):
            raise BatchError(f"a batch has {len(X)} examples and {len(y)} labels")
        if getattr(y, "dtype", None) == np.bool_:  # which MXNet has few operators for
            y = y.asnumpy() if isinstance(y, nd.NDArray) else y
            y = nd.array(y.astype(np.int32), dtype=np.int32)
        used = ctxs[: len(X)]
        yield list(
            zip(
                gluon.utils.split_and_load(X, used, even_split=False),
                gluon.utils.split_and_load(y, used, even_split=False),
            )
        )


def _known_types(data_iter: Iterable[Any]) -> Iterator[Any]:
    """The batches; a type of number that MXNet has none of is named."""
    try:
        yield from data_iter
    except KeyError as error:  # MXNet's, in which there is nothing but the type
        [kind] = error.args or [None]
        if not (isinstance(kind, type) and issubclass(kind, np.generic)):
            raise
        raise BatchError(
            f"MXNet has no arrays of {kind.__name__}: give images as float32 or uint8, and labels "
            "as int32"
        ) from error


def _pads(data_iter: mx.io.DataIter) -> bool:
    """Whether the rows that a batch's ``pad`` counts are padding at its end.

    With ``roll_over`` they are examples left over from the last pass, which this one begins with.
    """
    if any(isinstance(source, mx.io.MXDataIter) for source in _sources(data_iter)):
        # Their `pad` is 0, or that of another batch, and the rows are of this pass or of the next.
        raise BatchError(
            "MXNet's iterators over files (ImageRecordIter, CSVIter, MNISTIter and others) do not "
            "say which rows of a batch are padding, so that some examples would count twice and "
            "others not at all: use a gluon.data.DataLoader, for a record file of "
            "gluon.data.vision.ImageRecordDataset"
        )
    return not _rolls_over(data_iter)


def check_whole_passes(data_iter: Iterable[Any]) -> None:
    """Raise a `BatchError` if a pass leaves examples over for the next, as an evaluation may not.

    Each accuracy would be that of other examples.
    """
    if _rolls_over(data_iter):
        raise BatchError(
            "the test data leaves the rest of a pass over for the next (roll_over), so each "
            'accuracy would be that of other examples: use last_batch_handle="pad", or '
            'last_batch="keep" in a DataLoader'
        )


def _rolls_over(data_iter: Iterable[Any]) -> bool:
    if isinstance(data_iter, gluon.data.DataLoader):
        return mxnet_private.rolls_over(data_iter)
    return any(
        getattr(source, "last_batch_handle", None) == "roll_over" for source in _sources(data_iter)
    )


def _sources(data_iter: Iterable[Any]) -> list[Any]:
    """What MXNet's own wrappers of data iterators read from."""
    if isinstance(data_iter, mx.io.ResizeIter):
        return _sources(data_iter.data_iter)
    if isinstance(data_iter, mx.io.PrefetchingIter):
        return [source for each in data_iter.iters for source in _sources(each)]
    return [data_iter]


def facts_of(data_iter: Iterable[Any]) -> dict[str, object]:
    """The facts that a data iterator states about its data, or else its number of batches."""
    if isinstance(data_iter, PositionedLoader):
        return dict(data_iter.facts)
    return {"batches in an epoch": len(data_iter)} if isinstance(data_iter, Sized) else {}


# --- the workers of MXNet's DataLoader --------------------------------------------------------


def from_workers(
    loader: gluon.data.DataLoader, seed_of: Callable[[int], int], first: int
) -> Iterator[Any]:
    """One epoch from batch `first` on; each batch is made with the seed of its place.

    Any worker may make any batch, so one seed for each worker would not be enough.
    """

    def seeded(sampler: Iterable[Iterable[int]]) -> Iterator[_SeededIndices]:
        for place, indices in enumerate(sampler):
            if place >= first:
                yield _SeededIndices(list(indices), seed_of(place))

    return mxnet_private.batches_of_workers(loader, seeded)


class _SeededIndices:
    """Indices of a batch. A worker seeds its generators as it begins to go through them."""

    def __init__(self, indices: list[int], seed: int) -> None:
        self._indices, self._seed = indices, seed

    def __iter__(self) -> Iterator[int]:
        random.seed(self._seed)
        np.random.seed(self._seed)
        mx.random.seed(self._seed)
        return iter(self._indices)

"""Images in memory, served in batches.

One uint8 array (N, 1, 28, 28) → resized once to (N, 1, H, W) → in each epoch shuffled indices →
flipped and shifted, if asked for → one batch, scaled to [0, 1].
"""

from __future__ import annotations

import itertools
import logging
from pathlib import Path
from typing import Any, Final, Iterable, Iterator, Sequence

import mxnet as mx
from mxnet import nd
import numpy as np

from ..system.errors import whole_number
from ..system.machine import available_memory
from .augmentation import flip_and_shift
from .batches import BatchError, SplitBatch
from .device_images import DeviceImages, kept_on

log = logging.getLogger("gluonbook")

#: Images that are resized together.
_RESIZE_TOGETHER = 2048


class ImageBatches:
    """Batches ``(X, y)`` of images in memory, iterated as often as one likes.

    X is float32 in [0, 1] of shape (N, 1, H, W), y int32 of shape (N,), both on the CPU. The
    last batch may be smaller. ``len()`` is the number of batches.

    The images are kept as uint8 and resized once. If memory is too small for that, each batch is
    resized when it is made, with the same pixels. A GPU that trains keeps them too, if it has room;
    then only their numbers and labels go there in an epoch.

    Parameters
    ----------
    images, labels
        uint8 (N, 1, H, W) and int32 (N,). Neither is copied.
    size
        Height and width to resize to, bilinearly, as the book's ``Resize`` does; None keeps
        the images as they are.
    augment
        Flip and shift each image at random; see `flip_and_shift`.
    seed
        Of the shuffling and the flips and shifts. With None, one is drawn from NumPy's global
        generator.
    release, folder
        Of the data set, and where it was read from, for the record.
    part
        Which part of each batch to give, from 0, and of how many: for one of several processes
        that train together. All of them have to have the same seed.

    Attributes
    ----------
    images, labels, release, folder
        As they were given: the images before they are resized.

    Raises
    ------
    BatchError
        If not each part of a batch is as large as the others, or the last batch of a shuffled
        epoch has none for some part.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        batch_size: int,
        *,
        size: int | None = None,
        shuffle: bool = False,
        augment: bool = False,
        seed: int | None = None,
        release: str | None = None,
        folder: Path | None = None,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        self.images: Final = images
        self.labels: Final = labels
        self.release: Final = release
        self.folder: Final = folder
        self.part = part
        self.batch_size = whole_number("batch_size", batch_size, least=1)
        height = images.shape[-1]
        self.size = whole_number("resize", size, least=1) if size else height
        self.shuffle, self.augment = shuffle, augment
        self.seed = np.random.randint(2**31) if seed is None else whole_number("seed", seed, 2**32)
        self.epoch = 0
        self._resized: np.ndarray | None = images  # None if each batch is resized when it is made
        self._kept: dict[mx.Context, DeviceImages | None] = {}
        refuse_uneven_parts(part[1], self.batch_size)
        if shuffle:
            last = (self.num_examples - 1) % self.batch_size + 1
            if last < part[1]:
                raise BatchError(
                    f"the last batch of an epoch has {last} images for {part[1]} workers: take "
                    "fewer workers, or another number of images or batch size"
                )
        if self.size != height:
            needed = len(images) * self.size**2
            if needed > available_memory() // 2:
                log.info("images are resized batch by batch: %.1f GB for all", needed / 1e9)
                self._resized = None
            else:
                self._resized = resize(images, self.size)

    @property
    def num_examples(self) -> int:
        """Number of images in one epoch."""
        return len(self.labels)

    @property
    def facts(self) -> dict[str, object]:
        """What must be the same for a training to go on with these batches."""
        return {
            "the data set's edition": self.release,  # so named in the checkpoints of version 1.0
            "the number of images": self.num_examples,
            "the image size": self.size,
            "the batch size": self.batch_size,
            "shuffling": self.shuffle,
            **({"augmentation": "flips and shifts"} if self.augment else {}),
        }

    def __len__(self) -> int:
        return -(-self.num_examples // self.batch_size)

    def __iter__(self) -> Iterator[tuple[nd.NDArray, nd.NDArray]]:
        for [batch] in self.split_batches([mx.cpu()]):
            yield batch

    def arrays(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """One epoch as NumPy arrays: X float32 in [0, 1], y int32."""
        for own, changed in self._batches():
            yield _scaled(self._pixels(own) if changed is None else changed), self.labels[own]

    def split_batches(
        self, ctxs: Sequence[mx.Context], *, epoch: int | None = None, first: int = 0
    ) -> Iterator[SplitBatch]:
        """The batches of `epoch` from batch `first` on, each as a list of ``(X, y)``, one for
        each device. Epochs count from 0; by default it is the one after the last.

        A GPU gets uint8, which are cast and scaled there. A batch smaller than the number of
        devices uses only the first devices.
        """
        for own, changed in self._batches(epoch, first):
            numbers = np.array_split(own, min(len(ctxs), len(own)))
            pixels: Iterable[np.ndarray | None] = itertools.repeat(None)
            if changed is not None:
                pixels = np.array_split(changed, len(numbers))
            yield [self._load(*part) for part in zip(numbers, pixels, ctxs)]

    def _batches(
        self, epoch: int | None = None, first: int = 0
    ) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """The indices of the images of an epoch's batches, from batch `first` on.

        Beside them stand their pixels, if these are flipped and shifted.
        """
        if epoch is None:
            epoch = self.epoch
        order = self._order(epoch)
        self.epoch = epoch + 1
        for batch in range(first, len(self)):
            indices = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            own, changed = _part_of(indices, *self.part), None
            if self.augment:
                # From the place alone, so that a run goes on with the same images.
                random = np.random.RandomState([self.seed, epoch, batch])
                changed = _part_of(flip_and_shift(self._pixels(indices), random), *self.part)
            if len(own):  # a last batch may be too small to have a part for all
                yield own, changed

    def _order(self, epoch: int) -> np.ndarray:
        """Indices in the order of an epoch, which follows from the seed alone."""
        if not self.shuffle:
            return np.arange(self.num_examples)
        return np.random.RandomState([self.seed, epoch]).permutation(self.num_examples)

    def _pixels(self, indices: np.ndarray) -> np.ndarray:
        if self._resized is None:
            return resize(self.images[indices], self.size)
        return self._resized[indices]

    def _load(
        self, own: np.ndarray, changed: np.ndarray | None, ctx: mx.Context
    ) -> tuple[nd.NDArray, nd.NDArray]:
        """The images and labels of these indices on a device, with their pixels if changed."""
        y = nd.from_numpy(self.labels[own]).as_in_context(ctx)
        kept = self._kept_on(ctx) if changed is None else None
        if kept is not None:
            return kept.take(own), y
        pixels = self._pixels(own) if changed is None else changed
        if ctx.device_type == "gpu":
            return DeviceImages(pixels, ctx).all(), y
        return nd.from_numpy(_scaled(pixels)).as_in_context(ctx), y

    def _kept_on(self, ctx: mx.Context) -> DeviceImages | None:
        if ctx not in self._kept:
            self._kept[ctx] = None if self._resized is None else kept_on(ctx, self._resized)
        return self._kept[ctx]


def refuse_uneven_parts(num_parts: int, batch_size: int) -> None:
    """Raise a `BatchError` unless a batch can be divided into so many parts of one size."""
    if batch_size % num_parts:
        raise BatchError(
            f"{num_parts} workers cannot share a batch of {batch_size:,} evenly: choose a number "
            "of workers that divides the batch size"
        )


def _part_of(batch: np.ndarray, number: int, num_parts: int) -> np.ndarray:
    return np.array_split(batch, num_parts)[number]


def _scaled(pixels: np.ndarray) -> np.ndarray:
    """uint8 to float32 in [0, 1], as the book's ``ToTensor`` does, in one pass."""
    return np.divide(pixels, np.float32(255), out=np.empty(pixels.shape, np.float32))


def transform_of(size: int) -> dict[str, Any]:
    """How an image of Fashion-MNIST becomes the input of a net, for programs without this package.

    The image is gray and light on dark, of ``from`` pixels (H, W). It is resized to ``to`` with
    pixels of whole numbers, and divided.
    """
    sizes = {"from": [28, 28], "to": [size, size]}
    return {"image": "gray, light on dark", **sizes, "resize": "bilinear", "divide_by": 255}


def resize(images: np.ndarray, size: int) -> np.ndarray:
    """Bilinear resizing of uint8 images (N, 1, H, W) to (N, 1, size, size), in parallel.

    The pixels are, bit for bit, those of ``mxnet.gluon.data.vision.transforms.Resize``.
    """
    n, _, height, width = images.shape
    resized = np.empty((n, 1, size, size), np.uint8)
    for start in range(0, n, _RESIZE_TOGETHER):
        part = images[start : start + _RESIZE_TOGETHER]
        part = nd.array(part.reshape(-1, height, width, 1), dtype=np.uint8)
        part = nd.image.resize(part, size).asnumpy().reshape(-1, 1, size, size)
        resized[start : start + _RESIZE_TOGETHER] = part
    return resized

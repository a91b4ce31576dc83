"""Fashion-MNIST as arrays, and in batches.

Source: Xiao, Rasul and Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine
learning algorithms", 2017.

The way of the data: IDX file → verified bytes → one uint8 array (N, 1, 28, 28) → `ImageBatches`.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..system.errors import whole_number
from ..system.numpy_mode import refuse_numpy_mode
from .folders import data_folder, expanded, find_folder
from .image_batches import ImageBatches
from .mirrors import download
from .published_files import (
    SIZES,
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    DatasetError,
    read_file,
    stamps,
)

#: The classes 0 to 9, in the words of the book.
CLASSES = (
    *("t-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)


class Split(NamedTuple):
    """Images (N, 1, 28, 28) uint8 and labels (N,) int32 of the training or the test set.

    Both are read-only, since all who read the same files share them.
    """

    images: np.ndarray
    labels: np.ndarray


class FashionMNIST(NamedTuple):
    """Both splits, where they were read from, and which release of the data set they are."""

    train: Split
    test: Split
    folder: Path
    release: str

    def holding_out(self, count: int) -> FashionMNIST:
        """The same, with so many of the last training images in place of the test images."""
        images, labels = self.train
        at = len(labels) - whole_number("hold_out", count, len(labels), least=1)
        test = Split(images[at:], labels[at:])
        return self._replace(train=Split(images[:at], labels[:at]), test=test)


def read_folder(folder: Path) -> FashionMNIST:
    """Both splits from the four files in `folder`.

    Raises
    ------
    DatasetError
        As `read_file` does, and if the files are not all of one release.
    """
    contents, releases = {}, {}
    for name in SIZES:
        contents[name], releases[name] = read_file(folder, name)
    if len(set(releases.values())) > 1:
        mix = ", ".join(f"{name} of {release}" for name, release in releases.items())
        raise DatasetError(
            f"{folder} mixes two releases of Fashion-MNIST, whose order differs: {mix}; "
            "keep the four files of one release"
        )

    def split(images: str, labels: str) -> Split:
        numbers = np.frombuffer(contents[labels], np.uint8, offset=8).astype(np.int32)
        numbers.flags.writeable = False
        pixels = np.frombuffer(contents[images], np.uint8, offset=16)
        return Split(pixels.reshape(-1, 1, 28, 28), numbers)

    return FashionMNIST(
        split(TRAIN_IMAGES, TRAIN_LABELS),
        split(TEST_IMAGES, TEST_LABELS),
        folder,
        releases[TRAIN_IMAGES],
    )


@functools.lru_cache(maxsize=1)
def _read_once(folder: Path, state: tuple[object, ...]) -> FashionMNIST:
    """As `read_folder`, but run again only if `state`, the `stamps` of the files, has changed."""
    return read_folder(folder)


def fashion_mnist(root: str | os.PathLike[str] | None = None) -> FashionMNIST:
    """The data set, from the first folder that holds it, downloaded where none does.

    Looks in `root`, in MXNet's data folder and in the system's, and downloads into `root`, or
    into MXNet's data folder. What was read last is kept, 55 MB, and given again as long as its
    files do not change.

    Raises
    ------
    DatasetError
        If a file is damaged, `root` is not a folder, or no mirror answers. No file that was
        there before is changed.
    """
    target = data_folder() if root is None else expanded(root)
    if os.path.exists(target) and not os.path.isdir(target):
        raise DatasetError(f"root must be a folder, and {target} is a file")
    folder = find_folder(target)
    if folder is None:
        download(target)
        folder = target
    return _read_once(folder, stamps(folder))


def load_data_fashion_mnist(
    batch_size: int,
    resize: int | None = None,
    root: str | os.PathLike[str] | None = None,
    *,
    limit: int | None = None,
    limit_test: int | None = None,
    seed: int | None = None,
    augment: bool = False,
    hold_out: int | None = None,
    part: tuple[int, int] = (0, 1),
) -> tuple[ImageBatches, ImageBatches]:
    """Training batches, shuffled anew each epoch, and test batches, as the book's loader gives.

    Parameters
    ----------
    batch_size
        Images in a batch; the last batch may be smaller.
    resize
        Height and width of the images in pixels; None leaves them at 28.
    root
        Folder to look in first and to download into; see `fashion_mnist`.
    limit, limit_test
        Take only the first so many training images, and test images.
    seed
        Of the shuffling and the augmentation, below 2**32. With None, one is drawn from NumPy's
        global generator.
    augment
        Flip and shift each training image at random, differently in each epoch.
    hold_out
        Take so many images from the end of the training set, and test on them in place of the test
        images. So hyperparameters can be chosen without a look at the test images.
    part
        For one of several processes that train together: the number of its part of each batch,
        from 0, and the number of parts.

    Raises
    ------
    DatasetError
        If the data set is damaged, or is neither here nor to be downloaded.
    NumpyMode
        If ``npx.set_np()`` is on.
    ValueError
        If a number is not a whole number in its range, or a batch cannot be divided evenly.
    """
    refuse_numpy_mode()
    data = fashion_mnist(root)
    for name, value in (("limit", limit), ("limit_test", limit_test)):
        if value is not None:
            whole_number(name, value, least=1)
    if hold_out is not None:
        data = data.holding_out(hold_out)
    batches = functools.partial(
        ImageBatches,
        batch_size=batch_size,
        size=resize,
        release=data.release,
        folder=data.folder,
        part=part,
    )
    train, test = data.train, data.test
    return (
        batches(
            train.images[:limit], train.labels[:limit], shuffle=True, augment=augment, seed=seed
        ),
        batches(test.images[:limit_test], test.labels[:limit_test]),
    )

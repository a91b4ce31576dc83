"""Fashion-MNIST: found on this machine, or downloaded.

Source: Xiao, Rasul and Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine
learning algorithms", 2017.

The way of the data: IDX file → verified bytes → one uint8 array (N, 1, 28, 28) → `ImageBatches`.
"""

from __future__ import annotations

import functools
import logging
import os
from pathlib import Path
import tempfile
from typing import NamedTuple

import mxnet as mx
import numpy as np

from ..system.errors import whole_number
from .download import MirrorError, fetch
from .image_batches import ImageBatches
from .published_files import (
    DEBIAN_PACKAGE,
    SIZES,
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    DatasetError,
    find_file,
    folder_with_files,
    read_file,
    stamps,
)

log = logging.getLogger("gluonbook")

SYSTEM_FOLDER = Path("/usr/share/datasets/fashion-mnist")

MIRRORS_VARIABLE = "GLUONBOOK_FASHION_MNIST_MIRRORS"
#: Where to download from, in order: addresses of folders, and ``apt:`` for a Debian package.
MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
    "https://apache-mxnet.s3-accelerate.dualstack.amazonaws.com/gluon/dataset/fashion-mnist",
    f"apt:{DEBIAN_PACKAGE}",
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


def data_folder() -> Path:
    """MXNet's folder for this data set, ``$MXNET_HOME/datasets/fashion-mnist``.

    It still begins with ``~`` where the user has no home folder, as in some containers.
    """
    return Path(os.path.expanduser(mx.base.data_dir())) / "datasets" / "fashion-mnist"


def expanded(folder: str | os.PathLike[str]) -> Path:
    """`folder` with the home folder that ``~`` or ``~user`` stands for.

    Raises
    ------
    DatasetError
        If there is no such home folder.
    """
    path = Path(os.path.expanduser(folder))
    if _lacks_home(path):
        raise DatasetError(
            f"{path} cannot be found, as there is no home folder {path.parts[0]}: write the path "
            "in full"
        )
    return path


def _lacks_home(path: Path) -> bool:
    return str(path).startswith("~")


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
    found = map(folder_with_files, (target, data_folder(), SYSTEM_FOLDER))
    folder = next(filter(None, found), None)
    if folder is None:
        download(target)
        folder = target
    return _read_once(folder, stamps(folder))


# --- downloading ----------------------------------------------------------------------------


def mirrors() -> list[str]:
    """The mirrors to try, in order; ``$GLUONBOOK_FASHION_MNIST_MIRRORS`` replaces the list."""
    return os.environ.get(MIRRORS_VARIABLE, " ".join(MIRRORS)).split()


def download(folder: Path) -> None:
    """Complete the four files in `folder` from the mirrors.

    Every file is written into a scratch folder, verified there, and then moved to its place; a
    file that is there already is verified and kept. A progress bar shows on a terminal.

    Raises
    ------
    DatasetError
        If `folder` cannot be written, no mirror serves the files, or a file that was there
        already is damaged.
    """
    if _lacks_home(folder):
        raise DatasetError(
            "Fashion-MNIST is not on this machine, and there is no home folder to download it "
            "into: set MXNET_HOME to a folder, or name the one that holds the four .gz files "
            "with --data (root= from Python)"
        )
    missing = [name for name in SIZES if not find_file(folder, name)]
    release = None
    for name in SIZES.keys() - missing:
        _, release = read_file(folder, name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        order = mirrors()
        with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as scratch:
            for name in missing:
                path, release = _verified(name, Path(scratch), order, release)
                _publish(path, folder)
    except DatasetError:
        raise
    except OSError as error:
        raise DatasetError(
            f"Fashion-MNIST cannot be downloaded into {folder} ({error.strerror}): make room "
            "there, or name another folder with --data (root= from Python) or MXNET_HOME"
        ) from error


def _verified(name: str, scratch: Path, order: list[str], wanted: str | None) -> tuple[Path, str]:
    """Fetch ``name.gz`` from the first mirror that has it in the `wanted` release, or in any.

    That mirror moves to the front of `order`, so that the next file does not wait for those
    that failed.
    """
    faults = []
    for mirror in list(order):
        try:
            path = fetch(mirror, f"{name}.gz", scratch, limit=SIZES[name])
            _, release = read_file(path.parent, name)
        except MirrorError as error:
            faults.append(f"{mirror}: {error}")
        except DatasetError:
            faults.append(f"{mirror}: a damaged copy")
        else:
            if wanted in (None, release):
                order.sort(key=lambda other: other != mirror)
                return path, release
            faults.append(f"{mirror}: the release of {release}, not of {wanted}")
    raise DatasetError(
        f"Fashion-MNIST is not on this machine and no mirror serves it ({'; '.join(faults)}): "
        f"install the Debian or Ubuntu package {DEBIAN_PACKAGE}, or name the folder that holds "
        f"the four .gz files with --data (root= from Python)"
    )


def _publish(path: Path, folder: Path) -> None:
    """Move a verified file into `folder`, unless another process has put it there first."""
    target = folder / path.name
    try:
        os.link(path, target)
    except FileExistsError:
        return
    except OSError:  # a file system without hard links
        if not target.exists():
            os.replace(path, target)


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
    ValueError
        If a number is not a whole number in its range, or a batch cannot be divided evenly.
    """
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

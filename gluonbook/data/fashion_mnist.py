"""Fashion-MNIST: found, verified, downloaded if need be.

Source: Xiao, Rasul and Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine
learning algorithms", 2017; the IDX format is that of MNIST.

The way of the data: IDX file → verified bytes → one uint8 array (N, 1, 28, 28) → `ImageBatches`.
"""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path
import tempfile
from typing import NamedTuple
import zlib

import mxnet as mx
import numpy as np

from ..system import files
from ..system.errors import Failure, whole_number
from .download import MirrorError, fetch
from .image_batches import ImageBatches

log = logging.getLogger("gluonbook")

SYSTEM_FOLDER = Path("/usr/share/datasets/fashion-mnist")
DEBIAN_PACKAGE = "dataset-fashion-mnist"

MIRRORS_VARIABLE = "GLUONBOOK_FASHION_MNIST_MIRRORS"
#: Where to download from, in order: addresses of folders, and ``apt:`` for a Debian package.
MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
    "https://apache-mxnet.s3-accelerate.dualstack.amazonaws.com/gluon/dataset/fashion-mnist",
    f"apt:{DEBIAN_PACKAGE}",
)

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"

#: Size in bytes of each IDX file, uncompressed: a header of 16 or 8 bytes, then the values.
SIZES = {
    TRAIN_IMAGES: 16 + 60_000 * 28 * 28,
    TRAIN_LABELS: 8 + 60_000,
    TEST_IMAGES: 16 + 10_000 * 28 * 28,
    TEST_LABELS: 8 + 10_000,
}
NEWER, EARLIER = "2017-08-31", "2017-08-26"
#: SHA-256 of the uncompressed content: the edition of the data set's own site and of Debian.
CONTENTS = {
    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888": (NEWER, TRAIN_IMAGES),
    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9": (NEWER, TRAIN_LABELS),
    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b": (NEWER, TEST_IMAGES),
    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34": (NEWER, TEST_LABELS),
}
#: SHA-1 of the compressed file: the edition that MXNet distributes, known by nothing else.
ARCHIVES = {
    "0cf37b0d40ed5169c6b3aba31069a9770ac9043d": (EARLIER, TRAIN_IMAGES),
    "236021d52f1e40852b06a4c3008d8de8aef1e40b": (EARLIER, TRAIN_LABELS),
    "626ed6a7c06dd17c0eec72fa3be1740f146a2863": (EARLIER, TEST_IMAGES),
    "17f9ab60e7257a1620f4ad76bbbaf857c3920701": (EARLIER, TEST_LABELS),
}
#: The classes 0 to 9, in the words of the book.
CLASSES = (
    *("t-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)
_FIX = "move it away, so that a good copy is found or downloaded"


class DatasetError(Failure, OSError):
    """The data set is missing, damaged or unreadable."""


class Split(NamedTuple):
    """Images (N, 1, 28, 28) uint8 and labels (N,) int32 of the training or the test set."""

    images: np.ndarray
    labels: np.ndarray


class FashionMNIST(NamedTuple):
    """Both splits, where they were read from, and which edition of the data set they are."""

    train: Split
    test: Split
    folder: Path
    edition: str

    def batches(
        self,
        batch_size: int,
        resize: int | None = None,
        limit: int | None = None,
        seed: int | None = None,
        *,
        limit_test: int | None = None,
    ) -> tuple[ImageBatches, ImageBatches]:
        """Training batches, shuffled, and test batches; see `load_data_fashion_mnist`."""
        for name, value in (("limit", limit), ("limit_test", limit_test)):
            if value is not None:
                whole_number(name, value, least=1)
        return (
            ImageBatches(
                self.train.images[:limit],
                self.train.labels[:limit],
                batch_size,
                size=resize,
                shuffle=True,
                seed=seed,
                edition=self.edition,
            ),
            ImageBatches(
                self.test.images[:limit_test],
                self.test.labels[:limit_test],
                batch_size,
                size=resize,
                edition=self.edition,
            ),
        )


# --- finding and verifying ------------------------------------------------------------------


def read_file(folder: Path, name: str) -> tuple[bytes, str]:
    """The uncompressed content of the IDX file `name` in `folder`, and its edition.

    Takes ``name.gz`` or ``name``. Reads no more than the real file holds.

    Raises
    ------
    DatasetError
        If the file is missing or unreadable, or is not, byte for byte, that file of a known
        edition; the sentence names the file, what was expected and what was found.
    """
    path = _find(folder, name)
    if path is None:
        raise DatasetError(
            f"{folder / name}.gz is missing: put it there, or install the Debian or Ubuntu package "
            f"{DEBIAN_PACKAGE}"
        )
    raw = _read(path, SIZES[name])
    if path.suffix == ".gz":
        known = ARCHIVES.get(hashlib.sha1(raw).hexdigest())
        content = _decompress(path, raw, SIZES[name])
    else:
        known, content = None, raw
    digest = hashlib.sha256(content).hexdigest()
    edition, found = known or CONTENTS.get(digest) or (None, None)
    if edition is None:
        what = f"{len(content):,} bytes" if len(content) != SIZES[name] else f"SHA-256 {digest}"
        raise DatasetError(
            f"{path} is damaged or not Fashion-MNIST: expected the {SIZES[name]:,} bytes of "
            f"{name} as published, found {what}; {_FIX}"
        )
    if found != name:
        raise DatasetError(
            f"{path} has the wrong content: expected {name}, found {found}; "
            "give the files their own names again"
        )
    return content, edition


def _find(folder: Path, name: str) -> Path | None:
    # Not Path.exists, which raises where the folder may not be searched: another may hold the file.
    paths = (folder / f"{name}.gz", folder / name)
    return next((path for path in paths if os.path.exists(path)), None)


def folder_with_files(place: Path) -> Path | None:
    """`place`, or torchvision's ``FashionMNIST/raw`` in it, if all four files are there."""
    for folder in (place, place / "FashionMNIST" / "raw"):
        if all(_find(folder, name) for name in SIZES):
            return folder
    return None


def _read(path: Path, limit: int) -> bytes:
    try:
        return files.read(path, limit)
    except files.FileFailure as error:
        raise DatasetError(f"{error}; {_FIX}") from error


def _decompress(path: Path, raw: bytes, size: int) -> bytes:
    gzip_member = zlib.decompressobj(wbits=31)
    try:
        content = gzip_member.decompress(raw, size + 1)
    except zlib.error as error:
        raise DatasetError(
            f"{path} is damaged: expected gzip data, found otherwise ({error}); {_FIX}"
        ) from error
    if len(content) == size and not gzip_member.eof:
        content += gzip_member.decompress(gzip_member.unconsumed_tail, 1)
    if len(content) <= size and not gzip_member.eof:
        raise DatasetError(
            f"{path} is cut short: expected {size:,} bytes, found {len(content):,}; {_FIX}"
        )
    return content


def read_folder(folder: Path) -> FashionMNIST:
    """Both splits from the four files in `folder`.

    Raises
    ------
    DatasetError
        As `read_file` does, and if the files are not all of one edition.
    """
    contents, editions = {}, {}
    for name in SIZES:
        contents[name], editions[name] = read_file(folder, name)
    if len(set(editions.values())) > 1:
        mix = ", ".join(f"{name} of {edition}" for name, edition in editions.items())
        raise DatasetError(
            f"{folder} mixes two editions of Fashion-MNIST, whose order differs: {mix}; "
            "keep the four files of one edition"
        )

    def split(images: str, labels: str) -> Split:
        return Split(
            np.frombuffer(contents[images], np.uint8, offset=16).reshape(-1, 1, 28, 28),
            np.frombuffer(contents[labels], np.uint8, offset=8).astype(np.int32),
        )

    return FashionMNIST(
        split(TRAIN_IMAGES, TRAIN_LABELS),
        split(TEST_IMAGES, TEST_LABELS),
        folder,
        editions[TRAIN_IMAGES],
    )


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
    into MXNet's data folder.

    Raises
    ------
    DatasetError
        If a file is damaged, `root` is not a folder, or no mirror answers. No file that was
        there before is changed.
    """
    target = data_folder() if root is None else expanded(root)
    if os.path.exists(target) and not os.path.isdir(target):
        raise DatasetError(f"root must be a folder, and {target} is a file")
    for place in (target, data_folder(), SYSTEM_FOLDER):
        folder = folder_with_files(place)
        if folder is not None:
            return read_folder(folder)
    download(target)
    return read_folder(target)


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
    missing = [name for name in SIZES if not _find(folder, name)]
    edition = None
    for name in SIZES.keys() - missing:
        _, edition = read_file(folder, name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        order = mirrors()
        with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as scratch:
            for name in missing:
                path, edition = _verified(name, Path(scratch), order, edition)
                _publish(path, folder)
    except DatasetError:
        raise
    except OSError as error:
        raise DatasetError(
            f"Fashion-MNIST cannot be downloaded into {folder} ({error.strerror}): make room "
            "there, or name another folder with --data (root= from Python) or MXNET_HOME"
        ) from error


def _verified(name: str, scratch: Path, order: list[str], wanted: str | None) -> tuple[Path, str]:
    """Fetch ``name.gz`` from the first mirror that has it in the `wanted` edition, or in any.

    That mirror moves to the front of `order`, so that the next file does not wait for those
    that failed.
    """
    faults = []
    for mirror in list(order):
        try:
            path = fetch(mirror, f"{name}.gz", scratch, limit=SIZES[name])
            _, edition = read_file(path.parent, name)
        except MirrorError as error:
            faults.append(f"{mirror}: {error}")
        except DatasetError:
            faults.append(f"{mirror}: a damaged copy")
        else:
            if wanted in (None, edition):
                order.sort(key=lambda other: other != mirror)
                return path, edition
            faults.append(f"{mirror}: the edition of {edition}, not of {wanted}")
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
        Of the shuffling, below 2**32. With None, one is drawn from NumPy's global generator.

    Raises
    ------
    DatasetError
        If the data set is damaged, or is neither here nor to be downloaded.
    ValueError
        If a number is not a whole number in its range.
    """
    return fashion_mnist(root).batches(batch_size, resize, limit, seed, limit_test=limit_test)

"""The mirrors of Fashion-MNIST, and a folder completed from them."""

from __future__ import annotations

import os
from pathlib import Path
import tempfile

from .download import MirrorError, fetch
from .folders import lacks_home
from .published_files import DEBIAN_PACKAGE, SIZES, DatasetError, find_file, read_file

MIRRORS_VARIABLE = "GLUONBOOK_FASHION_MNIST_MIRRORS"
#: Where to download from, in order: addresses of folders, and ``apt:`` for a Debian package.
MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
    "https://apache-mxnet.s3-accelerate.dualstack.amazonaws.com/gluon/dataset/fashion-mnist",
    f"apt:{DEBIAN_PACKAGE}",
)


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
    if lacks_home(folder):
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

"""The folders of this machine that may hold Fashion-MNIST."""

from __future__ import annotations

import os
from pathlib import Path

import mxnet as mx

from .published_files import SIZES, DatasetError, find_file

SYSTEM_FOLDER = Path("/usr/share/datasets/fashion-mnist")


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
    if lacks_home(path):
        raise DatasetError(
            f"{path} cannot be found, as there is no home folder {path.parts[0]}: write the path "
            "in full"
        )
    return path


def lacks_home(path: Path) -> bool:
    """Whether the home folder that `path` begins with is unknown."""
    return str(path).startswith("~")


def find_folder(*first: Path) -> Path | None:
    """The first folder with all four files, of `first`, then MXNet's, then the system's."""
    places = (*first, data_folder(), SYSTEM_FOLDER)
    return next(filter(None, map(folder_with_files, places)), None)


def folder_with_files(place: Path) -> Path | None:
    """`place`, or torchvision's ``FashionMNIST/raw`` in it, if all four files are there."""
    for folder in (place, place / "FashionMNIST" / "raw"):
        if all(find_file(folder, name) for name in SIZES):
            return folder
    return None

"""Fetches one published file, from a web address or out of a Debian package.

MXNet's own download has neither a progress bar nor a time limit, and would write over a file
whose checksum it does not know; so here the file goes to a scratch folder, for the caller to
verify.
"""

from __future__ import annotations

from pathlib import Path
import shutil
import subprocess
from typing import Sequence

import requests
from tqdm import tqdm

CONNECT_SECONDS, READ_SECONDS, PACKAGE_SECONDS = 5, 30, 300
_CHUNK = 1 << 16


class MirrorError(Exception):
    """A mirror did not serve the file; the message is the reason, without a mend."""


def fetch(mirror: str, name: str, scratch: Path, *, limit: int) -> Path:
    """Write file `name` of `mirror` into the folder `scratch`, and return its path.

    `mirror` is the address of a folder on the web, or ``apt:PACKAGE`` for a Debian package that
    holds the file: it is downloaded and unpacked, not installed, which needs no root.

    Raises
    ------
    MirrorError
        If the mirror does not serve the file within the time limits, or sends over `limit`
        bytes.
    OSError
        If `scratch` cannot be written.
    """
    if mirror.startswith("apt:"):
        return _from_package(mirror[len("apt:") :], name, scratch)
    return _from_web(f"{mirror.rstrip('/')}/{name}", scratch / name, limit)


def answers(mirror: str) -> bool:
    """Whether a mirror can be reached; for a Debian package, whether apt-get is here."""
    if mirror.startswith("apt:"):
        return _has_apt()
    try:
        requests.head(mirror, timeout=(CONNECT_SECONDS, CONNECT_SECONDS), allow_redirects=True)
    except requests.RequestException:
        return False
    return True


def _from_web(address: str, path: Path, limit: int) -> Path:
    try:
        with requests.get(
            address, stream=True, timeout=(CONNECT_SECONDS, READ_SECONDS)
        ) as response:
            response.raise_for_status()
            length = response.headers.get("Content-Length", "")
            size = int(length) if length.isdigit() else None
            with open(path, "wb") as file, tqdm(
                total=size, unit="B", unit_scale=True, desc=path.name, disable=None, leave=False
            ) as progress:
                for chunk in response.iter_content(_CHUNK):
                    progress.update(file.write(chunk))
                    if file.tell() > limit:
                        raise MirrorError(f"sends more than {limit:,} bytes")
    except requests.RequestException as error:
        raise MirrorError(_reason(error)) from error
    return path


def _reason(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"HTTP {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return str(error)


def _from_package(package: str, name: str, scratch: Path) -> Path:
    unpacked = scratch / package
    if not unpacked.exists():
        _unpack_package(package, scratch)
    for path in unpacked.rglob(name):
        return path
    raise MirrorError(f"the package holds no {name}")


def _has_apt() -> bool:
    return bool(shutil.which("apt-get") and shutil.which("dpkg-deb"))


def _unpack_package(package: str, scratch: Path) -> None:
    """Unpack a Debian package into ``scratch/package``, with the user's rights alone."""
    if not _has_apt():
        raise MirrorError("no apt-get here")
    # The machine's own package lists may be empty or old; lists of our own need no root.
    lists = scratch / "apt-lists"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    own_lists = [f"-oDir::State::Lists={lists}", f"-oDir::Cache={scratch}", "-oDebug::NoLocking=1"]
    try:
        _run(["apt-get", "-q", "download", package], scratch)
    except MirrorError:
        _run(["apt-get", "-q", *own_lists, "update"], scratch)
        _run(["apt-get", "-q", *own_lists, "download", package], scratch)
    archive = next(scratch.glob(f"{package}_*.deb"), None)
    if archive is None:
        raise MirrorError("apt-get downloaded nothing")
    _run(["dpkg-deb", "-x", str(archive), package], scratch)


def _run(command: Sequence[str], folder: Path) -> None:
    try:
        subprocess.run(
            command,
            cwd=folder,
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PACKAGE_SECONDS,
        )
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise MirrorError(f"`{command[0]}` failed ({said[-1]})") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise MirrorError(f"`{command[0]}` failed") from error

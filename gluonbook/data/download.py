"""Fetches one published file, from a web address or out of a Debian package.

MXNet's own download has neither a progress bar nor a time limit, and overwrites a file whose
checksum it does not know. Here the file goes to a scratch folder, and the caller verifies it.
"""

from __future__ import annotations

from pathlib import Path
import queue
import re
import shutil
import subprocess
import textwrap
import threading
from time import monotonic
from typing import Any, Iterator, Sequence

import requests
from tqdm import tqdm
import urllib3

#: Seconds that a connection, the next bytes of an answer, and an apt command may take.
CONNECT_SECONDS, READ_SECONDS, PACKAGE_SECONDS = 5, 30, 300
#: An answer may take `GRACE_SECONDS`, and a second more for each `LEAST_RATE` bytes that came.
GRACE_SECONDS, LEAST_RATE = 30, 10_000
_CHUNK = 1 << 16
#: A package's name by Debian's policy. A leading hyphen would make it an option of apt-get.
_PACKAGE = re.compile("[a-z0-9][a-z0-9+.-]+")


class MirrorError(Exception):
    """A mirror did not serve the file; the message is the reason, without a fix."""


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
        return bool(_PACKAGE.fullmatch(mirror[len("apt:") :])) and _has_apt()
    try:
        return any(_in_time(_status(mirror)))
    except MirrorError:
        return False


def _from_web(address: str, path: Path, limit: int) -> Path:
    with open(path, "wb") as file, tqdm(
        unit="B", unit_scale=True, desc=path.name, disable=None, leave=False
    ) as progress:
        for chunk in _in_time(_content(address, limit, progress)):
            progress.update(file.write(chunk))
    return path


def _content(address: str, limit: int, progress: tqdm[Any]) -> Iterator[bytes]:
    """The file at `address`, as it is stored there, and all of it if its length is announced."""
    with requests.get(
        address,
        stream=True,
        timeout=(CONNECT_SECONDS, READ_SECONDS),
        headers={"Accept-Encoding": "identity"},
    ) as response:
        if response.status_code != 200:
            raise MirrorError(f"HTTP {response.status_code}")
        length = response.headers.get("Content-Length", "")
        size = int(length) if re.fullmatch("[0-9]{1,18}", length) else None
        progress.total, received = size, 0
        # Not iter_content, which would unpack what a server calls gzip-encoded.
        for chunk in response.raw.stream(_CHUNK, decode_content=False):
            received += len(chunk)
            if received > limit:
                raise MirrorError(f"sends more than {limit:,} bytes")
            yield chunk
    if size not in (None, received):
        raise MirrorError(f"sent {received:,} of {size:,} bytes")


def _status(address: str) -> Iterator[bytes]:
    """What a server says of `address`, whatever it is."""
    with requests.head(
        address, timeout=(CONNECT_SECONDS, CONNECT_SECONDS), allow_redirects=True
    ) as response:
        yield str(response.status_code).encode()


def _in_time(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks that a server sends, while they come fast enough; any failure is a `MirrorError`.

    A thread reads them, and can be abandoned: a server may send even its headers byte by byte, and
    the time limits of `requests` begin again with each byte.
    """
    arrived: queue.SimpleQueue[bytes | Exception | None] = queue.SimpleQueue()
    abandoned = threading.Event()

    def read() -> None:
        try:
            for chunk in chunks:
                arrived.put(chunk)
                if abandoned.is_set():
                    return
            arrived.put(None)
        except Exception as error:
            arrived.put(error)

    threading.Thread(target=read, daemon=True).start()
    deadline = monotonic() + GRACE_SECONDS
    try:
        while (seconds := deadline - monotonic()) > 0:
            try:
                chunk = arrived.get(timeout=seconds)
            except queue.Empty:
                continue
            if chunk is None:
                return
            if isinstance(chunk, Exception):
                raise MirrorError(reason(chunk)) from chunk
            deadline += len(chunk) / LEAST_RATE
            yield chunk
        raise MirrorError(f"sends less than {LEAST_RATE:,} bytes a second")
    finally:
        abandoned.set()


def reason(error: Exception) -> str:
    """Why something was not downloaded, in a few words."""
    if isinstance(error, requests.TooManyRedirects):
        return "redirects without end"
    if isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError)):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    if isinstance(error, urllib3.exceptions.ProtocolError):
        return "the connection broke off"
    return textwrap.shorten(str(error).rstrip("."), 120) or type(error).__name__


def _from_package(package: str, name: str, scratch: Path) -> Path:
    if not _PACKAGE.fullmatch(package):
        raise MirrorError("this is not the name of a Debian package")
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
    scratch = scratch.resolve()  # the commands run in it
    # The machine's own package lists may be empty or old; lists of our own need no root.
    lists = scratch / "apt-lists"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    own_lists = [f"-oDir::State::Lists={lists}", f"-oDir::Cache={scratch}", "-oDebug::NoLocking=1"]
    try:
        _run(["apt-get", "-q", "download", "--", package], scratch)
    except MirrorError:
        _run(["apt-get", "-q", *own_lists, "update"], scratch)
        _run(["apt-get", "-q", *own_lists, "download", "--", package], scratch)
    archive = next(scratch.glob(f"{package}_*.deb"), None)
    if archive is None:
        raise MirrorError("apt-get downloaded nothing")
    _run(["dpkg-deb", "-x", "--", str(archive), package], scratch)


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
    except subprocess.TimeoutExpired as error:
        raise MirrorError(f"`{command[0]}` took more than {PACKAGE_SECONDS} seconds") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise MirrorError(f"`{command[0]}` failed") from error

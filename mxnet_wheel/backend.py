"""Gives pip the released wheel of MXNet 1.9.1, so that today's NumPy may be installed beside it.

The wheel says that it needs ``numpy<2.0.0`` and ``graphviz<0.9.0``. Python 3.13 has no such NumPy,
and an environment with today's pandas or PyTorch would lose its own. With what
`gluonbook.system.old_names` does, MXNet works with both. pip has no option that overrules what a
wheel says, but it takes a wheel from a folder with a ``pyproject.toml``. This one downloads that of
MXNet, and changes two of its text files. The folder ``cu112`` does the same with ``mxnet-cu112``.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
from pathlib import Path
import subprocess
import sys
import zipfile

NEEDS = ("numpy>=1.17", "requests>=2.20.0,<3", "graphviz>=0.8.1")


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):  # type: ignore
    """Put the wheel of ``mxnet`` into `wheel_directory`; its name."""
    return put_wheel("mxnet", wheel_directory)


def put_wheel(package: str, folder: str) -> str:
    """Put the wheel of `package`, ``mxnet`` or ``mxnet-cu112``, into `folder`; its name."""
    wheel = download(folder, f"{package}==1.9.1")
    change(wheel)
    return wheel.name


def download(folder: str, release: str, *options: str) -> Path:
    """Let pip download the wheel of a release, written as ``name==1.0``, into `folder`."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    chosen = ["--no-deps", "--only-binary=:all:", "--dest", folder]
    subprocess.run([*pip, *chosen, *options, release], check=True)
    [wheel] = Path(folder).glob(release.replace("-", "_").replace("==", "-") + "-*.whl")
    return wheel


def change(wheel: Path) -> None:
    """Let the wheel say that it needs `NEEDS`. What else is in the archive stays where it is."""
    folder = "{}-{}.dist-info".format(*wheel.name.split("-"))
    with zipfile.ZipFile(wheel, "a", zipfile.ZIP_DEFLATED) as archive:
        head, blank, description = archive.read(f"{folder}/METADATA").decode().partition("\n\n")
        lines = [line for line in head.splitlines() if not line.startswith("Requires-Dist:")]
        lines += [f"Requires-Dist: {need}" for need in NEEDS]
        metadata = ("\n".join(lines) + blank + description).encode()
        files = {f"{folder}/METADATA": metadata}
        rows = list(csv.reader(io.StringIO(archive.read(f"{folder}/RECORD").decode())))
        rows = [row for row in rows if row[0] not in files]
        for path, content in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
            rows.append([path, f"sha256={digest.decode()}", str(len(content))])
        record = io.StringIO()
        csv.writer(record, lineterminator="\n").writerows(rows)
        files[f"{folder}/RECORD"] = record.getvalue().encode()
        for path, content in files.items():
            if path in archive.NameToInfo:
                # The old file's bytes stay in the archive, and nothing points to them any more.
                archive.filelist.remove(archive.NameToInfo.pop(path))
            archive.writestr(path, content)

"""Gives pip the released wheel of MXNet 1.9.1, so that today's NumPy may be installed beside it.

The wheel says that it needs ``numpy<2.0.0`` and ``graphviz<0.9.0``. Python 3.13 has no such NumPy,
and an environment with today's pandas or PyTorch would lose its own. With what
`gluonbook.system.old_names` does, MXNet works with both. pip has no option that overrules what a
wheel says, but it takes a wheel from a folder with a ``pyproject.toml``. This one downloads that of
MXNet, and changes two of its text files.
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

NAME, VERSION = "mxnet", "1.9.1"
NEEDS = ("numpy>=1.17", "requests>=2.20.0,<3", "graphviz>=0.8.1")


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):  # type: ignore
    """Put the wheel into `wheel_directory`; its name."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    chosen = ["--no-deps", "--only-binary=:all:", "--dest", wheel_directory]
    subprocess.run([*pip, *chosen, f"{NAME}=={VERSION}"], check=True)
    [wheel] = Path(wheel_directory).glob(f"{NAME}-{VERSION}-*.whl")
    state_needs(wheel)
    return wheel.name


def state_needs(wheel: Path) -> None:
    """Let the wheel say that it needs `NEEDS`. What else is in the archive stays where it is."""
    folder = f"{NAME}-{VERSION}.dist-info"
    with zipfile.ZipFile(wheel, "a", zipfile.ZIP_DEFLATED) as archive:
        head, blank, description = archive.read(f"{folder}/METADATA").decode().partition("\n\n")
        lines = [line for line in head.splitlines() if not line.startswith("Requires-Dist:")]
        lines += [f"Requires-Dist: {need}" for need in NEEDS]
        metadata = ("\n".join(lines) + blank + description).encode()
        digest = base64.urlsafe_b64encode(hashlib.sha256(metadata).digest()).rstrip(b"=").decode()
        rows = list(csv.reader(io.StringIO(archive.read(f"{folder}/RECORD").decode())))
        for row in rows:
            if row[0] == f"{folder}/METADATA":
                row[1:] = [f"sha256={digest}", str(len(metadata))]
        record = io.StringIO()
        csv.writer(record, lineterminator="\n").writerows(rows)
        for name, content in (("METADATA", metadata), ("RECORD", record.getvalue().encode())):
            # The old file's bytes stay in the archive, and nothing points to them any more.
            archive.filelist.remove(archive.NameToInfo.pop(f"{folder}/{name}"))
            archive.writestr(f"{folder}/{name}", content)

"""How a figure of this package is made and saved."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from ..system import files
from ..system.ownership import SOFTWARE

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, sized in inches. Unlike pyplot's, it is freed once nothing refers to it."""
    from matplotlib.figure import Figure  # slow to import, and not every program draws

    return Figure(figsize=(width, height), layout="constrained")


def save_picture(
    figure: Figure, path: str | os.PathLike[str], dpi: int = 120, format: str = "png"
) -> None:
    """Write a figure, wholly or not at all; a PNG says that this package wrote it.

    Raises
    ------
    FileFailure
        If the file cannot be written; it is then as it was.
    """
    metadata = {"Software": SOFTWARE} if format == "png" else None
    with files.replacing(path) as scratch:
        figure.savefig(scratch, dpi=dpi, format=format, metadata=metadata)


def png_of(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG, as a notebook shows it."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=100)
    return content.getvalue()

"""The two texts of the book that a net can follow where they differ."""

from __future__ import annotations

EDITIONS = ("gluon", "pytorch")


def follows_pytorch(edition: str) -> bool:
    """True for ``"pytorch"``, False for ``"gluon"``.

    Raises
    ------
    ValueError
        If `edition` is neither.
    """
    if edition not in EDITIONS:
        raise ValueError(f"edition must be 'gluon' or 'pytorch', not {edition!r}")
    return edition == "pytorch"

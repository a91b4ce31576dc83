"""Which pages the site has, and which file of the repository each of them comes from."""

from __future__ import annotations

from gluonbook.recipes import RECIPES

from .repository import EXERCISES, RESULTS

#: Pages of the parts of chapters/README.md, in its order.
CHAPTERS_PARTS = (
    *("how-to/quick-look", "how-to/notebook", "how-to/edit", "how-to/other-nets"),
    *("exercises/index", "how-to/several-gpus", "how-to/several-machines", "how-to/resume"),
    "how-to/predict-and-export",
)
#: Pages of parts of README.md, each by the number of its part.
README_PARTS = {
    **{"how-to/install": 0, "how-to/own-code": 3, "results/index": 5, "comparison": 6},
    "how-to/gpu": 7,
}
#: The page of each file, or folder, or part of a file, of the repository.
PLACES = {
    **{f"chapters/{section}.py": section for section in RECIPES},
    **{f"chapters/zh/{section}.py": f"zh/{section}" for section in RECIPES},
    **{f"chapters/exercises/{name}.py": f"exercises/{name}" for name in EXERCISES},
    **{f"results/exercises/{name}.md": f"exercises/{name}" for name in EXERCISES},
    **{f"results/{name}.md": f"results/{name}" for name in RESULTS},
    **{"results/README.md": "results/index", "results/compare.md": "comparison"},
    **{"chapters": "index", "chapters/zh": "zh/index", "chapters/exercises": "exercises/index"},
    **{"README.md": "index", "README.zh.md": "zh/index"},
    **{"chapters/README.md": "how-to/index", "chapters/README.zh.md": "zh/how-to/index"},
    **{"chapters/README.md#the-exercises": "exercises/index"},
    **{"chapters/README.zh.md#练习": "zh/exercises/index"},
    **{"README.md#the-state-of-mxnet": "how-to/gpu"},
    **{"README.zh.md#mxnet-的现状": "zh/how-to/gpu"},
}
#: Pages with a Chinese twin, which is the page of the same name in zh/.
TWINS = {
    *RECIPES,
    *CHAPTERS_PARTS,
    *README_PARTS,
    *("index", "how-to/index", "api/index"),
}
#: Pages that are notebooks.
NOTEBOOKS = {
    *RECIPES,
    *(f"zh/{section}" for section in RECIPES),
    *(f"exercises/{name}" for name in EXERCISES),
}


def file_of(page: str) -> str:
    """The file that Sphinx reads a page from."""
    return f"{page}.ipynb" if page in NOTEBOOKS else f"{page}.md"


def page_of(place: str, part: str, reader: str) -> str | None:
    """The page that a link leads to, if there is one.

    From a Chinese page that is the Chinese twin, unless the link leads from a page to its own
    English twin.

    Parameters
    ----------
    place
        The path from the repository's root of the file that the link names.
    part
        The anchor in it, or "" for the whole file.
    reader
        The page that has the link.
    """
    page = PLACES.get(f"{place}#{part}") or PLACES.get(place)
    twin = f"zh/{page}"
    return twin if reader.startswith("zh/") and page in TWINS and twin != reader else page

"""All files that a build makes, written to the docs' folder."""

from __future__ import annotations

from pathlib import Path

import drawings
from gluonbook.recipes import RECIPES
import nbformat
from nbformat import NotebookNode

from .exercises import exercise_page
from .front import reached
from .notebooks import download
from .readmes import readme_pages
from .repository import EXERCISES, RESULTS
from .results import result_page
from .sections import section_page
from .site_map import file_of
from .wording import LANGUAGES


def write(folder: Path) -> None:
    """Write the files that have changed, so that Sphinx reads no other, and remove old ones."""
    for words in LANGUAGES:
        drawings.draw_all(folder / "_drawings", words.language)
    files = {folder / place: text for place, text in made().items()}
    made_folders = {path.parent for path in files} - {folder, folder / "zh"}
    for made_folder in made_folders:
        for path in made_folder.glob("*"):
            if path not in files and path.is_file():
                path.unlink()
    for path, text in files.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def made() -> dict[str, str]:
    """The text of each file, by its place in the docs' folder."""
    texts = {f"results/{name}.md": result_page(name) for name in RESULTS}
    for words in LANGUAGES:
        texts.update({file_of(page): text for page, text in readme_pages(words).items()})
        texts[f"_front/{words.language}.md"] = reached(words)
    return {**texts, **{place: nbformat.writes(each) for place, each in notebooks().items()}}


def notebooks() -> dict[str, NotebookNode]:
    """The pages that are notebooks, and the notebooks to download."""
    made = {f"exercises/{name}.ipynb": exercise_page(name) for name in EXERCISES}
    for words in LANGUAGES:
        for section in RECIPES:
            made[f"{words.folder}{section}.ipynb"] = section_page(section, words)
            made[f"_notebooks/{words.folder}{section}.ipynb"] = download(section, words)
    return made

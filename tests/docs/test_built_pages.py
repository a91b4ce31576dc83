"""What stands on the built pages, compared with the files that they come from."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
import re
from statistics import mean
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from gluonbook.recipes import RECIPES
import jupytext
import nbformat
import pytest

from ..conftest import CHAPTERS
from .built import Page, pages_of

pytestmark = pytest.mark.docs
ROOT = CHAPTERS.parent
LANGUAGES = ("", "zh/")


def test_every_link_and_picture_answers(site):
    pages = pages_of(site)
    assert len(pages) > 80
    wrong = []
    for name, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target, part = urldefrag(urljoin(name, link))
            target = unquote(target).partition("?")[0] or "index.html"
            there = (site / target).is_file()
            if not there or (part and target in pages and unquote(part) not in pages[target].parts):
                wrong.append((name, link))
    assert wrong == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("section", RECIPES)
def test_a_section_is_its_chapter_with_what_it_printed(site, section, language):
    text = " ".join(" ".join(Page(site / f"{language}{section}.html").text).split())
    cells = jupytext.read(CHAPTERS / f"{language}{section}.py").cells
    for cell in cells:
        if cell.cell_type == "code":
            line = max(cell.source.splitlines(), key=len)
            assert "".join(line.split()) in "".join(text.split())
    recorded = ROOT / "results" / "chapters" / f"{section}.ipynb"
    if recorded.exists():
        notebook = nbformat.read(recorded, as_version=4)
        [training] = [cell for cell in notebook.cells if "gb.train_ch5(" in cell.source]
        printed = "".join(each.text for each in training.outputs if "text" in each)
        assert "epoch 1, loss" in printed
        for line in printed.splitlines():
            assert line in text
        assert notebook.metadata["gluonbook"]["machine"]["processor"] in text
    else:
        assert f"python benchmarks/record_chapters.py --sections {section}" in text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("section", RECIPES)
def test_a_sections_downloads_are_its_script_and_a_notebook_that_says_what_it_needs(
    site, section, language
):
    page = f"{language}{section}.html"
    links = {urljoin(page, link) for link in Page(site / page).links if "_downloads/" in link}
    by_kind = {Path(link).suffix: site / link for link in links if Path(link).stem == section}
    script = CHAPTERS / f"{language}{section}.py"
    assert by_kind[".py"].read_bytes() == script.read_bytes()
    notebook = nbformat.read(by_kind[".ipynb"], as_version=4)
    nbformat.validate(notebook)
    first, *cells = notebook.cells
    assert "pip install -e '.[cpu,notebook]'" in first.source
    assert [(cell.cell_type, cell.source) for cell in cells] == [
        (cell.cell_type, cell.source) for cell in jupytext.read(script).cells
    ]
    assert notebook.metadata["kernelspec"]["name"] == "python3"


#: What the Gluon text prints as the test accuracy of each section's last epoch.
IN_THE_BOOK = {
    **{"lenet": "0.754", "alexnet": "0.867", "vgg": "0.909", "nin": "0.812"},
    **{"googlenet": "0.883", "resnet": "0.909", "densenet": "0.879"},
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_front_page_says_what_each_net_reached_and_what_the_book_prints(site, language):
    runs = json.loads((ROOT / "results" / "reproduce.json").read_text())["rows"]
    _, *shown = Page(site / language / "index.html").rows
    nets = [net.partition(" ") for net, _, _ in shown]
    assert [title for title, _, _ in nets] == [
        *("LeNet", "AlexNet", "VGG-11", "NiN", "GoogLeNet", "ResNet-18", "DenseNet")
    ]
    for section, (_, _, options), (_, accuracy, book) in zip(RECIPES, nets, shown):
        if book == "–":
            assert not any(run["section"] == section and run["options"] == [] for run in runs)
            continue
        found = [
            run["epochs"][-1]["test_acc"]
            for run in runs
            if (run["section"], " ".join(run["options"])) == (section, options)
        ]
        assert accuracy.split()[0] == f"{mean(found):.3f}"
        assert book == IN_THE_BOOK[section]


def test_the_reference_has_every_name_of_the_book(site):
    import gluonbook as gb

    modules = {"plt", "runtime", "utils", "__version__"}
    parts = Page(site / "api" / "index.html").parts
    assert {f"gluonbook.{name}" for name in set(gb.__all__) - modules} <= parts


def test_the_reference_has_every_family_of_nets(site):
    names = [path.stem for path in (ROOT / "gluonbook" / "zoo").glob("*.py")]
    modules = [importlib.import_module(f"gluonbook.zoo.{name}") for name in names]
    families = {f"module-{each.__name__}" for each in modules if hasattr(each, "MODELS")}
    families -= {"module-gluonbook.zoo.models", "module-gluonbook.zoo.__init__"}
    assert len(families) > 5 and families <= Page(site / "api" / "zoo.html").parts


def test_every_exercise_and_result_has_its_page(site):
    exercises = {path.stem for path in (CHAPTERS / "exercises").glob("*.py")} - {"trial"}
    found = {path.stem for path in (site / "exercises").glob("*.html")}
    assert found == exercises | {"index"}
    shown = {Path(link).name for link in Page(site / "results" / "index.html").links}
    pictures = re.findall(r"^!\[.*\]\((.*)\)$", (ROOT / "results/README.md").read_text(), re.M)
    assert len(pictures) > 10 and {Path(picture).name for picture in pictures} <= shown
    for path in (ROOT / "results").glob("*.png"):
        page = Page(site / "results" / f"{path.stem}.html")
        assert f"../_images/{path.name}" in page.links


def test_every_page_is_one_click_from_the_other_language(site):
    pages = pages_of(site)
    for name, page in pages.items():
        leads_to = urljoin(name, page.other_language)
        assert leads_to in pages and leads_to.startswith("zh/") != name.startswith("zh/"), name
        if not name.startswith("zh/") and f"zh/{name}" in pages:
            assert leads_to == f"zh/{name}"
            assert urljoin(leads_to, pages[leads_to].other_language) == name
    assert {f"zh/{section}.html" for section in RECIPES} < pages.keys()
    for name, nearest in {
        "exercises/net_sizes.html": "zh/exercises/index.html",
        "results/int8.html": "zh/results/index.html",
        "api/zoo.html": "zh/api/index.html",
        "search.html": "zh/index.html",
    }.items():
        assert urljoin(name, pages[name].other_language) == nearest

"""The READMEs state the recipes, the counts and the measured figures as they are."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
import re
from statistics import median

from gluonbook.recipes import RECIPES
import pytest

from .nets.test_nets import NETS

ROOT = Path(__file__).parents[1]
READMES = ["README.md", "README.zh.md"]
#: Of the READMEs: the front page, and how to use the chapters.
FOLDERS = [ROOT, ROOT / "chapters"]
PARAMETERS = {case.id: case.values[3] for case in NETS}


@pytest.fixture(params=READMES)
def text(request):
    return (ROOT / request.param).read_text(encoding="utf-8")


def test_the_table_of_sections_is_that_of_the_recipes(text):
    rows = {}
    for line in text.splitlines():
        found = re.match(r"\| \[[^]]*\]\(chapters/(\w+)\.py\) \|", line)
        if found:
            rows[found.group(1)] = [cell.strip() for cell in line.split("|")[2:6]]
    assert rows == {
        name: [
            f"{recipe.lr:g}",
            str(recipe.batch_size),
            str(recipe.size),
            f"{PARAMETERS[name]:,}",
        ]
        for name, recipe in RECIPES.items()
    }


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("name", READMES)
def test_links_lead_somewhere(folder, name):
    text = (folder / name).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (folder / target).exists(), target


@pytest.mark.parametrize("name", READMES)
def test_each_exercise_is_listed_with_its_table(name):
    text = (ROOT / "chapters" / name).read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| \[(\w+)\]\(exercises/(\w+)\.py\) .*\.\./results/exercises/(\w+)\.md", text, re.M
    )
    assert all(len(set(row)) == 1 for row in rows)
    scripts = (ROOT / "chapters" / "exercises").glob("*.py")
    assert sorted(row[0] for row in rows) == sorted(path.stem for path in scripts)


@pytest.mark.parametrize("folder", FOLDERS)
def test_both_readmes_give_the_same_commands(folder):
    blocks = [
        re.findall(r"```bash\n(.*?)```", (folder / name).read_text(encoding="utf-8"), re.S)
        for name in READMES
    ]
    assert blocks[0] == blocks[1] and len(blocks[0]) >= 2


def test_the_printed_epochs_are_those_of_the_recorded_run(text):
    lines = (ROOT / "results" / "quickstart" / "history.csv").read_text().splitlines()[1:]
    for line in lines:
        epoch, loss, train_acc, test_acc, _ = line.split(",")
        printed = f"epoch {epoch}, loss {float(loss):.4f}, train acc {float(train_acc):.3f}"
        assert f"{printed}, test acc {float(test_acc):.3f}, time " in text
    options = json.loads((ROOT / "results" / "quickstart" / "config.json").read_text())["options"]
    command = (
        f"--limit {options['limit']} --epochs {options['num_epochs']} --seed {options['seed']}"
    )
    assert command in text


def test_the_headlines_are_the_measured_ones(text):
    def rows(name):
        return json.loads((ROOT / "results" / f"{name}.json").read_text())["rows"]

    rates = {
        row["section"]: {form: median(values) for form, values in row["images_per_second"].items()}
        for row in rows("training")
    }
    written = {name: of["gluonbook"] / of["PyTorch, as written"] for name, of in rates.items()}
    book = {name: of["gluonbook"] / of["Gluon, as the book runs it"] for name, of in rates.items()}
    assert min(written, key=written.get) == "lenet" and max(written, key=written.get) == "vgg"
    for factor in (
        *(written[name] for name in ("lenet", "vgg", "resnet")),
        *(min(book.values()), max(book.values())),
    ):
        assert f"{factor:.2f}" in text

    gains = {}
    for row in rows("inference"):  # the recipe's batch comes last
        of = {form: median(values) for form, values in row["images_per_second"].items()}
        gains[row["section"]] = of["gluonbook, int8"] / of["gluonbook"]
    assert gains.pop("lenet") < 1
    assert min(gains, key=gains.get) == "densenet" and max(gains, key=gains.get) == "resnet"
    for factor in (gains["densenet"], gains["resnet"]):
        assert f"{factor:.2f}" in text

    soak = rows("soak")
    assert not any(row["faults"] for row in soak)
    killed = sum(row["tried"] for row in soak if row["what"].startswith("kill -9"))
    damaged = sum(row["tried"] for row in soak if row["what"].startswith("damaged files"))
    assert f"{killed} " in text and f"{damaged:,} " in text

    [run] = rows("distributed_kills")
    assert run["faults"] == [] and f"{sum(run['killed'].values())} " in text

    compared = json.loads((ROOT / "results" / "compare.json").read_text())
    worst = max(
        row["relative"]
        for section in compared
        for row in section["numbers"]
        if row["quantity"] in ("outputs", "gradients")
    )
    assert f"{worst:.0e}" == "4e-14" and "4e-14" in text

    [lenet] = [row for row in rows("contention") if (row["section"], row["busy"]) == ("lenet", 1)]
    rounds = lenet["images_per_second"]
    faster = [a / b for a, b in zip(rounds["gluonbook"], rounds["300,000 turns (default)"])]
    assert f"{median(faster):.2f}" in text

    full = {(run["section"], *run["options"]): run["epochs"][-1] for run in rows("reproduce")}
    for options in ((), ("--recipe", "tuned"), ("--recipe", "small")):
        assert f"{full[('resnet', *options)]['test_acc']:.3f}" in text


def test_the_page_of_results_is_built_from_the_files(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    page = importlib.import_module("overview").page()
    assert (ROOT / "results" / "README.md").read_text(encoding="utf-8") == page
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page):
        assert (ROOT / "results" / target).exists(), target

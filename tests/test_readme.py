"""The READMEs state the recipes, the counts and the measured figures as they are."""

from __future__ import annotations

import json
from pathlib import Path
import re

from gluonbook.recipes import RECIPES
import pytest

from .nets.test_nets import NETS

ROOT = Path(__file__).parents[1]
READMES = ["README.md", "README.zh.md"]
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


def test_links_lead_somewhere(text):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (ROOT / target).exists(), target


def test_both_readmes_give_the_same_commands():
    blocks = [
        re.findall(r"```bash\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.S)
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


@pytest.mark.parametrize(
    "name",
    ["loading.md", "compare.md", "soak.md", "training.md", "inference.md", "reproduce.md"]
    + ["stability.md", "bfloat16.md", "memory.md"],
)
def test_the_tables_are_the_measured_ones(text, name):
    measured = (ROOT / "results" / name).read_text(encoding="utf-8")
    table = [line for line in measured.splitlines() if line.startswith("|")]
    assert "\n".join(table) in text

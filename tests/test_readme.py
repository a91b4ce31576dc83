"""The READMEs state the recipes, the counts and the measured figures as they are."""

from __future__ import annotations

from collections import Counter
import configparser
import importlib
import json
from pathlib import Path
import re
from statistics import median

from gluonbook.recipes import RECIPES
from PIL import Image
import pytest

from .nets.test_nets import NETS

ROOT = Path(__file__).parents[1]
READMES = ["README.md", "README.zh.md"]
#: The folder of the chapters in the language of each.
OF_LANGUAGE = {"README.md": "chapters", "README.zh.md": "chapters/zh"}
#: Of the READMEs: the front page, and how to use the chapters.
FOLDERS = [ROOT, ROOT / "chapters"]
PARAMETERS = {case.id: case.values[3] for case in NETS}


@pytest.fixture(params=READMES)
def text(request):
    return (ROOT / request.param).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", READMES)
def test_the_table_of_sections_is_that_of_the_recipes(name):
    rows = {}
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        found = re.match(rf"\| \[[^]]*\]\({OF_LANGUAGE[name]}/(\w+)\.py\) \|", line)
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
def test_the_page_on_the_chapters_links_to_each_in_its_language(name):
    page, folder = ROOT / "chapters" / name, ROOT / OF_LANGUAGE[name]
    targets = re.findall(r"\]\(([\w/]+\.py)\)", page.read_text(encoding="utf-8"))
    linked = {page.parent / target for target in targets}
    assert {folder / f"{section}.py" for section in RECIPES} <= linked


@pytest.mark.parametrize("name", READMES)
def test_each_exercise_is_listed_with_its_table(name):
    text = (ROOT / "chapters" / name).read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| \[(\w+)\]\(exercises/(\w+)\.py\) .*\.\./results/exercises/(\w+)\.md", text, re.M
    )
    assert all(len(set(row)) == 1 for row in rows)
    scripts = (ROOT / "chapters" / "exercises").glob("*.py")
    names = {path.stem for path in scripts} - {"trial"}  # which the others share
    assert sorted(row[0] for row in rows) == sorted(names)


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


def test_the_image_trains_what_the_first_command_trains(text):
    """And the READMEs name the two commands that the Dockerfile begins with."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    [trains] = [json.loads(line[4:]) for line in lines if line.startswith("CMD ")]
    assert f".venv/bin/{' '.join(trains)}\n" in text
    for command in [line.strip("# ") for line in lines if line.startswith("#     docker")][:2]:
        assert f"`{command}`" in text


def test_the_image_gets_every_file_that_it_needs():
    """Of what Git has, `.dockerignore` keeps all but tests, results and pages for readers."""
    kept = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    }
    assert all((ROOT / name).exists() for name in kept)
    assert {"chapters", "gluonbook", "mxnet_wheel", "setup.py", "setup.cfg", "README.md"} <= kept


#: What the READMEs call the conditions of their headlines, in English and in Chinese.
TOLD = {
    "two cores": ("two cores", "两个核"),
    "CPU": ("on the CPU", "在 CPU 上"),
    "one seed": ("from one seed each", "各用一个随机种子"),
    "one image": ("a single image", "每次只推断一张图像"),
    "same weights": ("with the same weights", "权重相同"),
    "PyTorch edition": ("the PyTorch edition's seven nets", "PyTorch 版的七个网络"),
    "one busy": ("beside one busy process", "旁边有一个占满一个核的进程"),
    "two workers": ("by two workers", "由两个进程"),
    "with a checksum": ("Of {} damaged files with a checksum", "{} 个带校验和的损坏文件"),
    "without one, tried": ("Of {} without one", "{} 个没有校验和的文件"),
    "without one, other values": ("{} were", "有 {} 个被读出了别的数值"),
    "batches": ("batches of {} or {}", "批量大小为各节的 {} 或 {}"),
    "LeNet's batches": ("in batches of {}", "以 {} 的批量大小"),
    **{5: ("five", "五轮"), 10: ("ten", "十轮"), 50: ("fifty", "五十轮")},
}
PROCESSORS = {"Intel(R) Xeon(R) Processor": "Intel Xeon", "AMD EPYC": "AMD EPYC"}


def result(name):
    return json.loads((ROOT / "results" / f"{name}.json").read_text())


@pytest.fixture(params=range(len(READMES)), ids=READMES)
def headlines(request):
    """For each headline a function that finds figures and conditions in it."""
    text = (ROOT / READMES[request.param]).read_text(encoding="utf-8")
    items = re.findall(r"^- \*\*.*\n(?:  .*\n)*", text.partition("](results/README.md)")[2], re.M)

    def finder(item):
        # A line of the file may end anywhere, in Chinese within a word too.
        line = (" ", "")[request.param].join(map(str.strip, item.splitlines()))

        def states(*parts):
            for part in parts:
                name, *values = part if isinstance(part, tuple) else (part,)
                wanted = TOLD.get(name, (name,) * 2)[request.param].format(*values)
                pattern = r"\s*".join(map(re.escape, wanted.split()))
                assert re.search(rf"(?<!\d)(?<!\d[.,]){pattern}(?!\d)", line), wanted

        return states

    return [finder(item) for item in items[:5]]


def test_the_headlines_on_speed_are_measured_and_carry_their_conditions(headlines):
    states = headlines[0]
    training, inference = result("training"), result("inference")
    rates = {
        row["section"]: {form: median(values) for form, values in row["images_per_second"].items()}
        for row in training["rows"]
    }
    written = {name: of["gluonbook"] / of["PyTorch, as written"] for name, of in rates.items()}
    book = {name: of["gluonbook"] / of["Gluon, as the book runs it"] for name, of in rates.items()}
    assert min(written, key=written.get) == "lenet" and max(written, key=written.get) == "vgg"
    states(f"{written['lenet']:.2f}", f"{written['vgg']:.2f}", f"{written['resnet']:.2f}")
    states(f"{min(book.values()):.2f}", f"{max(book.values()):.2f}")

    def gains(rows):
        of = {row["section"]: row["images_per_second"] for row in rows}
        return {
            name: median(rates["gluonbook, int8"]) / median(rates["gluonbook"])
            for name, rates in of.items()
        }

    batches = {row["section"]: row["batch_size"] for row in training["rows"]}
    assert batches == {name: recipe.batch_size for name, recipe in RECIPES.items()}
    at_batch = gains(
        row for row in inference["rows"] if row["batch_size"] == batches[row["section"]]
    )
    at_one = gains(row for row in inference["rows"] if row["batch_size"] == 1)
    assert at_batch.pop("lenet") < 1 and at_one.pop("lenet") < 1
    assert min(at_batch, key=at_batch.get) == min(at_one, key=at_one.get) == "densenet"
    assert max(at_batch, key=at_batch.get) == "resnet" and max(at_one, key=at_one.get) == "alexnet"
    states(f"{at_batch['densenet']:.2f}", f"{at_batch['resnet']:.2f}")
    states(f"{at_one['densenet']:.2f}", f"{at_one['alexnet']:.2f}", "one image")

    states(("batches", *sorted(set(batches.values()))), "float32", "int8")
    assert training["machine"]["cores"] == inference["machine"]["cores"] == 2
    states("two cores", *(PROCESSORS[of["machine"]["processor"]] for of in (training, inference)))


def test_the_headlines_on_reliability_are_measured_and_carry_their_conditions(headlines):
    states = headlines[1]
    soak = result("soak")["rows"]
    assert not any(row["faults"] for row in soak)
    tried = {row["what"]: row["tried"] for row in soak}

    def total(beginning):
        return sum(number for what, number in tried.items() if what.startswith(beginning))

    states(f"{total('kill -9'):,}", f"{total('SIGTERM and SIGINT'):,}")
    states("CPU")
    states(*(what.rpartition(", ")[2] for what in tried if what.startswith(("kill", "SIGTERM"))))

    [run] = result("distributed_kills")["rows"]
    assert run["faults"] == [] and (run["section"], run["workers"]) == ("lenet", 2)
    states(f"{sum(run['killed'].values())}", "two workers")

    fuzz = result("fuzz")["rows"]
    assert not any(row["faults"] for row in fuzz)

    def damaged(kind, figure):
        return sum(row[figure] for row in fuzz if row["kind"] == kind)

    assert damaged("damaged", "other values") == 0
    states(("with a checksum", f"{damaged('damaged', 'tried'):,}"))
    for figure in ("tried", "other values"):
        states((f"without one, {figure}", f"{damaged('damaged, no checksum', figure):,}"))


def test_the_headline_on_the_comparison_is_measured_and_carries_its_conditions(headlines):
    compared = result("compare")
    worst = max(
        row["relative"]
        for section in compared
        for row in section["numbers"]
        if row["quantity"] in ("outputs", "gradients")
    )
    assert {section["edition"] for section in compared} == {"pytorch"} and len(compared) == 7
    headlines[2](f"{worst:.0e}", "4e-14", "float64", "same weights", "PyTorch edition")


def test_the_headlines_on_results_are_measured_and_carry_their_conditions(headlines):
    states = headlines[3]
    runs = [run for run in result("reproduce")["rows"] if run["section"] == "resnet"]
    for options in ([], ["--recipe", "tuned"], ["--recipe", "small"]):
        [run] = [run for run in runs if run["options"] == options]  # one seed
        states(f"{run['epochs'][-1]['test_acc']:.3f}", len(run["epochs"]), " ".join(options))
        assert run["config"]["device"] == "cpu(0)"
    states("one seed", "CPU")


def test_the_headline_on_busy_machines_is_measured_and_carries_its_conditions(headlines):
    contention = result("contention")
    [lenet] = [row for row in contention["rows"] if (row["section"], row["busy"]) == ("lenet", 1)]
    rounds = lenet["images_per_second"]
    faster = [a / b for a, b in zip(rounds["gluonbook"], rounds["300,000 turns (default)"])]
    assert contention["machine"]["cores"] == 2
    headlines[4](f"{median(faster):.2f}", "two cores", "one busy", "LeNet")
    headlines[4](("LeNet's batches", lenet["batch_size"]))


def test_the_page_of_results_is_built_from_the_files(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    page = importlib.import_module("overview").page()
    assert (ROOT / "results" / "README.md").read_text(encoding="utf-8") == page
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page):
        assert (ROOT / "results" / target).exists(), target


def test_pytest_says_why_tests_were_skipped(pytestconfig):
    """As the READMEs say of those that need PyTorch."""
    assert "-rs" in pytestconfig.getini("addopts")


@pytest.mark.parametrize("name", READMES)
def test_the_page_on_notebooks_names_the_extra_that_has_what_they_need(name):
    page = (ROOT / "chapters" / name).read_text(encoding="utf-8")
    assert ".venv/bin/pip install -e '.[notebook]'\n.venv/bin/jupytext --to notebook " in page
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    extra = setup["options.extras_require"]["notebook"].split()
    assert extra == ["ipykernel", "jupytext"]


def rows_on_the_books_exercises(name):
    """Section, exercise and answer of each."""
    page = (ROOT / "chapters" / name).read_text(encoding="utf-8")
    part = page.partition(("### The book's own list", "### 书中的练习")[READMES.index(name)])[2]
    lines = [line for line in part.partition("\n## ")[0].splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize("name", READMES)
def test_each_exercise_of_the_book_is_on_the_list(name):
    """As many as the printed book has in each of these sections."""
    counts = Counter(section for section, _, _ in rows_on_the_books_exercises(name))
    assert counts == {
        **{"LeNet": 1, "AlexNet": 3, "VGG": 3, "NiN": 2, "GoogLeNet": 2},
        **{"ResNet": 3, "DenseNet": 3},
    }


def test_both_lists_of_exercises_have_the_same_answers():
    ours, theirs = map(rows_on_the_books_exercises, READMES)
    for one, other in zip(ours, theirs):
        assert one[0] == other[0]
        assert re.findall(r"\(.*?\)|`.*?`", one[2]) == re.findall(
            r"\(.*?\)|`.*?`", other[2].replace("(zh/", "(")
        )
        assert one[2].startswith("try") == other[2].startswith("试试")


def test_the_front_page_names_the_editions_whose_code_runs(text):
    for told in ("`import gluonbook as d2l`", "`import d2lzh as d2l`", "`npx.set_np()`"):
        assert told in " ".join(text.split())


def test_the_front_page_says_how_to_watch_and_draw_a_training(text):
    assert "gb.train_ch5(..., progress=True)" in text and 'history.draw("curve.png")' in text
    assert "`python -m gluonbook`" in text


def test_the_front_page_says_what_the_trained_net_reaches(text):
    card = json.loads((ROOT / "gluonbook" / "weights" / "wideresnet.json").read_text())
    assert f"{card['accuracy']:.3f}" in text.partition("```python")[0]


def test_the_first_example_runs(text, dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(dataset.test.images[0, 0]).save("shoe.jpg")
    exec(re.findall(r"```python\n(.*?)```", text, re.S)[0], {})
    name, probability = capsys.readouterr().out.rsplit(maxsplit=1)
    assert name == "ankle boot" and 0.5 < float(probability) <= 1

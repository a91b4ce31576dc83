"""Parts of pages as the modules of docs/ make them, without a build."""

from __future__ import annotations

import functools
import json

from gluonbook.recipes import RECIPES
import pytest

from ..conftest import CHAPTERS, NO_TORCH

pytestmark = pytest.mark.docs
ROOT = CHAPTERS.parent


def test_a_recording_of_other_code_is_not_shown(docs, monkeypatch):
    recordings = docs("pages.recordings")
    recorded = json.loads((ROOT / "results/chapters/lenet.ipynb").read_text())
    code = ["".join(cell["source"]) for cell in recorded["cells"]]
    assert recordings.recording("lenet", code).facts["section"] == "lenet"
    warned = []
    monkeypatch.setattr(recordings.log, "warning", lambda *arguments: warned.append(arguments[1]))
    assert recordings.recording("lenet", [*code[:-1], "net.show()"]) is None
    assert warned == ["lenet.ipynb"]


def test_a_recording_names_its_machine(docs):
    recordings, wording = docs("pages.recordings"), docs("pages.wording")
    on_the_cpu = {"device": "cpu(0)", "machine": {"cores": 2, "processor": "AMD EPYC"}}
    on_a_gpu = {**on_the_cpu, "device": "gpu(0)", "gpus": ["NVIDIA H100"]}
    assert recordings.machine(on_the_cpu, wording.ENGLISH) == "2 cores (AMD EPYC)"
    assert recordings.machine(on_a_gpu, wording.ENGLISH) == "NVIDIA H100"
    assert recordings.machine(on_a_gpu, wording.CHINESE) == " NVIDIA H100 "


def test_the_full_run_shown_is_the_nearest_to_the_book(docs, monkeypatch):
    full_runs = docs("pages.full_runs")

    def row(name, options, num_epochs=5, recipe="book"):
        config = {"options": {"recipe": recipe}}
        epochs = [{"epoch": epoch} for epoch in range(1, num_epochs + 1)]
        same = {"section": "nin", "seed": 1, "config": config}
        return {**same, "name": name, "options": options, "epochs": epochs}

    rows = [
        row("long", ["--epochs", "30"], num_epochs=30),
        row("stable", ["--recipe", "stable", "--amp"], recipe="stable"),
        row("amp", ["--amp"]),
        row("gpu", ["--device", "gpu"]),
    ]
    found = []
    while rows:
        text = json.dumps({"rows": rows})
        monkeypatch.setattr(full_runs, "read", lambda place, text=text: text)
        run = full_runs.full_run("nin")
        found.append((run.name, run.how) if run else None)
        rows = [row for row in rows if run and row["name"] != run.name]
    assert found == [
        ("gpu", "--device gpu"),
        ("amp", "--amp"),
        ("stable", "--recipe stable --amp"),
        None,
    ]


@pytest.mark.pytorch
def test_the_training_in_the_other_tab_runs(docs, dataset, monkeypatch, capsys):
    pytest.importorskip("torch", reason=NO_TORCH)
    import gluonbook.pytorch as d2l

    load = functools.partial(d2l.load_data_fashion_mnist, root=dataset.folder, limit=16)
    monkeypatch.setattr(d2l, "load_data_fashion_mnist", load)
    train = d2l.train_ch6
    monkeypatch.setattr(
        d2l, "train_ch6", lambda *args, **kwargs: train(*args, **{**kwargs, "num_epochs": 1})
    )
    exec(docs("pages.frameworks").pytorch_training("lenet"), {"d2l": d2l})
    assert "train acc" in capsys.readouterr().out


@pytest.mark.pytorch
@pytest.mark.parametrize("section", RECIPES)
def test_the_layers_in_the_other_tab_are_printed(docs, section, capsys):
    torch = pytest.importorskip("torch", reason=NO_TORCH)
    import gluonbook.pytorch as d2l

    names = {"d2l": d2l, "torch": torch}
    exec(docs("pages.frameworks").pytorch_layers(section), names)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(getattr(d2l, section)())
    assert lines[-1].endswith("output shape:\t torch.Size([1, 10])")


def test_a_page_in_one_language_leads_to_the_nearest_in_the_other(docs):
    twin, known = docs("languages").twin, {"index", "zh/index", "resnet", "zh/resnet"}
    assert twin("resnet", known) == "zh/resnet" and twin("zh/resnet", known) == "resnet"
    known |= {"api/index", "api/zoo", "zh/api/index"}
    assert twin("api/zoo", known) == "zh/api/index" and twin("search", known) == "zh/index"


@pytest.mark.parametrize(
    ("link", "source", "page", "expected"),
    [
        ("[it](resnet.py)", "chapters/README.md", "how-to/edit", "[it](../resnet.ipynb)"),
        ("[it](../resnet.py)", "chapters/zh/vgg.py", "zh/vgg", "[it](resnet.ipynb)"),
        ("[it](../resnet.py)", "chapters/zh/resnet.py", "zh/resnet", "[it](../resnet.ipynb)"),
        ("[it](results/int8.md)", "README.zh.md", "zh/index", "[it](../results/int8.md)"),
        ("[it](LICENSE)", "README.md", "how-to/install", "[it](../../LICENSE)"),
        ("[it](tests)", "README.md", "how-to/install", "it"),
        ("[it](resnet.py)", "chapters/resnet.py", "resnet", "it"),
        ("[it](https://d2l.ai)", "README.md", "index", "[it](https://d2l.ai)"),
    ],
)
def test_a_link_leads_to_a_page_in_the_readers_language(docs, link, source, page, expected):
    """Else to the one page that there is, or to the file. A folder and the page itself: no link."""
    assert docs("pages.links").relinked(link, source, page) == expected


def test_a_build_removes_pages_that_are_no_longer_made_and_nothing_else(
    docs, tmp_path, monkeypatch
):
    files = docs("pages.files")
    monkeypatch.setattr(files, "made", lambda: {"results/new.md": "# New\n"})
    for name in ("results/old.md", "results/.ipynb_checkpoints/kept.md", "api/kept.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("# Some\n")
    files.write(tmp_path)
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.md")}
    assert left == {"results/new.md", "results/.ipynb_checkpoints/kept.md", "api/kept.md"}

"""Files in the way of what a command writes: this package's own, and a user's."""

from __future__ import annotations

import json
import os

from gluonbook.plots.figure import save_picture
from gluonbook.runs.history import History
from gluonbook.system import ownership
from gluonbook.training.epochs import Epoch
from matplotlib.figure import Figure
from PIL import Image
import pytest


def test_what_this_package_writes_says_so(tmp_path):
    save_picture(Figure(figsize=(1, 1)), tmp_path / "picture")
    assert Image.open(tmp_path / "picture").text["Software"] == ownership.SOFTWARE
    history = History(tmp_path / "history.csv")
    history.append(Epoch(1, 2.0, 0.5, 0.5, 1.0))
    history.draw(tmp_path / "curve.PNG")
    history.draw(tmp_path / "curve")
    (tmp_path / "list.json").write_text(json.dumps([{"versions": ownership.versions()}], indent=1))
    names = ("picture", "history.csv", "curve.PNG", "curve", "list.json", "none.png", "no/folder")
    ownership.refuse_foreign(tmp_path / name for name in names)
    history.draw(tmp_path / "curve.svg")  # which has no such place, and is still drawn


@pytest.mark.parametrize(
    "name",
    ["photo.png", "figure.png", "notes.md", "data.json", "net.onnx", "table.csv", "empty",
     "folder", "pipe", "link", "dangling"],
)  # fmt: skip
def test_any_other_file_is_a_users(tmp_path, name):
    Image.new("L", (9, 9)).save(tmp_path / "photo.png")
    Figure(figsize=(1, 1)).savefig(tmp_path / "figure.png")
    (tmp_path / "notes.md").write_text(
        "# To do\n\n`python chapters/lenet.py`, with gluonbook 1.0\n\nEnd.\n"
    )
    (tmp_path / "data.json").write_text(json.dumps({"name": "gluonbook", "version": "1.0.0"}))
    (tmp_path / "net.onnx").write_bytes(b"\x08\x07\x12\x07pytorch\x1a\x05gluonbook ")
    (tmp_path / "table.csv").write_text("epoch,loss\r\n1,2.0\r\n")
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("photo.png")
    (tmp_path / "dangling").symlink_to("nowhere")
    told = f"{name} is there already, and does not say that gluonbook wrote it: move it, or name"
    with pytest.raises(ownership.NotOurs, match=told):
        ownership.refuse_foreign([tmp_path / "none", tmp_path / name])

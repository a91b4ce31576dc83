"""``python -m gluonbook.predict``, on the folder of a run that this test trains."""

from __future__ import annotations

import json

from gluonbook import predict
from gluonbook.data.fashion_mnist import CLASSES
from gluonbook.system.errors import Failure
import numpy as np
from PIL import Image
import pytest


@pytest.fixture
def run(lenet_run):
    return lenet_run


def test_the_test_images_are_counted_and_drawn(run, tiny, capsys):
    capsys.readouterr()
    assert predict.main([str(run), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["test_images"] == 32 and list(result["classes"]) == list(CLASSES)
    matrix = np.array(result["confusion"])
    assert matrix.sum(axis=1).tolist() == np.bincount(tiny.test.labels, minlength=10).tolist()
    assert result["accuracy"] == matrix.trace() / 32
    history = (run / "history.csv").read_text().splitlines()[-1].split(",")
    assert abs(result["accuracy"] - float(history[3])) < 1e-9
    for name in ("predictions", "mistakes", "confusion", "filters"):
        assert (run / "predictions" / f"{name}.png").read_bytes().startswith(b"\x89PNG")

    assert predict.main([str(run), "--limit-test", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("5 test images, accuracy 0.") and len(lines) == 3 + len(CLASSES)


def test_a_users_images_are_classified(run, tiny, tmp_path, capsys):
    paths = [str(tmp_path / f"{i}.png") for i in range(3)]
    for path, image in zip(paths, tiny.test.images):
        Image.fromarray(image[0]).save(path)
    capsys.readouterr()
    assert predict.main([str(run), *paths, "--json", "--out", str(tmp_path / "out")]) == 0
    answers = json.loads(capsys.readouterr().out)["images"]
    expected = predict.load_run(run).probabilities(tiny.test.images[:3])
    for answer, path, row in zip(answers, paths, expected):
        assert answer["image"] == path and answer["predicted"] == CLASSES[row.argmax()]
        np.testing.assert_allclose(list(answer["probabilities"].values()), row, rtol=1e-6)
    assert (tmp_path / "out" / "images.png").read_bytes().startswith(b"\x89PNG")

    assert predict.main([str(run), paths[0]]) == 0
    assert capsys.readouterr().out.startswith(f"{paths[0]}: {CLASSES[expected[0].argmax()]} ")


def test_what_is_no_trained_run_is_refused(run, tmp_path):
    with pytest.raises(Failure, match="there is no folder .*nowhere: name that of a run"):
        predict.main([str(tmp_path / "nowhere")])
    params = run / "lenet.params"
    content = params.read_bytes()
    params.write_bytes(content[:-9])
    with pytest.raises(Failure, match="lenet.params is not a whole file of parameters"):
        predict.main([str(run)])
    params.unlink()
    with pytest.raises(
        Failure, match=r"has no lenet.params: the run has not ended; resume it with"
    ):
        predict.main([str(run)])
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "section": "elsewhere"}))
    with pytest.raises(Failure, match="config.json is damaged: there is no section 'elsewhere'"):
        predict.main([str(run)])

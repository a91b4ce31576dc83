"""``python -m gluonbook.predict``, on the folder of a run that this test trains."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from unittest import mock

from gluonbook import predict
from gluonbook.data.fashion_mnist import CLASSES
from gluonbook.export import __main__ as export
from gluonbook.export import import_symbol, load_parameters, save_parameters
from gluonbook.recipes import RECIPES
from gluonbook.runs import folder as run_folder
from gluonbook.runs import int8
from gluonbook.runs.folder import RunFolder
from gluonbook.runs.history import History
from gluonbook.system import files
from gluonbook.system.errors import Failure
from gluonbook.system.ownership import NotOurs
import numpy as np
from PIL import Image
import pytest

from .conftest import run_chapter


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


def test_no_file_of_a_users_is_written_over(run, tiny, tmp_path, monkeypatch):
    photo = tmp_path / "images.png"
    Image.fromarray(tiny.test.images[0, 0]).save(photo)
    before = photo.read_bytes()
    monkeypatch.chdir(tmp_path)
    own = run / "predictions"
    own.mkdir()
    (own / "images.png").write_bytes(before)
    for argv in (
        (str(run), "images.png", "--out", "."),
        (str(run), str(run / "config.json"), "--out", "."),
        ("nowhere", "images.png", "--out", "."),  # before anything else is done
        (str(run), str(photo), str(own / "images.png")),
    ):
        with pytest.raises(NotOurs, match=r"images.png is there already, and does not say"):
            predict.main(argv)
    (own / "images.png").unlink()
    Image.new("L", (9, 9)).save(tmp_path / "confusion.png")
    with pytest.raises(NotOurs, match="confusion.png is there already"):
        predict.main([str(run), "--out", "."])
    assert photo.read_bytes() == before and not list(tmp_path.glob("filters.png"))

    Image.new("L", (9, 9)).save(own / "images.png")  # in the run's folder, as an older version did
    assert predict.main([str(run), "images.png"]) == 0
    for argv in (["images.png"], [], ["images.png"], []):
        assert predict.main([str(run), *argv, "--out", "out"]) == 0


def test_a_files_name_obeys_no_terminal(run, tiny, tmp_path, capsys):
    name = tmp_path / "\x1b[2J é.png"
    Image.fromarray(tiny.test.images[0, 0]).save(name)
    capsys.readouterr()
    assert predict.main([str(run), str(name), "--out", str(tmp_path / "out\x07")]) == 0
    printed = capsys.readouterr()
    assert "\\x1b[2J é.png: " in printed.out and printed.err.endswith("out\\x07\n")
    assert not {"\x1b", "\x07"} & {*printed.out, *printed.err}


def test_too_little_memory_is_told_without_options_that_predict_lacks(run, monkeypatch, capsys):
    monkeypatch.setattr("sys.excepthook", sys.__excepthook__)
    monkeypatch.setattr(predict, "load_run", mock.Mock(side_effect=MemoryError("too much")))
    with pytest.raises(MemoryError) as error:
        predict.main([str(run), "--device", "cpu"])
    capsys.readouterr()
    sys.excepthook(error.type, error.value, None)
    assert capsys.readouterr().err == "error: not enough memory (too much): end other programs\n"


def test_int8_is_made_once_and_kept_while_it_is_of_the_run(run, tiny, capsys):
    def predicted():
        """The probabilities, and whether the net was quantized for them."""
        capsys.readouterr()
        found = predict.load_run_in_int8(run).probabilities(tiny.test.images)
        return found, "calibrated on 24 training images, and" in capsys.readouterr().err

    def check_digests():
        digests = json.loads((run / "lenet-int8.json").read_text())["sha256"]
        names = ["lenet-int8-0000.params", "lenet-int8-symbol.json", "lenet.params"]
        assert digests == {
            name: hashlib.sha256((run / name).read_bytes()).hexdigest() for name in names
        }

    assert predict.main([str(run), "--int8"]) == 0
    told = capsys.readouterr()
    assert "quantizing to int8: calibrated on 24 training images, and compared" in told.err
    assert told.out.startswith("32 test images, accuracy 0.")
    check_digests()
    in_float32 = predict.load_run(run).probabilities(tiny.test.images)
    first, made = predicted()
    assert not made and 0 < np.abs(first - in_float32).max() < 0.05

    for name in ("lenet-int8-0000.params", "lenet-int8-symbol.json", "lenet-int8.json"):
        (run / name).write_bytes((run / name).read_bytes()[:-9])
        again, made = predicted()
        assert made and np.array_equal(again, first)
        check_digests()
    net = predict.load_run(run).net  # as a training that goes on does
    net[0].bias.set_data(net[0].bias.data() + 1)
    save_parameters(net, run / "lenet.params")
    assert predicted()[1] and not predicted()[1]
    with pytest.raises(Failure, match="--int8 computes on the CPU: leave --device gpu:1 out"):
        predict.main([str(run), "--int8", "--device", "gpu:1"])
    assert not list(run.glob(".partial*"))


def test_int8_of_another_processor_is_made_anew_where_it_would_overflow(run, tiny, monkeypatch):
    made = []
    quantized = int8._quantized
    monkeypatch.setattr(int8, "_quantized", lambda *each: made.append(1) or quantized(*each))
    for needs, times in ((False, 1), (True, 2), (False, 2), (True, 2)):
        monkeypatch.setattr(int8, "needs_seven_bits", lambda needs=needs: needs)
        predict.load_run_in_int8(run)
        assert len(made) == times


def test_int8_of_an_earlier_version_is_made_anew(run, tiny):
    predict.load_run_in_int8(run)
    kept = run / "lenet-int8.json"
    facts = json.loads(kept.read_text())
    del facts["version"]
    kept.write_text(json.dumps({**facts, "accuracy": "of another version"}))
    predict.load_run_in_int8(run)
    assert json.loads(kept.read_text())["accuracy"] == facts["accuracy"]


def test_a_net_outlives_the_recipe_that_trained_it(run, tiny, monkeypatch):
    expected = predict.load_run(run).probabilities(tiny.test.images)
    monkeypatch.setitem(RECIPES, "lenet", RECIPES["lenet"]._replace(optimizer="adam"))
    np.testing.assert_array_equal(predict.load_run(run).probabilities(tiny.test.images), expected)


def test_what_is_no_trained_run_is_refused(run, tmp_path):
    with pytest.raises(Failure, match="there is no folder .*nowhere: name that of a run"):
        predict.main([str(tmp_path / "nowhere")])
    params = run / "lenet.params"
    content = params.read_bytes()
    files.write(params, content[:-9])
    with pytest.raises(Failure, match="lenet.params is not a whole file of parameters"):
        predict.main([str(run)])
    params.unlink()
    with pytest.raises(
        Failure, match=r"has no lenet.params: the run has not ended; resume it with"
    ):
        predict.main([str(run)])
    config = json.loads((run / "config.json").read_text())
    files.write(run / "config.json", json.dumps({**config, "section": "elsewhere"}))
    with pytest.raises(Failure, match="has no elsewhere.params: the run has not ended"):
        predict.main([str(run)])


# --- damaged, and stale -----------------------------------------------------------------------


def resume(run, *options):
    run_chapter("lenet", "--resume", str(run), *options)


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("program", [predict.main, export.main])
def test_a_flipped_bit_of_the_parameters_is_refused_and_a_resume_heals_it(program, run):
    params = run / "lenet.params"
    whole = params.read_bytes()
    flip(params, 1000)
    with pytest.raises(Failure, match="lenet.params is damaged.* --resume .* writes it anew"):
        program([str(run)])
    with pytest.raises(Failure, match="lenet.params is damaged"):
        load_parameters(RECIPES["lenet"].net(), params)
    resume(run)
    assert params.read_bytes() == whole
    predict.load_run(run)


@pytest.mark.parametrize(
    ("name", "mark", "after"),
    [("lenet-symbol.json", b"(5, 5)", 1), ("lenet-0000.params", b"arg:", -20)],
)
def test_a_damaged_export_of_a_run_is_refused(name, mark, after, run):
    """A kernel of another size, and another value of the last parameter."""
    import_symbol(run / "lenet")
    flip(run / name, (run / name).read_bytes().index(mark) + after)
    with pytest.raises(Failure, match=f"{name} is damaged, or was changed"):
        import_symbol(run / "lenet")


def test_a_damaged_configuration_or_history_is_refused(run):
    """Sizes and figures that could be those of a run, but are not those of this one."""
    config, history = run / "config.json", run / "history.csv"
    text = config.read_text()
    config.write_text(text.replace('"size": 28', '"size": 29'))
    with pytest.raises(Failure, match="config.json is damaged, or was changed"):
        predict.load_run(run)
    config.write_text(text)
    predict.load_run(run)
    flip(history, -20)
    with pytest.raises(Failure, match="history.csv is damaged, or was changed"):
        History.read(history)


def test_parameters_of_another_run_are_refused(run, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    resume(other, "--epochs", "2")
    shutil.copy(other / "lenet.params", run)
    with pytest.raises(Failure, match="lenet.params is damaged, or was changed"):
        predict.load_run(run)


def test_a_run_of_a_version_without_digests_is_read_and_its_parameters_must_be_finite(run, tiny):
    expected = predict.load_run(run).probabilities(tiny.test.images)
    make_old(run)
    np.testing.assert_array_equal(predict.load_run(run).probabilities(tiny.test.images), expected)
    net = predict.load_run(run).net
    net[0].weight.set_data(net[0].weight.data() * np.nan)  # which ReLU would hide
    save_parameters(net, run / "lenet.params")
    for load in (predict.load_run, predict.load_run_in_int8):
        with pytest.raises(Failure, match=r"0.weight has a value that is not a finite number"):
            load(run)


def make_old(run):
    """Make it a run of a version that kept no list of digests and noted no epochs."""
    config = json.loads((run / "config.json").read_text())
    del config["trained_epochs"], config["keeps_digests"]
    (run / "SHA256SUMS").unlink()
    (run / "config.json").write_text(json.dumps(config))


def resume_and_die(run, *options):
    """Go on with a run, to be stopped after its last epoch."""
    dying = mock.patch.object(RunFolder, "_finish", side_effect=KeyboardInterrupt)
    with dying, pytest.raises(KeyboardInterrupt):
        resume(run, *options)


def foreign(sums):
    sums.write_text(f"{'0' * 64}  lenet.params\n")


def test_an_older_run_with_a_users_list_is_read_and_goes_on(run, tiny):
    expected = predict.load_run(run).probabilities(tiny.test.images)
    make_old(run)
    foreign(run / "SHA256SUMS")
    np.testing.assert_array_equal(predict.load_run(run).probabilities(tiny.test.images), expected)
    resume(run)
    np.testing.assert_array_equal(predict.load_run(run).probabilities(tiny.test.images), expected)


def test_an_older_run_that_goes_on_and_is_stopped_answers_with_its_net(run, tiny, caplog):
    expected = predict.load_run(run).probabilities(tiny.test.images)
    make_old(run)
    resume_and_die(run, "--epochs", "2")
    np.testing.assert_array_equal(predict.load_run(run).probabilities(tiny.test.images), expected)
    assert "is that after epoch 1, and the training has gone on to epoch 3, batch 0:" in caplog.text


def test_an_older_run_that_had_not_ended_is_not_complete_when_it_is_stopped_again(run):
    make_old(run)
    config = run / "config.json"
    config.write_text(config.read_text().replace('"num_epochs": 1', '"num_epochs": 2'))
    resume_and_die(run)
    with pytest.raises(Failure, match="is not complete: the run has not ended"):
        predict.load_run(run)


@pytest.mark.parametrize(
    "damage",
    [
        lambda sums: sums.write_text(""),
        lambda sums: sums.write_text(sums.read_text()[1:]),
        lambda sums: (sums.unlink(), sums.mkdir()),
        foreign,
    ],
    ids=["emptied", "without its title", "a folder", "foreign"],
)
def test_a_list_that_is_no_longer_ours_is_told_and_one_removed_is_made_anew(damage, run):
    damage(run / "SHA256SUMS")
    for program in (predict.load_run, resume):
        with pytest.raises(Failure, match="SHA256SUMS is damaged: remove it"):
            program(run)
    if (run / "SHA256SUMS").is_dir():
        (run / "SHA256SUMS").rmdir()
    else:
        (run / "SHA256SUMS").unlink()
    predict.load_run(run)
    resume(run)
    flip(run / "lenet.params", 1000)
    with pytest.raises(Failure, match="lenet.params is damaged"):
        predict.load_run(run)


def test_a_list_that_is_emptied_while_the_run_trains_is_told(run):
    finish = RunFolder._finish

    def empty_and_finish(*args):
        (run / "SHA256SUMS").write_text("")
        finish(*args)

    with mock.patch.object(RunFolder, "_finish", empty_and_finish):
        resume(run, "--epochs", "2")
    with pytest.raises(Failure, match="SHA256SUMS is damaged: remove it"):
        predict.load_run(run)


def test_a_net_is_known_to_be_stale_by_the_history_alone(run, caplog):
    resume_and_die(run, "--epochs", "2")
    for path in run.glob("checkpoint-*"):
        path.unlink()
    predict.load_run(run)
    assert "is that after epoch 1, and the training has gone on to epoch 3, batch 0:" in caplog.text
    caplog.clear()
    (run / "history.csv").unlink()
    predict.load_run(run)
    assert "gone on" not in caplog.text


def test_a_net_from_before_its_training_went_on_says_so(run, tiny, caplog):
    expected = predict.load_run(run).probabilities(tiny.test.images)
    assert "epoch" not in caplog.text
    resume_and_die(run, "--epochs", "3")
    assert len(History.read(run / "history.csv")) == 3
    for load in (predict.load_run, predict.load_run_in_int8):
        caplog.clear()
        found = load(run).probabilities(tiny.test.images)
        assert (
            "is that after epoch 1, and the training has gone on to epoch 4, batch 0:"
            in caplog.text
        )
        assert np.abs(found - expected).max() < (0.05 if "int8" in load.__name__ else 1e-9)
    caplog.clear()
    resume(run)
    assert np.abs(predict.load_run(run).probabilities(tiny.test.images) - expected).max() > 0.01
    assert "gone on" not in caplog.text


def test_a_run_that_stopped_while_it_wrote_its_net_has_not_ended(run, monkeypatch):
    """Its symbol is that of the second epoch, and its parameters are those of the first."""

    def die(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr(run_folder, "save_parameters", die)
        resume(run, "--epochs", "2")
    with pytest.raises(Failure, match="is not complete: the run has not ended; resume it with"):
        predict.load_run(run)
    resume(run)
    predict.load_run(run)

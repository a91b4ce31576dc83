"""Runs of one's own programs: read as any run's, and stopped without a traceback."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import textwrap

import gluonbook as gb
from gluonbook.export.__main__ import main as export
from gluonbook.history import main as history
from gluonbook.predict import load_run
from gluonbook.predict import main as predict
from gluonbook.runs.history import History
from gluonbook.system import errors
from gluonbook.system.errors import Failure
from gluonbook.system.interrupts import Interrupted
import mxnet as mx
from mxnet import gluon, nd
from mxnet.gluon import nn
import numpy as np
import pytest

from ..conftest import python
from .conftest import fit, images, small_net, stopping

pytestmark = pytest.mark.usefixtures("terminal_signals", "_excepthook")


@pytest.fixture
def _excepthook(monkeypatch):
    monkeypatch.setattr("sys.excepthook", sys.excepthook)


def own_training(folder, num_epochs=1, net=None, **kept):
    """LeNet trained by code of a user's; the net."""
    net = net or gb.lenet()
    net.initialize(mx.init.Xavier())
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.5})
    data = gb.load_data_fashion_mnist(16)
    gb.train_ch5(net, *data, 16, trainer, mx.cpu(), num_epochs, checkpoint=folder, **kept)
    return net


@pytest.mark.parametrize("make", [str, gb.Checkpoint], ids=["a folder", "a Checkpoint"])
def test_a_folder_of_checkpoints_is_read_as_any_run(make, tiny, tmp_path, capsys):
    run = tmp_path / "mine"
    net = own_training(make(run), 2)
    expected = net(nd.array(tiny.test.images, dtype="float32") / 255).softmax().asnumpy()
    np.testing.assert_allclose(
        load_run(run).probabilities(tiny.test.images), expected, rtol=1e-5, atol=1e-7
    )
    assert predict([str(run)]) == 0
    assert "32 test images, accuracy 0." in capsys.readouterr().out
    assert history([str(run), "--out", str(tmp_path / "h.png")]) == 0
    assert " epoch 2, loss " in capsys.readouterr().out
    assert len(list(run.glob("checkpoint-*"))) == 2 and not (run / "curve.png").exists()


def test_the_net_is_that_of_the_last_epoch(tiny, tmp_path):
    own_training(tmp_path)
    net = own_training(tmp_path, 3)
    expected = net(nd.array(tiny.test.images, dtype="float32") / 255).softmax().asnumpy()
    np.testing.assert_allclose(
        load_run(tmp_path).probabilities(tiny.test.images), expected, rtol=1e-5, atol=1e-7
    )


def test_a_users_file_stays_and_the_training_too(tiny, tmp_path):
    (tmp_path / "net.params").write_text("mine")
    own_training(tmp_path)
    assert (tmp_path / "net.params").read_text() == "mine"
    with pytest.raises(Failure, match="holds checkpoints and no net: run the program that trains"):
        load_run(tmp_path)


def test_a_net_that_cannot_be_exported_is_trained_and_told(tiny, tmp_path, capsys):
    class Own(gluon.Block):
        def __init__(self):
            super().__init__()
            self.dense = nn.Dense(10)

        def forward(self, x):
            return self.dense(x) if x.sum().asscalar() > 0 else x

    own_training(tmp_path, net=Own())
    with pytest.raises(Failure, match="it leaves a net that is made of HybridBlocks"):
        predict([str(tmp_path)])
    assert history([str(tmp_path), "--out", str(tmp_path / "h.png")]) == 0


def test_the_history_of_an_interrupted_run_is_drawn(tmp_path, capsys):
    with pytest.raises(Interrupted, match="; run the same program again to go on"):
        fit(tmp_path / "mine", train_iter=stopping(images(), 7))
    assert history([str(tmp_path / "mine"), "--out", str(tmp_path / "h.png")]) == 0
    out = capsys.readouterr().out
    assert " epoch 1, loss " in out and (tmp_path / "h.png").exists()
    with pytest.raises(Failure, match="holds checkpoints and no net: run the program"):
        load_run(tmp_path / "mine")


# --- what is told -------------------------------------------------------------------------------


def test_a_run_ends_with_what_to_do_next(tiny, tmp_path, capsys):
    net = gb.lenet()
    net.initialize(mx.init.Xavier())
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.5})
    data = gb.load_data_fashion_mnist(16)
    gb.train_ch5(net, *data, 16, trainer, mx.cpu(), 1, run=tmp_path / "a run")
    *_, written, told = capsys.readouterr().err.splitlines()
    folder = shlex.quote(str(tmp_path / "a run"))
    assert written == f"written to {tmp_path / 'a run'}"
    assert told.startswith("next: look at curve.png there, then try the net: `")
    assert told.endswith(f" -m gluonbook.predict {folder}`")
    *_, argument = shlex.split(told.partition("`")[2].rstrip("`"))
    assert (tmp_path / "a run" / "curve.png").exists() and predict([argument]) == 0


@pytest.mark.parametrize("asked", [True, False])
def test_without_a_terminal_a_long_epoch_tells_where_it_is(asked, tiny, capsys, monkeypatch):
    """On standard error, if progress is asked for; the printed lines are the book's alone."""
    monkeypatch.setattr("gluonbook.system.progress.SILENCE_SECONDS", 0)
    own_training(None, 1, progress=asked)
    captured = capsys.readouterr()
    told = [f"epoch 1/1, training: batch {i} of 3 is done" for i in (1, 2, 3)]
    told += [f"epoch 1/1, testing: batch {i} of 2 is done" for i in (1, 2)]
    assert [line for line in captured.err.splitlines() if "is done" in line] == told * asked
    assert [line.split(",")[0] for line in captured.out.splitlines()] == [
        "training on cpu(0)",
        "epoch 1",
    ]


def fit_run(folder, train_iter=None):
    net = small_net()
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1})
    train_iter = images() if train_iter is None else train_iter
    gb.train_ch5(net, train_iter, images(), 4, trainer, mx.cpu(), 3, run=folder)


# --- Ctrl-C -----------------------------------------------------------------------------------

PROGRAM = """
import os, signal
import gluonbook as gb
from mxnet import gluon, init, nd
from mxnet.gluon import nn

signal.signal(signal.SIGINT, signal.default_int_handler)

class Stopping(list):
    def __iter__(self):
        for i, batch in enumerate(super().__iter__(), 1):
            if i == 3:
                os.kill(os.getpid(), signal.{name})
            yield batch

batches = [(nd.ones((4, 1, 8, 8)) * i, nd.array([0, 1, 2, 0])) for i in range(5)]
net = nn.HybridSequential()
net.add(nn.Dense(3))
net.initialize(init.Xavier())
trainer = gluon.Trainer(net.collect_params(), "sgd", {{"learning_rate": 0.1}})
gb.train_ch5(net, Stopping(batches), batches, 4, trainer, gb.try_gpu(), 2, {kept}="{folder}")
"""


@pytest.mark.parametrize("kept", ["checkpoint", "run"])
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_program_of_ones_own_ends_with_how_to_go_on(kept, name, code, tmp_path):
    folder = tmp_path / "mine"
    result = python(textwrap.dedent(PROGRAM).format(kept=kept, name=name, folder=folder))
    assert result.returncode == code and "Traceback" not in result.stderr, result.stderr
    assert result.stderr.splitlines()[-1] == (
        f"interrupted in epoch 1 after batch 3, which is saved in {folder}; run the same program "
        "again to go on"
    )
    assert (folder / "checkpoint-1-3.safetensors").exists()


def test_other_errors_and_notebooks_keep_their_hook(tmp_path, monkeypatch):
    before = sys.excepthook
    with pytest.raises(ValueError, match="gave no batch"):
        fit(tmp_path / "a", train_iter=[])
    assert sys.excepthook is before
    monkeypatch.setattr(errors, "in_notebook", lambda: True)
    with pytest.raises(Interrupted):
        fit(tmp_path / "b", train_iter=stopping(images(), 3))
    assert sys.excepthook is before


def test_after_an_interruption_other_errors_still_go_to_the_hook_of_before(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("sys.excepthook", lambda *error: seen.append(error))
    with pytest.raises(Interrupted):
        fit(tmp_path, train_iter=stopping(images(), 3))
    error = ValueError("of the program")
    sys.excepthook(ValueError, error, None)
    assert seen == [(ValueError, error, None)]


@pytest.mark.parametrize("in_an_import", [False, True])
def test_a_second_ctrl_c_while_the_curve_is_drawn_is_one_sentence_too(
    in_an_import, tmp_path, monkeypatch
):
    """It leaves the picture out. The signal falls into the drawing whatever the machine does.

    The first import of matplotlib makes an ImportError of it.
    """
    drawing = []

    def interrupted(*_):
        drawing.append(True)
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as error:
            if in_an_import:
                raise ImportError("initialization failed") from error
            raise

    monkeypatch.setattr(History, "draw", interrupted)
    with pytest.raises(Interrupted) as stop:
        fit_run(tmp_path, stopping(images(), 7))
    assert drawing == [True] and stop.value.signum == signal.SIGTERM
    assert str(stop.value).endswith("; run the same program again to go on")
    assert stop.value.__suppress_context__


def test_ctrl_c_before_the_folder_is_made_shows_no_traceback(tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("sys.excepthook", lambda *_: pytest.fail("as the script's own errors"))
    monkeypatch.setattr("gluonbook.runs.folder.layer_table", interrupted)
    with pytest.raises(KeyboardInterrupt) as stop:
        fit_run(tmp_path / "mine")
    sys.excepthook(stop.type, stop.value, None)
    assert capsys.readouterr().err == "error: interrupted\n"


def test_ctrl_c_before_anything_is_kept_is_one_word(tmp_path, monkeypatch):
    monkeypatch.setattr(
        gb.Checkpoint, "begin", lambda *_, **__: os.kill(os.getpid(), signal.SIGINT)
    )
    with pytest.raises(Interrupted) as stop:
        fit(tmp_path / "mine")
    assert str(stop.value) == "interrupted" and stop.value.signum == signal.SIGINT


# --- nets and data of one's own -----------------------------------------------------------------


def of_own_data(folder, num_classes, size=12, net=None):
    """A net trained on images that are not Fashion-MNIST's."""
    random = np.random.RandomState(3)
    X = random.uniform(size=(24, 1, size, size)).astype(np.float32)
    y = (np.arange(24) % num_classes).astype(np.int32)
    data = gluon.data.DataLoader(gluon.data.ArrayDataset(X, y), 8)
    if net is None:
        net = nn.HybridSequential()
        net.add(nn.Conv2D(2, 3, activation="relu"), nn.Dense(num_classes))
    net.initialize(mx.init.Xavier())
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1})
    gb.train_ch5(net, data, data, 8, trainer, mx.cpu(), 1, run=folder)


@pytest.mark.parametrize("more", [(), ("--int8",), ("--json",)])
def test_a_net_of_other_classes_is_not_measured_on_fashion_mnist(more, tiny, tmp_path, capsys):
    of_own_data(tmp_path / "mine", 3)
    assert "gluonbook.predict" not in capsys.readouterr().err
    for command in (predict, export):
        with pytest.raises(Failure, match="a net of 3 outputs, which are not the 10 classes of"):
            command([str(tmp_path / "mine"), *(more if command is predict else ())])
    assert capsys.readouterr().out == ""
    assert not list((tmp_path / "mine").glob("*.onnx"))


def test_ten_classes_of_data_that_the_run_does_not_know(tiny, tmp_path, caplog, capsys):
    of_own_data(tmp_path / "mine", 10)
    assert predict([str(tmp_path / "mine")]) == 0
    assert "does not say which data it was trained on: classes, and accuracies, are" in caplog.text


def test_a_net_without_a_convolution_is_classified_with(tiny, tmp_path, capsys):
    net = nn.HybridSequential()
    net.add(nn.Dense(8, activation="relu"), nn.Dense(10))
    of_own_data(tmp_path / "mine", 10, size=28, net=net)
    assert predict([str(tmp_path / "mine")]) == 0
    assert "32 test images, accuracy 0." in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "mine/predictions").iterdir()} == {
        *("predictions.png", "mistakes.png", "confusion.png")
    }


def test_a_folder_of_runs_is_told_from_a_run(tiny, tmp_path):
    of_own_data(tmp_path / "one", 10)
    with pytest.raises(Failure, match=f"holds runs: name one of them, such as {tmp_path / 'one'}"):
        predict([str(tmp_path)])

"""What a file or a server says reaches the terminal without its control characters."""

from __future__ import annotations

import json
import sys

import gluonbook as gb
from gluonbook.cli.options import of_trainer
from gluonbook.data.image_batches import ImageBatches
from gluonbook.export import ParametersError, load_parameters
from gluonbook.runs.checkpoint import Checkpoint
from gluonbook.runs.format import CheckpointError
from gluonbook.system.errors import Failure, print_sentences, printable
import mxnet as mx
from mxnet import gluon, nd
import numpy as np
import pytest

from ..conftest import NO_TORCH

#: Moves the cursor up, clears the line and sets the window's title.
ESCAPES = "\x1b[1A\x1b[2K\x1b]0;owned\x07\r\x9b2J"


def assert_plain(error):
    assert str(error).isprintable() and r"\x1b[1A" in str(error)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a path with blanks, ä, 图", "a path with blanks, ä, 图"),
        ("one\ntwo\ttabbed", r"one\ntwo\ttabbed"),
        ("\x1b[31m", r"\x1b[31m"),
        (b"caf\xe9".decode("utf-8", "surrogateescape"), r"caf\udce9"),
        ("\u202e", r"\u202e"),
    ],
)
def test_what_does_not_print_becomes_its_escape(text, shown):
    assert printable(text) == shown == printable(shown)


def test_names_in_a_configuration(tmp_path):
    config = {"section": "lenet", "optimizer": ESCAPES, "dataset": {"edition": ""}}
    options = ("recipe", "lr", "batch_size", "seed", "size", "limit", "edition", "amp")
    config["options"] = dict.fromkeys(options)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(Failure, match="has the optimizer ") as failure:
        of_trainer("lenet", ["--resume", str(tmp_path)])
    assert_plain(failure.value)
    (tmp_path / "config.json").write_text(json.dumps({**config, "section": ESCAPES}))
    with pytest.raises(Failure, match=r"config.json is damaged: it is not the [\w ]*\Z"):
        of_trainer("lenet", ["--resume", str(tmp_path)])


def test_facts_in_a_checkpoint(tmp_path):
    net = gluon.nn.Dense(2, in_units=1)
    net.initialize()
    trainer = gluon.Trainer(net.collect_params(), "sgd")
    batches = ImageBatches(np.zeros((4, 1, 1, 1), np.uint8), np.zeros(4, np.int32), 2)
    for fact, refused in ((ESCAPES, False), ("another", True)):
        arguments = (net, batches, batches, 2, trainer, mx.cpu(), 1)
        checkpoint = Checkpoint(tmp_path, facts={"the text": fact})
        if not refused:
            gb.train_ch5(*arguments, checkpoint=checkpoint)
            continue
        with pytest.raises(CheckpointError, match="holds a run with the text") as failure:
            gb.train_ch5(*arguments, checkpoint=checkpoint)
        assert_plain(failure.value)


def test_names_in_a_file_of_parameters(tmp_path):
    nd.save(str(tmp_path / "net.params"), {ESCAPES: nd.zeros((2,))})
    net = gluon.nn.Dense(2, in_units=1)
    with pytest.raises(ParametersError, match="only the file has") as failure:
        load_parameters(net, tmp_path / "net.params")
    assert_plain(failure.value)


@pytest.mark.pytorch
@pytest.mark.parametrize("ending", [".pt", ".safetensors"])
def test_names_in_a_state_dict(ending, tmp_path):
    torch = pytest.importorskip("torch", reason=NO_TORCH)
    from gluonbook.pytorch import transfer
    import safetensors.torch

    path, state = tmp_path / f"weights{ending}", {ESCAPES: torch.zeros(2)}
    if ending == ".pt":
        torch.save(state, path)
    else:
        safetensors.torch.save_file(state, path)
    with pytest.raises(transfer.TransferError, match="the net has no") as failure:
        transfer.load_weights(torch.nn.Sequential(), path)
    assert_plain(failure.value)


def test_an_error_of_another_library_is_printed_plainly(monkeypatch, capsys):
    monkeypatch.setattr("sys.excepthook", sys.excepthook)
    print_sentences(lambda error: str(error))
    error = OSError(ESCAPES)
    sys.excepthook(type(error), error, None)
    assert_plain(capsys.readouterr().err.rstrip("\n"))

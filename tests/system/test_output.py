"""Lines that nobody can take end no training that is kept in a folder."""

from __future__ import annotations

import io
import re
import subprocess
import sys

import gluonbook as gb
from gluonbook.data.image_batches import ImageBatches
from gluonbook.system.output import in_notebook, say
import mxnet as mx
from mxnet import gluon
import numpy as np
import pytest


def test_a_line_is_printed_at_once(capsys):
    say("a line")
    assert capsys.readouterr().out == "a line\n"


STREAMS = {
    "full": "fd = os.open('/dev/full', os.O_WRONLY)",
    "gone": "r, fd = os.pipe(); os.close(r)",
}


@pytest.mark.parametrize("kind", STREAMS)
def test_a_stream_that_fails_is_led_nowhere_and_the_process_ends_well(kind):
    """Else Python's own flush at exit fails once more, with exit code 120."""
    code = f"""
import os, sys
{STREAMS[kind]}
os.dup2(fd, 1)
from gluonbook.system.output import in_notebook, say
for _ in range(3):
    say("x" * 20_000)
print("more", flush=True)
"""
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0
    [told] = done.stderr.splitlines()
    assert re.fullmatch(r"standard output cannot be written \((No space|Broken pipe).*", told)


class Dead(io.StringIO):
    def write(self, text):
        raise OSError(5, "Input/output error")


def test_a_training_in_a_folder_goes_on_and_one_without_says_so(tmp_path, monkeypatch, caplog):
    net = gluon.nn.Dense(2, in_units=1)
    net.initialize()
    trainer = gluon.Trainer(net.collect_params(), "sgd")
    batches = ImageBatches(np.zeros((4, 1, 1, 1), np.uint8), np.zeros(4, np.int32), 2)
    arguments = (net, batches, batches, 2, trainer, mx.cpu(), 2)
    monkeypatch.setattr(sys, "stdout", Dead())
    with pytest.raises(OSError, match="Input/output error"):
        gb.train_ch5(*arguments)
    history = gb.train_ch5(*arguments, checkpoint=tmp_path)
    assert len(history) == 2 and (tmp_path / "checkpoint-3-0.safetensors").exists()
    assert "standard output cannot be written (Input/output error)" in caplog.text


def test_an_epoch_is_kept_before_its_line_is_printed(tmp_path, monkeypatch):
    kept_at = []

    class Watching(io.StringIO):
        def write(self, text):
            if text.startswith("epoch"):
                kept_at.append(sorted(path.name for path in tmp_path.glob("checkpoint*"))[-1])
            return super().write(text)

    net = gluon.nn.Dense(2, in_units=1)
    net.initialize()
    trainer = gluon.Trainer(net.collect_params(), "sgd")
    batches = ImageBatches(np.zeros((4, 1, 1, 1), np.uint8), np.zeros(4, np.int32), 2)
    monkeypatch.setattr(sys, "stdout", Watching())
    gb.train_ch5(net, batches, batches, 2, trainer, mx.cpu(), 2, checkpoint=tmp_path)
    assert kept_at == ["checkpoint-2-0.safetensors", "checkpoint-3-0.safetensors"]


def test_a_process_that_has_loaded_the_kernel_is_no_notebook():
    """pytest and others import it too. A cell is run by the tests of the chapters."""
    pytest.importorskip("ipykernel.kernelspec")
    assert not in_notebook()

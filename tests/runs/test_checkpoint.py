"""What a run's folder holds, and who may have it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import gluonbook as gb
from gluonbook.distributed.workers import workers
from gluonbook.runs.checkpoint import Checkpoint
from gluonbook.runs.lock import FolderLock
from gluonbook.system import interrupts
from gluonbook.training.run import CheckpointError
import mxnet as mx
from mxnet import gluon, nd
import numpy as np
import pytest
import safetensors.numpy

from .conftest import EPOCHS, Stopping, checkpoints, fit, images, names, small_net, wider_net

pytestmark = pytest.mark.usefixtures("terminal_signals")


def test_the_last_two_are_kept(tmp_path):
    fit(tmp_path, num_epochs=1)
    assert checkpoints(tmp_path) == ["checkpoint-1-0.safetensors", "checkpoint-2-0.safetensors"]
    fit(tmp_path, num_epochs=2, save_every=2)
    assert checkpoints(tmp_path) == ["checkpoint-2-4.safetensors", "checkpoint-3-0.safetensors"]


def test_a_checkpoint_opens_as_safetensors(tmp_path):
    values, _ = fit(tmp_path)
    saved = safetensors.numpy.load_file(tmp_path / f"checkpoint-{EPOCHS + 1}-0.safetensors")
    np.testing.assert_array_equal(saved["net/0.weight"], values[0])
    assert set(saved) == {
        *(f"net/0.{name}" for name in ("weight", "bias")),
        *(f"net/1.{name}" for name in ("gamma", "beta", "running_mean", "running_var")),
        *(f"net/3.{name}" for name in ("weight", "bias")),
    }


def test_notes_are_written_only_when_the_run_goes_on(tmp_path):
    fit(tmp_path, num_epochs=1, notes={"note.txt": "first"})
    assert (tmp_path / "note.txt").read_text() == "first"
    with pytest.raises(CheckpointError, match="another net"):
        fit(tmp_path, net=wider_net(), notes={"note.txt": "of a run that is refused"})
    assert (tmp_path / "note.txt").read_text() == "first"
    fit(tmp_path, notes={"note.txt": "second"})
    assert (tmp_path / "note.txt").read_text() == "second"


def test_a_folder_without_a_name_is_refused(tmp_path, monkeypatch):
    """As an unset variable of the shell gives it."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="folder has no name: give one such as"):
        Checkpoint("")
    assert list(tmp_path.iterdir()) == []


def test_save_every_must_be_positive(tmp_path):
    with pytest.raises(ValueError, match="save_every must be a whole number of at least 1, not 0"):
        Checkpoint(tmp_path, save_every=0)


def test_two_runs_into_one_folder(tmp_path):
    """The second is refused while the first is alive, however that one ends."""
    code = f"""
import fcntl, os, time
lock = open({str(tmp_path / ".lock")!r}, "a+")
fcntl.lockf(lock, fcntl.LOCK_EX)
lock.write(str(os.getpid())); lock.flush()
print("locked", flush=True)
time.sleep(60)
"""
    first = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert first.stdout.readline() == b"locked\n"
    with pytest.raises(CheckpointError, match=rf"in use by another run \(process {first.pid}\)"):
        fit(tmp_path)
    first.kill()
    first.communicate()
    fit(tmp_path)


def test_two_threads_in_one_folder(tmp_path):
    """The second is refused, and does not take the first one's lock away."""
    refused = []

    class Meeting(Stopping):
        def __iter__(self):
            if not refused:
                with pytest.raises(CheckpointError, match=rf"in use .*process {os.getpid()}") as e:
                    fit(tmp_path)
                refused.append(e.value)
                code = f"import fcntl; fcntl.lockf(open({str(tmp_path / '.lock')!r}, 'a'), 6)"
                assert subprocess.run([sys.executable, "-c", code]).returncode != 0
            return super().__iter__()

    thread = threading.Thread(
        target=lambda: fit(tmp_path, train_iter=Meeting(images(), 0), num_epochs=1)
    )
    thread.start()
    thread.join()
    assert len(refused) == 1 and "checkpoint-2-0.safetensors" in names(tmp_path)


def test_the_folder_is_free_again_after_an_error(tmp_path):
    with pytest.raises(ValueError, match="gave no batch"):
        fit(tmp_path, train_iter=[])
    code = f"import fcntl; fcntl.lockf(open({str(tmp_path / '.lock')!r}, 'a'), 6)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_beginning_that_fails_leaves_neither_lock_nor_signal_handlers(tmp_path, monkeypatch):
    """As where a worker does not reach the others after the folder was locked."""

    def unreachable(trainer):
        raise ConnectionError

    net, data = small_net(), [(nd.ones((4, 3)), nd.zeros(4))]
    trainer = gluon.Trainer(net.collect_params(), "sgd")
    monkeypatch.setattr(workers(), "share_parameters", unreachable)
    before = [signal.getsignal(signum) for signum in interrupts.SIGNALS]
    with pytest.raises(ConnectionError):
        gb.train_ch5(net, data, data, 4, trainer, mx.cpu(), 1, checkpoint=tmp_path)
    assert [signal.getsignal(signum) for signum in interrupts.SIGNALS] == before
    lock = FolderLock(tmp_path)
    lock.acquire()  # or CheckpointError
    lock.release()

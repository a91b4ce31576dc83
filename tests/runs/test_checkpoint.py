"""A run that was stopped anywhere ends with the bits of one that never was."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
import random
import signal
import subprocess
import sys
import threading

import gluonbook as gb
from gluonbook.data.image_batches import ImageBatches
from gluonbook.distributed.workers import workers
from gluonbook.runs.checkpoint import Checkpoint
from gluonbook.runs.format import digest, read
from gluonbook.runs.history import History
from gluonbook.runs.lock import FolderLock
from gluonbook.system import files, interrupts
from gluonbook.system.interrupts import Interrupted
from gluonbook.training.learning_rate import NotFinite
from gluonbook.training.run import CheckpointError, Run
from hypothesis import example, given, settings
from hypothesis import strategies as st
import mxnet as mx
from mxnet import gluon, nd
from mxnet.gluon import nn
import numpy as np
import pytest
import safetensors.numpy

pytestmark = pytest.mark.usefixtures("terminal_signals")

EPOCHS, BATCHES = 3, 5


def small_net(ctx=None, hybridize=True):
    """Batch norm and dropout: running statistics and randomness."""
    net = nn.HybridSequential()
    net.add(
        nn.Conv2D(4, kernel_size=3, in_channels=1),
        nn.BatchNorm(in_channels=4),
        nn.Dropout(0.5),
        nn.Dense(3, in_units=4 * 6 * 6),
    )
    mx.random.seed(3)
    net.initialize(mx.init.Xavier(), ctx=ctx or mx.cpu())
    if hybridize:
        net.hybridize(static_alloc=True, static_shape=True)
    return net


def images(seed=7):
    rng = np.random.RandomState(0)
    pixels = rng.randint(0, 256, (18, 1, 8, 8)).astype(np.uint8)
    return ImageBatches(pixels, np.arange(18, dtype=np.int32) % 3, 4, shuffle=True, seed=seed)


def loader():
    """MXNet's own loader, which shuffles by NumPy's generator, with a random transform."""
    X = np.random.RandomState(0).rand(18, 1, 8, 8).astype(np.float32)
    noisy = gluon.data.ArrayDataset(X, np.arange(18) % 3).transform_first(
        lambda x: nd.array(x) + nd.random.normal(shape=x.shape) + np.random.rand()
    )
    return gluon.data.DataLoader(noisy, 4, shuffle=True)


class Stopping:
    """Batches that send this process a signal as one of them is served.

    The loop knows nothing of them but iteration and their number.
    """

    def __init__(self, batches, at):
        self._batches, self._left = batches, at

    def __len__(self):
        return len(self._batches)

    def __iter__(self):
        return self._stopping(self._batches)

    def _stopping(self, batches):
        for batch in batches:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch


class StoppingImages(Stopping):
    """The same with a position, as `PositionedLoader` declares it."""

    @property
    def seed(self):
        return self._batches.seed

    @seed.setter
    def seed(self, value):
        self._batches.seed = value

    @property
    def facts(self):
        return self._batches.facts

    def split_batches(self, ctxs, *, epoch=None, first=0):
        return self._stopping(self._batches.split_batches(ctxs, epoch=epoch, first=first))


def stopping(batches, at):
    return (StoppingImages if isinstance(batches, ImageBatches) else Stopping)(batches, at)


OPTIMIZERS = {
    "sgd": lambda: ("sgd", {"learning_rate": 0.1}),
    "momentum": lambda: ("sgd", {"learning_rate": 0.1, "momentum": 0.9}),
    "adam": lambda: ("adam", {"learning_rate": 0.01}),
    "nadam": lambda: ("nadam", {"learning_rate": 0.01}),
    "schedule": lambda: (
        "sgd",
        {"learning_rate": 0.1, "lr_scheduler": mx.lr_scheduler.FactorScheduler(4, 0.7)},
    ),
}


def fit(
    folder,
    *,
    train_iter=None,
    optimizer="sgd",
    ctx=None,
    num_epochs=EPOCHS,
    net=None,
    save_every=None,
    **options,
):
    """Train the small net; the result is its parameters and its history without the times."""
    net = net or small_net(ctx)
    trainer = gluon.Trainer(net.collect_params(), *OPTIMIZERS[optimizer]())
    history = History()
    checkpoint = folder and Checkpoint(folder, save_every=save_every, seed=11, **options)
    train_iter = images() if train_iter is None else train_iter
    test_iter = ImageBatches(images().images, images().labels, 5)
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    rest = {"history": history, "checkpoint": checkpoint}
    if ctx is None:
        gb.train_ch5(net, train_iter, test_iter, 4, trainer, mx.cpu(), num_epochs, **rest)
    else:
        gb.train(train_iter, test_iter, net, loss, trainer, ctx, num_epochs, **rest)
    values = [
        value.asnumpy()
        for param in net._collect_params_with_prefix().values()
        for value in param.list_data()
    ]
    return values, [row[:4] for row in history]


def assert_same(one, other):
    for a, b in zip(one[0], other[0]):
        np.testing.assert_array_equal(a, b)
    assert one[1] == other[1] and len(one[1]) == EPOCHS


def stop_and_go_on(folder, batches, at, **options):
    """Train until a signal comes with batch `at`, counted over all epochs, and go on."""
    with pytest.raises(Interrupted):
        fit(folder, train_iter=stopping(batches(), at), **options)
    return fit(folder, train_iter=stopping(batches(), 0), **options)


@pytest.mark.parametrize("at", [1, 3, BATCHES, BATCHES + 1, 2 * BATCHES + 2, 3 * BATCHES])
def test_stopped_at_any_batch(at, tmp_path):
    unbroken = fit(tmp_path / "a", train_iter=stopping(images(), 0))
    assert_same(unbroken, stop_and_go_on(tmp_path / "b", images, at))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("ctx", [None, [mx.cpu(0), mx.cpu(1)]], ids=["one device", "two"])
def test_any_optimizer_on_one_device_or_two(optimizer, ctx, tmp_path):
    def run(folder, at):
        # Hybridized on two CPU devices, MXNet's running statistics are another at each run.
        net = small_net(ctx, hybridize=ctx is None)
        return fit(folder, train_iter=stopping(images(), at), optimizer=optimizer, ctx=ctx, net=net)

    unbroken = run(tmp_path / "a", 0)
    with pytest.raises(Interrupted):
        run(tmp_path / "b", 8)
    assert_same(unbroken, run(tmp_path / "b", 0))


def test_a_loader_that_shuffles_and_transforms_by_global_generators(tmp_path):
    unbroken = fit(tmp_path / "a", train_iter=stopping(loader(), 0))
    np.random.seed(99)
    assert_same(unbroken, stop_and_go_on(tmp_path / "b", loader, 8))


def test_the_books_loader_skips_what_is_done_without_reading_it(tmp_path, monkeypatch):
    unbroken = fit(tmp_path / "a", train_iter=images())
    real, read = ImageBatches._pixels, []

    def stop_at_the_eighth(self, indices):
        if self.shuffle:
            read.append(indices)
            if len(read) == 8:
                os.kill(os.getpid(), signal.SIGTERM)
        return real(self, indices)

    monkeypatch.setattr(ImageBatches, "_pixels", stop_at_the_eighth)
    with pytest.raises(Interrupted, match=r"epoch 2 after batch 3, which is saved in .*b"):
        fit(tmp_path / "b", train_iter=images())
    assert_same(unbroken, fit(tmp_path / "b", train_iter=images(seed=99)))
    assert len(read) == EPOCHS * BATCHES


def test_while_evaluating(tmp_path, monkeypatch):
    unbroken = fit(tmp_path / "a")
    real, calls = ImageBatches._pixels, []

    def stop(self, indices):
        calls.append(self.shuffle)
        if calls.count(False) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return real(self, indices)

    monkeypatch.setattr(ImageBatches, "_pixels", stop)
    with pytest.raises(Interrupted, match=f"epoch 1 after batch {BATCHES}"):
        fit(tmp_path / "b")
    monkeypatch.undo()
    assert_same(unbroken, fit(tmp_path / "b"))


def test_an_initialization_that_waits_for_the_first_batch(tmp_path):
    """Such a net knows its shapes, and has weights to save, only once it has run."""

    def deferred():
        net = nn.HybridSequential()
        net.add(nn.Conv2D(4, kernel_size=3), nn.BatchNorm(), nn.Dense(3))
        net.initialize(mx.init.Xavier())
        net.hybridize()
        return net

    unbroken = fit(tmp_path / "a", train_iter=stopping(images(), 0), net=deferred())
    with pytest.raises(Interrupted):
        fit(tmp_path / "b", train_iter=stopping(images(), 7), net=deferred())
    assert_same(unbroken, fit(tmp_path / "b", train_iter=stopping(images(), 0), net=deferred()))


def test_without_a_checkpoint_ctrl_c_is_pythons_own(tmp_path):
    class Interrupting(list):
        def __iter__(self):
            os.kill(os.getpid(), signal.SIGINT)
            yield from ()

    with pytest.raises(KeyboardInterrupt) as stop:
        fit(None, train_iter=Interrupting())
    assert not isinstance(stop.value, Interrupted)


def test_a_folder_is_enough(tmp_path):
    net = small_net()
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1})
    for num_epochs, added in ((1, 1), (1, 0), (3, 2)):
        before = sorted(tmp_path.glob("run/*"))
        arguments = (net, images(), images(), 4, trainer, mx.cpu(), num_epochs)
        history = gb.train_ch5(*arguments, checkpoint=tmp_path / "run")
        assert len(history) == num_epochs
        assert bool(added) == (sorted(tmp_path.glob("run/*")) != before)


# --- keyed by structure -----------------------------------------------------------------------


def pairs_of_layers(built_before=0):
    """Convolutions with batch norm, added as the book adds them; MXNet's names count per process.

    With `built_before`, as in a process that has built so many batch norms already. Trainers sort
    by name, and `batchnorm10` comes before `batchnorm9`.
    """
    with mx.name.NameManager():
        for _ in range(built_before):
            nn.BatchNorm()
        net = nn.HybridSequential()
        for _ in range(3):
            net.add(nn.Conv2D(4, kernel_size=3, padding=1), nn.BatchNorm())
        net.add(nn.Dense(3))
    mx.random.seed(3)
    net.initialize(mx.init.Xavier())
    net(nd.zeros((1, 1, 8, 8)))
    return net


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_optimizers_state_follows_the_structure_not_the_names(optimizer, tmp_path):
    def run(folder, at, built_before=0):
        net = pairs_of_layers(built_before)
        return fit(folder, train_iter=stopping(images(), at), optimizer=optimizer, net=net)

    unbroken = run(tmp_path / "a", 0)
    with pytest.raises(Interrupted):
        run(tmp_path / "b", 8)
    assert_same(unbroken, run(tmp_path / "b", 0, built_before=8))


def with_shared_weights():
    net = nn.HybridSequential()
    first = nn.Dense(4, in_units=4, activation="relu")
    net.add(nn.Dense(4, in_units=64), first, nn.Dense(4, in_units=4, params=first.params))
    net.add(nn.Dense(3, in_units=4))
    mx.random.seed(3)
    net.initialize(mx.init.Xavier())
    return net


def test_a_parameter_that_two_layers_share(tmp_path):
    def run(folder, at):
        train_iter = stopping(images(), at)
        net = with_shared_weights()
        return fit(folder, train_iter=train_iter, optimizer="adam", net=net)

    unbroken = run(tmp_path / "a", 0)
    with pytest.raises(Interrupted):
        run(tmp_path / "b", 8)
    assert_same(unbroken, run(tmp_path / "b", 0))
    saved = safetensors.numpy.load_file(tmp_path / "b" / f"checkpoint-{EPOCHS + 1}-0.safetensors")
    assert {"net/1.weight", "trainer/0/1.weight/0"} <= set(saved)
    assert not any("2.weight" in name for name in saved)


def test_a_trainer_of_parameters_that_would_not_be_saved_is_refused(tmp_path):
    net, other = small_net(), nn.Dense(1, in_units=1)
    other.initialize()
    params = {**net.collect_params(), **other.collect_params()}
    trainer = gluon.Trainer(params, "sgd", {"learning_rate": 0.1})
    with pytest.raises(CheckpointError, match="has the parameter .*, which is not in the net"):
        gb.train_ch5(net, images(), images(), 4, trainer, mx.cpu(), 1, checkpoint=tmp_path)


def rewritten(path, change):
    """Write the checkpoint's state anew as `change` leaves it, with a right checksum."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    state = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["state"])
    change(state)
    text, arrays = json.dumps(state), safetensors.numpy.load(content)
    metadata = {"state": text, "sha256": digest(text, arrays)}
    path.write_bytes(safetensors.numpy.save(arrays, metadata))


def test_a_checkpoint_of_the_form_of_before_is_refused_and_kept(tmp_path):
    """It has the optimizer's state by position, which does not say whose it is."""
    fit(tmp_path, num_epochs=1)
    newest = tmp_path / "checkpoint-2-0.safetensors"
    rewritten(newest, lambda state: state.update(version=1))
    content = newest.read_bytes()
    told = (
        "checkpoint-2-0.safetensors is a checkpoint of version 1, and .* reads version 2: resume it"
    )
    with pytest.raises(CheckpointError, match=told):
        fit(tmp_path)
    assert newest.read_bytes() == content


# --- seeds and iterators of all kinds -----------------------------------------------------------


@pytest.mark.parametrize("seed", [2**70, 2**63, -5, 1.5, "1"])
def test_a_seed_that_could_not_be_read_again_is_refused_at_the_start(seed, tmp_path):
    with pytest.raises(ValueError, match="seed must be a whole number"):
        Checkpoint(tmp_path, seed=seed)


@pytest.mark.parametrize("seed", [np.int64(7), np.uint8(7), 2**63 - 1])
def test_any_whole_number_is_a_seed(seed, tmp_path):
    checkpoint = Checkpoint(tmp_path, seed=seed, save_every=np.int64(2))
    net = small_net()
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1})
    gb.train_ch5(net, images(), images(), 4, trainer, mx.cpu(), 1, checkpoint=checkpoint)
    state, _ = read(tmp_path / "checkpoint-2-0.safetensors", 10**6)
    assert state["seed"] == seed


class OddSchedule(mx.lr_scheduler.LRScheduler):
    """A schedule of a user's own, whose count is no whole number."""

    def __init__(self):
        super().__init__()
        self.count = 0.5

    def __call__(self, num_update):
        return 0.1


def test_a_state_that_could_not_be_read_again_is_refused_at_the_start(tmp_path, monkeypatch):
    odd = {"learning_rate": 0.1, "lr_scheduler": OddSchedule()}
    monkeypatch.setitem(OPTIMIZERS, "odd", lambda: ("sgd", odd))
    with pytest.raises(CheckpointError, match="cannot keep the state of SGD or of its schedule"):
        fit(tmp_path, optimizer="odd")


class Counting(Stopping):
    """Batches with attributes of their own, whose names the loop knows from its own loader."""

    seed, epoch = "mine", "mine too"


def test_what_an_iterator_has_of_its_own_is_left_alone(tmp_path):
    batches = Counting(images(), 0)
    fit(tmp_path, train_iter=batches)
    assert (batches.seed, batches.epoch) == ("mine", "mine too")


def drawn(x):
    """Noise from each of the three generators that a transform may use."""
    return nd.array(x) + nd.random.normal(shape=x.shape) + np.random.rand() + random.random()


def with_workers():
    """MXNet's own loader, whose two worker processes draw random numbers."""
    X = np.random.RandomState(0).rand(18, 1, 8, 8).astype(np.float32)
    data = gluon.data.ArrayDataset(X, np.arange(18) % 3).transform_first(drawn)
    return gluon.data.DataLoader(data, 4, shuffle=True, num_workers=2)


def test_the_random_numbers_of_worker_processes_follow_the_position(tmp_path, monkeypatch):
    unbroken = fit(tmp_path / "a", train_iter=with_workers())
    add = Run.add

    def add_and_stop(self, parts, outcomes):
        add(self, parts, outcomes)
        if (self.progress.epoch, self.progress.batch) == (2, 3):
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Run, "add", add_and_stop)
    with pytest.raises(Interrupted, match="epoch 2 after batch 4"):
        fit(tmp_path / "b", train_iter=with_workers())
    monkeypatch.undo()
    assert_same(unbroken, fit(tmp_path / "b", train_iter=with_workers()))


# --- what is kept ---------------------------------------------------------------------------


def names(folder):
    return sorted(path.name for path in Path(folder).glob("[!.]*"))


def test_the_last_two_are_kept(tmp_path):
    fit(tmp_path, num_epochs=1)
    assert names(tmp_path) == ["checkpoint-1-0.safetensors", "checkpoint-2-0.safetensors"]
    fit(tmp_path, num_epochs=2, save_every=2)
    assert names(tmp_path) == ["checkpoint-2-4.safetensors", "checkpoint-3-0.safetensors"]


@pytest.mark.parametrize("harm", ["cut", "flipped", "empty", "other"])
def test_a_damaged_newest_gives_way_to_the_one_before(harm, tmp_path, caplog):
    unbroken = fit(tmp_path / "a")
    fit(tmp_path / "b", num_epochs=2, save_every=3)
    newest = tmp_path / "b" / "checkpoint-3-0.safetensors"
    content = bytearray(newest.read_bytes())
    if harm == "flipped":
        content[-10] ^= 1
    newest.write_bytes(
        {"cut": content[:-1], "flipped": content, "empty": b"", "other": b"{}" * 999}[harm]
    )
    assert_same(unbroken, fit(tmp_path / "b"))
    assert "checkpoint-3-0.safetensors is damaged" in caplog.text
    assert "going on from the one before, checkpoint-2-3.safetensors" in caplog.text
    assert (tmp_path / "b" / "checkpoint-3-0.safetensors.damaged").exists()


def test_with_all_damaged_nothing_is_begun_anew(tmp_path):
    fit(tmp_path, num_epochs=1)
    for path in tmp_path.glob("checkpoint*"):
        path.write_bytes(path.read_bytes()[:-1])
    before = names(tmp_path)
    with pytest.raises(CheckpointError, match=r"no checkpoint in .* is whole: .*checkpoint-2-0"):
        fit(tmp_path)
    assert names(tmp_path) == before


def test_a_checkpoint_opens_as_safetensors(tmp_path):
    values, _ = fit(tmp_path)
    saved = safetensors.numpy.load_file(tmp_path / f"checkpoint-{EPOCHS + 1}-0.safetensors")
    np.testing.assert_array_equal(saved["net/0.weight"], values[0])
    assert set(saved) == {
        *(f"net/0.{name}" for name in ("weight", "bias")),
        *(f"net/1.{name}" for name in ("gamma", "beta", "running_mean", "running_var")),
        *(f"net/3.{name}" for name in ("weight", "bias")),
    }


# --- another run is refused -----------------------------------------------------------------


def other_net():
    net = small_net()
    net.add(nn.Dense(3, in_units=3))
    net[4].initialize()
    return net


def wider_net():
    net = nn.HybridSequential()
    net.add(nn.Conv2D(5, kernel_size=3, in_channels=1), nn.BatchNorm(in_channels=5))
    net.add(nn.Dropout(0.5), nn.Dense(3, in_units=5 * 6 * 6))
    net.initialize()
    return net


def half_the_images():
    whole = images()
    return ImageBatches(whole.images[:9], whole.labels[:9], 4, shuffle=True, release=None)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"optimizer": "momentum"}, "the optimizer's momentum 0.0, and this one has 0.9"),
        ({"optimizer": "adam"}, "the optimizer SGD, and this one has Adam"),
        ({"optimizer": "schedule"}, "the schedule NoneType, and this one has FactorScheduler"),
        ({"facts": {"the text": "gluon"}}, "the text none, and this one has gluon"),
        ({"train_iter": half_the_images}, "the number of images 18, and this one has 9"),
        ({"ctx": [mx.cpu(0), mx.cpu(1)]}, "devices 1, and this one has 2"),
        ({"net": other_net}, r"a run of another net: only this one has 4\.(bias|weight)"),
        ({"net": wider_net}, r"another net: 0.weight is \(4, 1, 3, 3\) there, \(5, 1, 3, 3\) here"),
    ],
)
def test_another_run_is_refused_by_both_values(options, told, tmp_path):
    fit(tmp_path, num_epochs=1)
    content = {path: path.read_bytes() for path in tmp_path.glob("checkpoint*")}
    made = {k: v() if k in ("net", "train_iter") else v for k, v in options.items()}
    with pytest.raises(CheckpointError, match=told):
        fit(tmp_path, **made)
    assert content == {path: path.read_bytes() for path in tmp_path.glob("checkpoint*")}


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


def test_the_folder_is_free_again_after_an_error(tmp_path):
    with pytest.raises(ValueError, match="gave no batch"):
        fit(tmp_path, train_iter=[])
    code = f"import fcntl; fcntl.lockf(open({str(tmp_path / '.lock')!r}, 'a'), 6)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_folder_without_a_name_is_refused(tmp_path, monkeypatch):
    """As an unset variable of the shell gives it."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="folder has no name: give one such as"):
        Checkpoint("")
    assert list(tmp_path.iterdir()) == []


def test_save_every_must_be_positive(tmp_path):
    with pytest.raises(ValueError, match="save_every must be a whole number of at least 1, not 0"):
        Checkpoint(tmp_path, save_every=0)


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


def test_notes_are_written_only_when_the_run_goes_on(tmp_path):
    fit(tmp_path, num_epochs=1, notes={"note.txt": "first"})
    assert (tmp_path / "note.txt").read_text() == "first"
    with pytest.raises(CheckpointError, match="another net"):
        fit(tmp_path, net=wider_net(), notes={"note.txt": "of a run that is refused"})
    assert (tmp_path / "note.txt").read_text() == "first"
    fit(tmp_path, notes={"note.txt": "second"})
    assert (tmp_path / "note.txt").read_text() == "second"


def test_a_refused_run_changes_nothing_not_even_damaged_files(tmp_path):
    fit(tmp_path, num_epochs=1)
    newest = tmp_path / "checkpoint-2-0.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    (tmp_path / ".partial-1-x").write_text("left by a kill")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(CheckpointError, match="another net"):
        fit(tmp_path, net=wider_net())
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


# --- faults ---------------------------------------------------------------------------------


class Failing:
    """Makes the n-th call of a function of `os` or of `open` fail."""

    def __init__(self, real, number, code):
        self.real, self.left, self.code = real, number, code

    def __call__(self, *args, **kwargs):
        self.left -= 1
        if self.left == 0:
            raise OSError(self.code, os.strerror(self.code))
        return self.real(*args, **kwargs)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("number", [1, 2, 5, 8])
@pytest.mark.parametrize("name", ["fsync", "replace", "open"])
def test_a_fault_at_any_write_is_one_sentence_and_the_run_goes_on_later(
    name, number, code, tmp_path, monkeypatch
):
    unbroken = fit(tmp_path / "a", save_every=2)
    monkeypatch.setattr(files.os, name, Failing(getattr(os, name), number, code))
    told = r"(checkpoint-.* cannot be written: |b cannot be written \()"  # or its lock
    with pytest.raises(files.FileFailure, match=told) as failure:
        fit(tmp_path / "b", save_every=2)
    assert "\n" not in str(failure.value)
    monkeypatch.undo()
    for path in (tmp_path / "b").glob("checkpoint-*"):
        read(path, 10**6)  # what stands is whole
    assert_same(unbroken, fit(tmp_path / "b", save_every=2))


def test_a_short_write(tmp_path, monkeypatch):
    """A disk that takes half of the bytes and says so only afterwards."""
    real = files.write

    def half(path, content, **_):
        with files.replacing(path) as scratch:
            scratch.write_bytes(content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")

    fit(tmp_path, num_epochs=1)
    monkeypatch.setattr(files, "write", half)
    with pytest.raises(files.FileFailure, match="no room"):
        fit(tmp_path)
    monkeypatch.setattr(files, "write", real)
    assert names(tmp_path) == ["checkpoint-1-0.safetensors", "checkpoint-2-0.safetensors"]


def test_a_folder_that_vanishes(tmp_path):
    class Vanishing(Stopping):
        def __iter__(self):
            for batch in super().__iter__():
                for path in tmp_path.glob("run/*"):
                    path.unlink()
                (tmp_path / "run/.lock").unlink(missing_ok=True)
                if (tmp_path / "run").exists():
                    (tmp_path / "run").rmdir()
                yield batch

    with pytest.raises(files.FileFailure, match=r"the folder .*run is gone"):
        fit(tmp_path / "run", train_iter=Vanishing(images(), 0))


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(files.FileFailure, match="cannot hold a run .*: name another folder"):
        fit(tmp_path / "file" / "run")


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    def fail(path, *args, **kwargs):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(files.FileFailure, match="cannot be written .Read-only file system."):
        fit(tmp_path)


class Poisoned(Stopping):
    """Batches of which one is so great that its loss is not finite."""

    def __iter__(self):
        for X, y in super().__iter__():
            yield (X * 3e38 if self._left == -7 else X), y


@pytest.mark.parametrize("save_every", [None, 1])
def test_a_loss_that_is_not_finite_stops_the_run_there(save_every, tmp_path):
    told = (
        r"the loss is nan at epoch 2, batch 2: most likely the learning rate of 0.1 is too high; "
        r"start again with a lower one, such as 0.05 \(the last good state is kept in .*\)"
    )
    with pytest.raises(NotFinite, match=told):
        fit(tmp_path, train_iter=Poisoned(images(), 0), save_every=save_every)
    newest = max(tmp_path.glob("checkpoint*"))
    assert newest.name == f"checkpoint-2-{1 if save_every else 0}.safetensors"
    _, arrays = read(newest, 10**6)
    assert all(np.isfinite(value).all() for value in arrays.values())


def test_a_loss_that_is_not_finite_stops_a_run_without_a_checkpoint_too():
    with pytest.raises(NotFinite, match=r"at epoch 2, batch 2: .* such as 0.05$"):
        fit(None, train_iter=Poisoned(images(), 0))


def test_parameters_that_are_not_finite_are_not_saved(tmp_path):
    class Spoiling(Stopping):
        def __iter__(self):
            yield from super().__iter__()
            net[3].bias.set_data(nd.full((3,), np.inf))

    net = small_net()
    with pytest.raises(NotFinite, match=r"the parameter 3.bias is no longer finite at epoch 2, "):
        fit(tmp_path, train_iter=Spoiling(images(), 0), net=net)
    assert names(tmp_path) == ["checkpoint-1-0.safetensors"]


def test_weights_that_begin_infinite_are_not_blamed_on_the_learning_rate(tmp_path):
    net = small_net()
    net.initialize(mx.init.Constant(-np.inf), force_reinit=True)
    told = r"the parameter \S+ is not finite before the first batch: initialize the net with"
    with pytest.raises(CheckpointError, match=told) as failure:
        fit(tmp_path, net=net)
    assert "learning rate" not in str(failure.value)


def test_a_folder_that_has_the_name_of_a_checkpoint(tmp_path):
    """One of an older position is left alone; one in the way is named."""
    (tmp_path / "checkpoint-0-9.safetensors").mkdir()
    fit(tmp_path, num_epochs=1)
    assert (tmp_path / "checkpoint-0-9.safetensors").is_dir()
    (tmp_path / "checkpoint-3-0.safetensors").mkdir()
    (tmp_path / "checkpoint-3-0.safetensors" / "mine").write_text("mine")
    told = (
        "checkpoint-3-0.safetensors cannot be written: a folder of that name is in the way; move it"
    )
    with pytest.raises(files.FileFailure, match=told):
        fit(tmp_path, num_epochs=2)
    assert (tmp_path / "checkpoint-3-0.safetensors" / "mine").read_text() == "mine"


# --- hostile files --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    fit(folder, optimizer="adam", num_epochs=1)
    return (folder / "checkpoint-2-0.safetensors").read_bytes()


def begin(folder, content):
    """What comes of going on from a file with this content."""
    folder.mkdir(exist_ok=True)
    for old in folder.glob("checkpoint*"):
        old.unlink()
    (folder / "checkpoint-2-0.safetensors").write_bytes(content)
    net = small_net()
    trainer = gluon.Trainer(net.collect_params(), *OPTIMIZERS["adam"]())
    before = [param.data().asnumpy() for param in net.collect_params().values()]
    checkpoint = Checkpoint(folder, seed=11)
    try:
        facts = {"devices": 1, **images().facts}
        progress = checkpoint.begin(net, trainer, images(), History(), facts)
    except CheckpointError as error:
        assert "\n" not in str(error)
        after = [param.data().asnumpy() for param in net.collect_params().values()]
        assert all((a == b).all() for a, b in zip(before, after))
        return None
    finally:
        checkpoint.end()
    return progress


def test_the_whole_file_is_accepted(saved, tmp_path):
    assert begin(tmp_path, saved).epoch == 2


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_flipped_cut_or_added_byte_is_refused(saved, tmp_path_factory, data):
    place = data.draw(st.integers(0, len(saved) - 1))
    bit = data.draw(st.integers(0, 7))
    flipped = bytearray(saved)
    flipped[place] ^= 1 << bit
    folder = tmp_path_factory.getbasetemp() / "flipped"
    for content in (bytes(flipped), saved[:place], saved + saved[place : place + 5]):
        progress = begin(folder, content)
        # A change within the blanks that pad the header changes nothing.
        assert progress is None or (content.split() == saved.split() and progress.epoch == 2)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused(tmp_path_factory, content):
    assert begin(tmp_path_factory.getbasetemp() / "bytes", content) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(
        ["version", "seed", "shuffle_seed", "facts", "progress", "history", "trainer"]
    ),
    inner=st.sampled_from([None, "epoch", "batch", "loss", "counts", "states", "optimizer"]),
    value=json_values,
)
@example(name="facts", inner=None, value={"\n": None})
@example(name="facts", inner="epoch", value="one\ntwo")
def test_a_state_that_lies_is_refused_or_harmless(saved, tmp_path_factory, name, inner, value):
    """Whoever makes a checkpoint can give it a right checksum; nothing but an error comes of it."""

    def lie(state):
        if inner is not None and isinstance(state[name], dict):
            state[name][inner] = value
        else:
            state[name] = value

    path = tmp_path_factory.getbasetemp() / "lie.safetensors"
    path.write_bytes(saved)
    rewritten(path, lie)
    begin(tmp_path_factory.getbasetemp() / "lies", path.read_bytes())


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state["progress"].update(epoch=10**9),
        lambda state: state["progress"].update(batch=2**62),
        lambda state: state["trainer"].update(loss_scale={"now": 1.0, "next": 0.0, "steps": 0}),
        lambda state: state["trainer"].update(loss_scale={"now": 1.0, "next": 1.0, "steps": 2**62}),
        lambda state: state["progress"].update(examples=2**64),
        lambda state: state["progress"].update(seconds=-1.0),
        lambda state: state["history"][0].__setitem__(2, 7.0),
        lambda state: state["history"][0].__setitem__(3, -0.5),
        lambda state: state["history"][0].__setitem__(4, -1.0),
        lambda state: state["progress"].update(correct=1),
        lambda state: state["progress"].pop("batch"),
        lambda state: state["trainer"]["optimizer"].update(aggregate_num=0.5),
        lambda state: state["progress"].update(loss=[0.0]),
        lambda state: state.update(seed=2**70),
        lambda state: state.update(shuffle_seed=2**40),
        lambda state: state["trainer"]["optimizer"].update(num_update=2**62),
        lambda state: state["trainer"]["counts"]["0"].update({"0.weight": 2**62}),
        lambda state: state["trainer"]["counts"].update({"0": {"no such": 1}}),
        lambda state: state["trainer"].update(parameters=["0.weight"]),
        lambda state: state["trainer"].update(parameters=state["trainer"]["parameters"] * 2),
    ],
)
def test_every_number_is_bounded_before_it_is_used(change, tmp_path):
    """Memory or time without end was what some of these cost."""
    fit(tmp_path, num_epochs=1)
    (tmp_path / "checkpoint-1-0.safetensors").unlink()
    rewritten(tmp_path / "checkpoint-2-0.safetensors", change)
    with pytest.raises(CheckpointError, match="does not describe a run|of another trainer"):
        fit(tmp_path)


@pytest.mark.parametrize("kind", ["with a length", "without"])
def test_a_position_behind_the_end_of_the_epoch_is_refused(kind, tmp_path):
    class Unsized:
        def __iter__(self):
            return iter(images())

    train_iter = Stopping(images(), 0) if kind == "with a length" else Unsized()
    fit(tmp_path, train_iter=train_iter, num_epochs=1)
    rewritten(
        tmp_path / "checkpoint-2-0.safetensors", lambda state: state["progress"].update(batch=10**8)
    )
    with pytest.raises(CheckpointError, match=r"at batch 100,000,000 of an epoch, and .* 5: give"):
        fit(tmp_path, train_iter=train_iter)


def test_a_schedule_that_would_never_end_is_refused(tmp_path):
    fit(tmp_path, optimizer="schedule", num_epochs=1)
    (tmp_path / "checkpoint-1-0.safetensors").unlink()
    path = tmp_path / "checkpoint-2-0.safetensors"
    rewritten(path, lambda state: state["trainer"]["scheduler"].update(step=0))
    with pytest.raises(CheckpointError, match="of another trainer"):
        fit(tmp_path, optimizer="schedule")


def test_a_file_far_too_large_is_not_read(saved, tmp_path):
    with open(tmp_path / "checkpoint-2-0.safetensors", "wb") as file:
        file.write(saved)
        file.truncate(2**33)
    with pytest.raises(CheckpointError, match="is too large"):
        fit(tmp_path)


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
    lock.acquire()  # or InUse
    lock.release()

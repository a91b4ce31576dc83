"""A run's folder: what is kept in it, how a run goes on, and what is refused."""

from __future__ import annotations

import itertools
import json
import signal
import sys
from types import SimpleNamespace

import gluonbook as gb
from gluonbook.data import fashion_mnist as fm
from gluonbook.export import import_symbol
from gluonbook.export.__main__ import main as export
from gluonbook.export.onnx import NotConvertible
from gluonbook.predict import load_run
from gluonbook.predict import main as predict
from gluonbook.runs import folder as run_folder
from gluonbook.runs.folder import new_folder
from gluonbook.runs.format import CheckpointError
from gluonbook.runs.history import History
from gluonbook.runs.lock import FolderLock
from gluonbook.system import files, machine, messages
from gluonbook.system.errors import Failure
from gluonbook.system.files import FileFailure
from gluonbook.system.interrupts import Interrupted
from gluonbook.system.ownership import NotOurs
from gluonbook.training.learning_rate import NotFinite
import mxnet as mx
from mxnet import gluon, nd
from mxnet.gluon import nn
import numpy as np
import pytest

from ..conftest import needs_onnx, needs_tensorboard, run_chapter

pytestmark = pytest.mark.usefixtures("terminal_signals")

SMALL = ("--batch-size", "16", "--seed", "4")


def run(tmp_path, *argv, section="lenet"):
    """A run of the chapter in this process; its folder, and its figures without the times."""
    if "--device" not in argv:
        argv = (*argv, "--device", "cpu")
    if "--resume" not in argv:
        argv = (*argv, "--out", str(tmp_path))
    folder = run_chapter(section, *argv)["args"].run.folder
    return folder, [row[:4] for row in History.read(folder / "history.csv")]


def test_several_devices_train_as_one(tiny, tmp_path, capsys):
    """LeNet has nothing that depends on the batch, so two halves give what the whole gives."""
    small = ("--batch-size", "16", "--seed", "4", "--epochs", "2")
    _, one = run(tmp_path / "one", *small)
    out = capsys.readouterr().out
    assert "training on cpu(0)\n" in out
    folder, two = run(tmp_path / "two", *small, "--device", "cpu:0,1")
    assert "training on [cpu(0), cpu(1)]\n" in capsys.readouterr().out
    assert two == [pytest.approx(row, rel=1e-4) for row in one]
    assert json.loads((folder / "config.json").read_text())["device"] == "cpu(0), cpu(1)"
    with pytest.raises(CheckpointError, match="devices"):
        run(tmp_path, "--resume", str(folder), "--epochs", "3", "--device", "cpu")


def test_two_runs_in_one_second_have_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder.time, "strftime", lambda form: "20200101-000000")
    folders = [new_folder(tmp_path / "runs", "resnet").name for _ in range(3)]
    assert folders == ["resnet-20200101-000000" + end for end in ("", "-2", "-3")]


def test_out_that_is_a_file(tmp_path):
    (tmp_path / "runs").write_text("mine")
    with pytest.raises(
        Failure,
        match=r"--out .*runs: no folder can be made there \(File exists\); name another",
    ):
        new_folder(tmp_path / "runs", "resnet")


@pytest.mark.parametrize(("section", "size"), [("nin", 64), ("lenet", 8), ("alexnet", 8)])
def test_images_that_are_too_small(section, size, tiny, tmp_path):
    """NiN's third pooling, LeNet's second convolution and AlexNet's first are too wide."""
    with pytest.raises((mx.base.MXNetError, ValueError)) as error:
        run(tmp_path, "--size", str(size), section=section)
    assert "the images are too small for this net: " in messages.describe(error.value)
    assert list(tmp_path.iterdir()) == []


# --- going on with a run ----------------------------------------------------------------------


def test_resumed_for_more_epochs(tiny, tmp_path):
    unbroken, expected = run(tmp_path / "a", *SMALL, "--epochs", "4", "--save-every", "2")
    folder, _ = run(tmp_path / "b", *SMALL, "--epochs", "2", "--save-every", "2")
    again, figures = run(tmp_path, "--resume", str(folder), "--epochs", "4")
    assert again == folder and figures == expected
    rows = [
        [row.rsplit(",", 1)[0] for row in (path / "history.csv").read_text().splitlines()]
        for path in (folder, unbroken)
    ]
    assert rows[0] == rows[1] and len(rows[0]) == 5
    assert (folder / "lenet.params").read_bytes() == (unbroken / "lenet.params").read_bytes()
    # The run's configuration knows the new number of epochs.
    assert run(tmp_path, "--resume", str(folder))[1] == expected


def test_accuracy_is_over_the_images_that_are_tested(tiny, tmp_path):
    """Of 7 images, it is a number of sevenths."""
    few, figures = run(tmp_path, *SMALL, "--epochs", "2", "--limit-test", "7")
    for *_, test_acc in figures:
        assert 7 * test_acc == pytest.approx(round(7 * test_acc))
    all_, _ = run(tmp_path, *SMALL, "--epochs", "1")
    with pytest.raises(Failure, match="has --limit-test None, not 7"):
        run(tmp_path, "--resume", str(all_), "--limit-test", "7")


@needs_onnx
@needs_tensorboard
def test_a_run_that_goes_on_keeps_its_export_and_its_figures_for_tensorboard(
    tiny, tmp_path, monkeypatch
):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder, _ = run(tmp_path, *SMALL, "--epochs", "1", "--export", "onnx", "--tensorboard")
    first = (folder / "lenet.onnx").read_bytes()
    _, figures = run(tmp_path, "--resume", str(folder), "--epochs", "2")
    assert (folder / "lenet.onnx").read_bytes() != first
    shown = EventAccumulator(str(folder)).Reload().Scalars("accuracy/test")
    assert [(each.step, each.value) for each in shown] == [
        (epoch, pytest.approx(test_acc)) for epoch, _, _, test_acc in figures
    ]


@needs_onnx
def test_a_net_exported_between_two_trainings_is_exported_again(tiny, tmp_path):
    folder, _ = run(tmp_path, *SMALL, "--epochs", "1")
    export([str(folder)])
    run(tmp_path, "--resume", str(folder), "--epochs", "2")
    export([str(folder), "--out", str(tmp_path / "now.onnx")])
    assert (folder / "lenet.onnx").read_bytes() == (tmp_path / "now.onnx").read_bytes()


@needs_onnx
def test_a_net_with_an_operator_that_onnx_lacks_is_refused_before_it_trains(tmp_path):
    net = nn.HybridSequential()
    net.add(nn.Dense(3), nn.HybridLambda(lambda F, x: F.gammaln(x * x + 1)))
    told = "cannot write this net as ONNX, as it does not know gammaln"
    for folder, parent in ((tmp_path / "mine", tmp_path), (None, tmp_path)):
        with pytest.raises(NotConvertible, match=told):
            trained(run_folder.RunFolder(folder, parent=parent, export_onnx=True), net=net)
    assert list(tmp_path.iterdir()) == []


@needs_onnx
def test_a_net_that_turns_out_not_to_be_convertible_is_kept_whole(tiny, tmp_path):
    """MXNet's converter knows the operator, but writes it with another constant."""
    net = nn.HybridSequential()
    net.add(nn.HybridLambda(lambda F, x: F.LRN(x, nsize=3)), nn.Dense(10))
    batches, _ = gb.load_data_fashion_mnist(16, resize=28, seed=1)
    with pytest.raises(NotConvertible, match=rf"all else is written to {tmp_path}"):
        trained(run_folder.RunFolder(tmp_path, export_onnx=True), net=net, batches=batches)
    assert {"curve.png", "predictions.png"} <= {path.name for path in tmp_path.iterdir()}
    assert load_run(tmp_path).probabilities(tiny.test.images).shape == (32, 10)


@pytest.mark.parametrize(
    ("options", "package", "told"),
    [
        (["--export", "onnx"], "onnxruntime", r"onnx.* cannot be imported .*'gluonbook\[onnx\]'"),
        (["--tensorboard"], "tensorboard", r"TensorBoard cannot .*'gluonbook\[tensorboard\]'"),
    ],
)
def test_a_missing_extra_is_told_before_training(
    options, package, told, tiny, tmp_path, monkeypatch
):
    for name in (package, *(name for name in sys.modules if name.startswith(f"{package}."))):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(Failure, match=told):
        run(tmp_path, *SMALL, *options)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_has_its_epochs_says_so(tiny, tmp_path, capsys):
    folder, _ = run(tmp_path, *SMALL, "--epochs", "2")
    capsys.readouterr()
    run(tmp_path, "--resume", str(folder))
    out = capsys.readouterr().out
    assert "2 epochs of this run are done: ask for more by --epochs, or num_epochs" in out
    assert "loss" not in out
    run(tmp_path, "--resume", str(folder), "--epochs", "3")
    out = capsys.readouterr().out
    assert "epoch 3, loss" in out and "done" not in out


def test_another_release_of_the_data_set_is_refused(tiny, tmp_path, monkeypatch):
    folder, _ = run(tmp_path, *SMALL, "--epochs", "1")
    before = (folder / "config.json").read_bytes()
    monkeypatch.setattr(fm, "fashion_mnist", lambda root=None: tiny._replace(release="another"))
    with pytest.raises(
        Failure, match=f"the data set's edition {tiny.release}, and this one has another"
    ):
        run(tmp_path, "--resume", str(folder), "--epochs", "2")
    assert (folder / "config.json").read_bytes() == before


def test_a_run_that_has_no_checkpoint_begins(tiny, tmp_path):
    """Killed before its first save, it has its configuration only."""
    folder, figures = run(tmp_path, *SMALL, "--epochs", "1")
    for path in folder.glob("checkpoint*"):
        path.unlink()
    assert run(tmp_path, "--resume", str(folder)) == (folder, figures)


# --- a run of code of one's own ---------------------------------------------------------------


def trained(folder, num_epochs=1, net=None, batches=None, **kept):
    """A net trained on few random images of 3 channels, and kept."""
    random = np.random.RandomState(0)
    if batches is None:
        X, y = random.rand(24, 3, 8, 8).astype(np.float32), random.randint(3, size=24)
        dataset = gluon.data.ArrayDataset(X, y.astype(np.int32))
        batches = gluon.data.DataLoader(dataset, batch_size=8)
    if net is None:
        net = nn.HybridSequential()
        net.add(nn.Conv2D(4, 3), nn.BatchNorm(), nn.Dense(3))
    mx.random.seed(3)
    np.random.seed(3)  # of which the run draws its own seed
    net.initialize(mx.init.Xavier(), force_reinit=True)
    trainer = gluon.Trainer(net.collect_params(), "adam")
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    return net, gb.train(
        batches, batches, net, loss, trainer, mx.cpu(), num_epochs, run=folder, **kept
    )


def test_a_folder_is_enough_to_keep_a_run_of_ones_own(tmp_path, capsys):
    folder = tmp_path / "mine"
    net, history = trained(folder)
    config = json.loads((folder / "config.json").read_text())
    assert (config["optimizer"], config["input"]) == ("adam", [3, 8, 8])
    assert config["dataset"] is None and config["command"] is None
    assert History.read(folder / "history.csv").epochs == history.epochs
    assert (folder / "curve.png").exists() and not (folder / "predictions.png").exists()
    expected = net(nd.ones((2, 3, 8, 8))).asnumpy()
    found = import_symbol(folder / "net")(nd.ones((2, 3, 8, 8))).asnumpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    rows = (folder / "layers.txt").read_text().splitlines()
    assert rows[-1].split()[:2] == ["total", str(4 * (27 + 1) + 8 + 3 * (4 * 36 + 1))]
    with pytest.raises(Failure, match=r"for inputs of \[3, 8, 8\], and only square gray images"):
        load_run(folder)


def test_a_net_of_ones_own_classifies_images_of_fashion_mnist(tiny, tmp_path):
    batches, _ = gb.load_data_fashion_mnist(16, resize=32, seed=1)
    net = nn.HybridSequential()
    net.add(nn.Conv2D(4, 5), nn.GlobalAvgPool2D(), nn.Dense(10))
    net, _ = trained(tmp_path / "mine", net=net, batches=batches)
    X = next(gb.load_data_fashion_mnist(32, resize=32)[1].arrays())[0]
    expected = net(nd.array(X)).softmax().asnumpy()
    found = load_run(tmp_path / "mine").probabilities(tiny.test.images)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert predict([str(tmp_path / "mine")]) == 0


def test_run_again_it_goes_on(tmp_path):
    _, whole = trained(tmp_path / "whole", 3)
    trained(tmp_path / "two", 1)
    _, history = trained(tmp_path / "two", 3)
    assert [row[:4] for row in history] == [row[:4] for row in whole]
    params = [(tmp_path / each / "net.params").read_bytes() for each in ("whole", "two")]
    assert params[0] == params[1]


def test_a_net_of_the_same_shapes_that_computes_otherwise_is_refused(tmp_path):
    nets = []
    for pooling in (nn.MaxPool2D, nn.AvgPool2D):
        nets.append(nn.HybridSequential())
        nets[-1].add(nn.Conv2D(4, 3), pooling(), nn.Dense(3))
    trained(tmp_path / "mine", net=nets[0])
    before = (tmp_path / "mine" / "config.json").read_bytes()
    with pytest.raises(CheckpointError, match="holds a run of another net, which computes"):
        trained(tmp_path / "mine", 2, net=nets[1])
    assert (tmp_path / "mine" / "config.json").read_bytes() == before


def test_what_a_run_has_of_its_own_is_not_given_beside_it(tmp_path):
    for kept in ({"history": gb.History()}, {"checkpoint": tmp_path / "other"}):
        with pytest.raises(ValueError, match="of its own: give run alone"):
            trained(tmp_path / "mine", **kept)
    assert list(tmp_path.iterdir()) == []


def test_a_net_that_cannot_be_exported_is_refused_before_it_trains(tmp_path):
    class Own(gluon.Block):
        def __init__(self):
            super().__init__()
            self.dense = nn.Dense(3)

        def forward(self, x):
            return self.dense(x) if x.sum().asscalar() > 0 else x

    with pytest.raises(Failure, match="cannot be traced .*: build it of HybridBlocks"):
        trained(tmp_path / "mine", net=Own())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["README.txt", "layers.txt", "history.csv", "curve.png", "net.params"]
)
def test_no_file_of_a_users_is_replaced(name, tmp_path):
    (tmp_path / name).write_text("mine")
    with pytest.raises(NotOurs, match=rf"{name} is there already.* name another place with run="):
        trained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {name, ".lock"}
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("written", range(4))
def test_a_run_killed_as_it_writes_goes_on(written, tmp_path, monkeypatch):
    """Whatever it has written of its texts as it begins or ends, none is taken for a user's."""
    count, write = itertools.count(), files.write

    def until_killed(path, *args, **kwargs):
        if path.name in ("config.json", "README.txt", "layers.txt") and next(count) == written:
            raise KeyboardInterrupt
        write(path, *args, **kwargs)

    monkeypatch.setattr(files, "write", until_killed)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "mine")
    monkeypatch.undo()
    trained(tmp_path / "mine")
    assert (tmp_path / "mine" / "net.params").exists()


def test_a_run_whose_configuration_is_gone_goes_on(tmp_path):
    net, _ = trained(tmp_path)
    (tmp_path / "config.json").unlink()
    _, history = trained(tmp_path, 2, net=net)
    assert len(history) == 2 and (tmp_path / "config.json").exists()


def test_images_of_another_size_are_refused(tmp_path):
    """A net that takes the mean of each channel computes with any."""
    net = nn.HybridSequential()
    net.add(nn.Conv2D(4, 3), nn.GlobalAvgPool2D(), nn.Dense(3))
    small, large = ([(nd.ones((2, 3, size, size)), nd.zeros(2))] for size in (8, 9))
    trained(tmp_path, net=net, batches=small)
    before = (tmp_path / "config.json").read_bytes()
    with pytest.raises(
        CheckpointError, match=r"a run on inputs of \[3, 8, 8\], and this one has \[3, 9, 9\]"
    ):
        trained(tmp_path, 2, net=net, batches=large)
    assert (tmp_path / "config.json").read_bytes() == before


def test_a_folder_of_checkpoints_becomes_a_runs(tmp_path):
    """A user's history and picture in it were written by this package."""
    net, history = trained(None, checkpoint=tmp_path)
    history.write_csv(tmp_path / "history.csv")
    history.draw(tmp_path / "curve.png")
    _, history = trained(tmp_path, 2, net=net)
    assert len(history) == 2


def test_a_folder_without_a_name_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="the run's folder has no name"):
        trained("")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "my net", "a/b", "../lenet", "残差", "x" * 101, "net\n"])
def test_a_name_by_which_the_run_could_not_be_read_is_refused(name, tmp_path):
    with pytest.raises(Failure, match="cannot be that of a run's files: take up to 100 letters"):
        trained(run_folder.RunFolder(tmp_path / "mine", name=name))
    assert list(tmp_path.iterdir()) == []


def test_batches_that_end_are_refused(tmp_path):
    with pytest.raises(ValueError, match="gone through more than once"):
        trained(tmp_path / "mine", batches=iter([(nd.ones((2, 3, 8, 8)), nd.zeros(2))]))
    assert list(tmp_path.iterdir()) == []


def test_an_iterator_of_mxnets_can_be_gone_through_again(tmp_path):
    X, y = np.random.rand(24, 3, 8, 8), np.random.randint(3, size=24)
    batches = mx.io.NDArrayIter(X, y, batch_size=8)
    _, history = trained(tmp_path / "mine", 2, batches=batches)
    assert len(history) == 2
    config = json.loads((tmp_path / "mine" / "config.json").read_text())
    assert config["input"] == [3, 8, 8]


def test_no_batches_are_refused(tmp_path):
    with pytest.raises(ValueError, match="the test data gave no batch"):
        trained(tmp_path / "mine", batches=[])
    assert list(tmp_path.iterdir()) == []


def test_a_loader_need_not_know_its_batch_size(tmp_path):
    class Batches(list):
        batch_size = None

    trained(tmp_path / "mine", batches=Batches([(nd.ones((2, 3, 8, 8)), nd.zeros(2))]))
    assert (tmp_path / "mine" / "net.params").exists()


# --- what stops a run -------------------------------------------------------------------------


def test_a_loss_that_is_not_finite(tiny, tmp_path):
    with pytest.raises(NotFinite, match=r"epoch 1, batch \d: .* the learning rate of 1e\+38") as e:
        run(tmp_path, *SMALL, "--lr", "1e38", "--size", "32", section="resnet")
    assert "start again with a lower one" in str(e.value) and "--resume" not in str(e.value)
    assert len(list(tmp_path.glob("*/checkpoint-1-0.safetensors"))) == 1


def test_too_little_memory_is_told_before_training(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "available_memory", lambda: 1000)
    told = (
        r"a batch of 16 images of 28 pixels needs more than 0.0 GB of memory, and 0.0 GB are free: "
        "choose a smaller --batch-size or --size"
    )
    with pytest.raises(Failure, match=told):
        run(tmp_path, *SMALL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError("Unable to allocate"), "not enough memory.* or make some free and"),
        (mx.base.MXNetError("Failed to allocate"), "not enough memory.* or make some free and"),
        (FileFailure("x cannot be written: no room"), "x cannot be written: no room; then"),
    ],
)
def test_what_can_be_mended_names_the_command_to_go_on(error, told, tiny, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr("gluonbook.book.fit", fail)
    with pytest.raises(Failure, match=rf"{told} go on with `.* --resume .*lenet-"):
        run(tmp_path, *SMALL)


def test_ctrl_c_while_the_net_is_written_names_the_command_to_go_on(tiny, tmp_path, monkeypatch):
    def interrupted(*args):
        signal.raise_signal(signal.SIGINT)

    whole, _ = run(tmp_path / "whole", *SMALL, "--epochs", "1")
    with monkeypatch.context() as patched, pytest.raises(Interrupted) as stop:
        patched.setattr(run_folder, "save_parameters", interrupted)
        run(tmp_path, *SMALL, "--epochs", "1")
    [folder] = tmp_path.glob("lenet-*")
    assert str(stop.value).startswith("interrupted; go on with `")
    assert str(stop.value).endswith(f"lenet.py --resume {folder}`")
    with pytest.raises(Failure, match="is not complete|has no lenet.params"):
        load_run(folder)
    run(tmp_path, "--resume", str(folder))
    written = [path.joinpath("lenet.params").read_bytes() for path in (folder, whole)]
    assert written[0] == written[1]


def test_a_full_disk_is_told_before_training(tiny, tmp_path, monkeypatch):
    """LeNet has 44,426 parameters of 4 bytes, and leaves them four times."""
    usage = SimpleNamespace(free=44_426 * 16 - 1)
    monkeypatch.setattr(run_folder.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(FileFailure, match="cannot hold the run: it takes 1 MB and more"):
        run(tmp_path, *SMALL)
    assert list(tmp_path.iterdir()) == []
    usage.free += 1
    run(tmp_path, *SMALL, "--epochs", "1")


def test_the_lock_is_held_until_all_is_written(tiny, tmp_path, monkeypatch):
    seen, write = [], run_folder.save_parameters

    def look(net, path):
        with pytest.raises(Failure, match="in use by another run"):
            FolderLock(path.parent).acquire()
        seen.append(path.name)
        write(net, path)

    monkeypatch.setattr(run_folder, "save_parameters", look)
    folder, _ = run(tmp_path, *SMALL, "--epochs", "1")
    assert seen == ["lenet.params"]
    FolderLock(folder).acquire()


def test_a_refused_resume_has_written_nothing(tiny, tmp_path):
    folder, _ = run(tmp_path, *SMALL, "--epochs", "1")
    lock = FolderLock(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}
    lock.acquire()
    with pytest.raises(CheckpointError, match="in use by another run"):
        run(tmp_path, "--resume", str(folder), "--epochs", "50")
    lock.release()
    newest = folder / "checkpoint-2-0.safetensors"
    damaged = {path: path.read_bytes()[:-1] for path in folder.glob("checkpoint*")}
    for path, content in damaged.items():
        path.write_bytes(content)
    before.update({path.name: content for path, content in damaged.items()})
    with pytest.raises(CheckpointError, match=f"no checkpoint in .* is whole: .*{newest.name}"):
        run(tmp_path, "--resume", str(folder), "--epochs", "50")
    left = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}
    assert left == before

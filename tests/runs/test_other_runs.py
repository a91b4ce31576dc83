"""A folder that holds another run is refused, and stays as it is."""

from __future__ import annotations

from gluonbook.data.image_batches import ImageBatches
from gluonbook.training.run import CheckpointError
import mxnet as mx
from mxnet.gluon import nn
import pytest

from .conftest import Stopping, fit, images, rewritten, small_net, wider_net

pytestmark = pytest.mark.usefixtures("terminal_signals")


def other_net():
    net = small_net()
    net.add(nn.Dense(3, in_units=3))
    net[4].initialize()
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


def test_a_refused_run_changes_nothing_not_even_damaged_files(tmp_path):
    fit(tmp_path, num_epochs=1)
    newest = tmp_path / "checkpoint-2-0.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    (tmp_path / ".partial-1-x").write_text("left by a kill")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(CheckpointError, match="another net"):
        fit(tmp_path, net=wider_net())
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


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

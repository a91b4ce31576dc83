"""A checkpoint that is damaged, or made to harm, is refused before it changes anything."""

from __future__ import annotations

from gluonbook.runs.checkpoint import Checkpoint
from gluonbook.runs.history import History
from gluonbook.training.run import CheckpointError
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mxnet import gluon
import pytest

from .conftest import OPTIMIZERS, assert_same, fit, images, names, rewritten, small_net

pytestmark = pytest.mark.usefixtures("terminal_signals")


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


def test_a_file_far_too_large_is_not_read(saved, tmp_path):
    with open(tmp_path / "checkpoint-2-0.safetensors", "wb") as file:
        file.write(saved)
        file.truncate(2**33)
    with pytest.raises(CheckpointError, match="is too large"):
        fit(tmp_path)

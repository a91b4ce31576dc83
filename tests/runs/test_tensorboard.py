"""The figures of a run, read back by TensorBoard itself."""

from __future__ import annotations

import resource
import sys

from gluonbook.runs.history import History
from gluonbook.runs.tensorboard import TAGS, TensorBoardUnavailable
from gluonbook.system.files import FileFailure
from gluonbook.training.epochs import Epoch
import pytest

from ..conftest import needs_tensorboard

pytestmark = needs_tensorboard
EPOCHS = [Epoch(1, 1.25, 0.5, 0.625, 3.5), Epoch(2, 0.5, 0.75, 0.8125, 3.25)]


def shown(folder):
    """What TensorBoard reads: the epochs, and the figures of each."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()
    assert sorted(events.Tags()["scalars"]) == sorted(TAGS.values())
    columns = [[(each.step, each.value) for each in events.Scalars(tag)] for tag in TAGS.values()]
    return [Epoch(cells[0][0], *(value for _, value in cells)) for cells in zip(*columns)]


def test_each_epoch_is_shown_as_it_ends(tmp_path):
    history = History(tensorboard=tmp_path)
    for i, epoch in enumerate(EPOCHS, 1):
        history.append(epoch)
        assert shown(tmp_path) == EPOCHS[:i]
    [path] = tmp_path.iterdir()
    assert "tfevents" in path.name


def test_a_run_that_goes_on_shows_each_epoch_once(tmp_path):
    History(tensorboard=tmp_path).extend(EPOCHS)
    mine = tmp_path / "events.out.tfevents.1.mine"
    mine.write_bytes(b"")
    resumed = History(tensorboard=tmp_path)
    resumed.extend(EPOCHS)
    resumed.append(Epoch(3, 0.25, 0.875, 0.75, 3.0))
    assert shown(tmp_path) == list(resumed) and mine.exists()
    resumed.epochs.clear()
    resumed.extend(EPOCHS[:1])
    assert shown(tmp_path) == EPOCHS[:1]


def test_a_full_disk_is_told(tmp_path):
    history = History(tensorboard=tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))
    try:
        with pytest.raises(FileFailure, match="gluonbook cannot be written: .* make room"):
            history.append(EPOCHS[0])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "tensorboard"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(TensorBoardUnavailable, match=r"install -e '.\[tensorboard\]'"):
        History(tensorboard=tmp_path)

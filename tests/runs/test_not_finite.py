"""A loss or a parameter that is not finite ends a run, and is not saved."""

from __future__ import annotations

from gluonbook.runs.format import read
from gluonbook.training.learning_rate import NotFinite
from gluonbook.training.run import CheckpointError
import mxnet as mx
from mxnet import nd
import numpy as np
import pytest

from .conftest import Stopping, fit, images, names, small_net

pytestmark = pytest.mark.usefixtures("terminal_signals")


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


@pytest.mark.parametrize("save_every", [None, 1])
def test_a_loss_that_begins_infinite_is_not_blamed_on_the_learning_rate(save_every, tmp_path):
    class Great(Stopping):
        def __iter__(self):
            for X, y in super().__iter__():
                yield X * 3e38, y

    told = r"at epoch 1, batch 1: no step has changed the net yet, .* the scale of its images"
    with pytest.raises(NotFinite, match=told) as failure:
        fit(tmp_path, train_iter=Great(images(), 0), save_every=save_every)
    assert "too high" not in str(failure.value)

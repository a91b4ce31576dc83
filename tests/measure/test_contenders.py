"""A form in a process of its own answers with seconds, and with its memory."""

from __future__ import annotations

from gluonbook.measure.contenders import HYBRIDIZED, Worker
import pytest


def test_a_worker_answers():
    worker = Worker("gluonbook.measure.contenders", HYBRIDIZED, "lenet", "gluon", 64)
    memory = worker.ask("memory")
    train, infer, load = (worker.ask(question) for question in ("train", "infer", "load"))
    median, slow = worker.ask("latency")
    worker.close()
    assert 0 < median <= slow
    # Six planes of 24 × 24 numbers for each image, and their gradient, are the least it needs.
    assert 2 * 64 * 6 * 24 * 24 * 4 < memory < 2**28
    assert min(train, infer, load) > 0


def test_a_form_that_cannot_be_built_says_why():
    worker = Worker("gluonbook.measure.contenders", HYBRIDIZED, "alexnet", "gluon", 2, 16)
    with pytest.raises(RuntimeError, match="[Kk]ernel"):
        worker.ask("train")
    worker.close()

"""The model of many machines, beside sums by hand."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def model(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("scaling_model")


def test_what_goes_over_the_wire(model):
    """40 MB of gradients at 1 GB a second: each machine but the server's sends them there."""
    net, network = model.Net((10**7,), 1.0), model.Network("", 1e9, 0.0)
    assert model.exchange_seconds(net, 1, 1, network) == 0
    assert model.exchange_seconds(net, 2, 1, network) == pytest.approx(0.04)
    assert model.exchange_seconds(net, 11, 1, network) == pytest.approx(0.4)
    # A tenth on each of ten machines: nine tenths leave as gradients, nine as sums.
    assert model.exchange_seconds(net, 10, 10, network) == pytest.approx(2 * 0.9 * 0.04)


def test_messages_and_latency_on_a_network_without_limits(model):
    net, network = model.Net((10,) * 6 + (2 * 10**6,), 1.0), model.Network("", 1e18, 0.001)
    # A server takes each machine's seven arrays, and gives them back.
    taken = 4 * 7 * 2 * model.MESSAGE
    assert model.exchange_seconds(net, 4, 1, network) == pytest.approx(0.002 + taken)
    # Of four servers the busiest has two of the small ones and a quarter of the big one.
    taken = 4 * (2 + 1) * 2 * model.MESSAGE
    assert model.exchange_seconds(net, 4, 4, network) == pytest.approx(0.002 + taken)


def test_the_most_machines_are_those_that_compute_half_of_the_time(model):
    net, network = model.Net((10**7,), 0.4), model.Network("", 1e9, 0.0)
    assert model.most_machines(net, network, server_on_each=False) == 11
    assert model.most_machines(net, network, server_on_each=True) == model.MOST

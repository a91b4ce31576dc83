"""Skips these tests where PyTorch is not installed, and gives them small real batches."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def _seeded_torch():
    torch.manual_seed(1)
    # PyTorch and MXNet share the cores here.
    torch.set_num_threads(2)

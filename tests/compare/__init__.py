"""Tests of the comparison; they are skipped where PyTorch is not installed."""

import pytest

from ..conftest import NO_TORCH

pytest.importorskip("torch", reason=NO_TORCH)

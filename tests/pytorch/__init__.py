"""Tests of the rooms that import PyTorch; they are skipped where it is not installed."""

import pytest

from ..conftest import NO_TORCH

pytest.importorskip("torch", reason=NO_TORCH)

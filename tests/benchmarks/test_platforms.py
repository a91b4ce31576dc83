"""What MXNet computes here is what it computed with NumPy 1.23, and what the READMEs say of it."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
import re

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
RECORDED = json.loads((ROOT / "results" / "platforms.json").read_text(encoding="utf-8"))["rows"]


@pytest.fixture(scope="module")
def platforms():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield importlib.import_module("platforms")


def test_numbers_that_no_processor_rounds_are_those_of_numpy_1_23(platforms):
    recorded = next(row["digests"] for row in RECORDED if row["numpy"].startswith("1.23."))
    found = platforms.digests(platforms.EXACT)
    assert len(found) > 70
    differ = {name for name, of in found.items() if of != recorded[name]}
    assert differ <= set(platforms.REASONS)


def test_a_digest_tells_types_shapes_bytes_and_values_apart(platforms):
    one = np.ones((2, 1), dtype="float32")
    others = [one.astype("float64"), one.reshape(1, 2), one * 2, [one], 1.0, "1", None]
    assert len({platforms.digest(each) for each in (one, *others)}) == 1 + len(others)
    assert platforms.digest(np.float32(0.5)) == platforms.digest(0.5)
    assert platforms.digest(one.copy()) == platforms.digest(one)


def test_each_difference_that_was_recorded_has_its_reason(platforms):
    first = RECORDED[0]["digests"]
    differ = {name for row in RECORDED for name in first if row["digests"][name] != first[name]}
    assert differ <= set(platforms.REASONS)


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_the_readmes_state_how_many_are_the_same(name):
    of = {".".join(row["numpy"].split(".")[:2]): row["digests"] for row in RECORDED}
    same = sum(of["2.5"][probe] == digest for probe, digest in of["1.23"].items())
    text = (ROOT / name).read_text(encoding="utf-8")
    counts = {"README.md": r"Of (\d+) calls of MXNet's functions,\s+(\d+) give"}.get(
        name, r"MXNet 的 (\d+) 项功能，\s*其中 (\d+) 项"
    )
    assert re.search(counts, text).groups() == (str(len(of["1.23"])), str(same))

"""SciPy's modules that MXNet imports are there when they are used, and not before."""

from __future__ import annotations

import importlib
import sys

from gluonbook.system.lazy_import import lazy_import
import pytest

from ..conftest import python


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The name of a package whose module ``inner`` counts how often it is imported."""
    name = "imported_by_a_test"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("times = 0\n")
    (tmp_path / name / "inner.py").write_text(
        "import imported_by_a_test\nimported_by_a_test.times += 1\nanswer = 42\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    for module in (name, f"{name}.inner"):
        sys.modules.pop(module, None)


def test_a_module_is_imported_when_something_of_it_is_used(package):
    with lazy_import(package, "inner"):
        early = importlib.import_module(f"{package}.inner")
    times = importlib.import_module(package)
    assert times.times == 0
    assert early.answer == 42 and times.times == 1
    real = importlib.import_module(f"{package}.inner")
    assert real is not early and real.answer is early.answer and times.times == 1
    with pytest.raises(AttributeError, match="nothing"):
        early.nothing  # noqa: B018


def test_used_in_the_block_or_imported_before_it_the_module_is_the_real_one(package):
    real = importlib.import_module(f"{package}.inner")
    with lazy_import(package, "inner"):
        assert importlib.import_module(f"{package}.inner") is real
    del sys.modules[f"{package}.inner"]
    with lazy_import(package, "inner"):
        early = importlib.import_module(f"{package}.inner")
        assert early.answer == 42
        assert importlib.import_module(f"{package}.inner") is not early


def test_a_package_that_is_not_installed_is_missing_as_ever():
    missing = pytest.raises(ModuleNotFoundError, match="not_installed_anywhere")
    with missing, lazy_import("not_installed_anywhere", "inner"):
        importlib.import_module("not_installed_anywhere.inner")


def test_mxnet_works_with_scipys_arrays():
    pytest.importorskip("scipy", reason="needs SciPy: pip install -e '.[int8]'")
    code = """
import sys
import gluonbook, mxnet as mx
assert not {"scipy.sparse", "scipy.stats"} & set(sys.modules)
assert mx.contrib.quantization.stats.entropy([1, 1], [1, 1]) == 0
from scipy import sparse, stats
assert stats.entropy is mx.contrib.quantization.stats.entropy
matrix = sparse.csr_matrix([[0.0, 1.0], [2.0, 0.0]])
assert (mx.nd.sparse.csr_matrix(matrix).asscipy() != matrix).nnz == 0
"""
    run = python(code)
    assert run.returncode == 0, run.stderr

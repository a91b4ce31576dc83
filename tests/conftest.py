"""What the tests share: the real data set, and an environment without a user's own folders."""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import math
import os
from pathlib import Path
import runpy
import signal
import subprocess
import sys
from types import SimpleNamespace
from unittest import mock

# The processes of tests share the cores, and MXNet reads this once, as it is imported.
os.environ.setdefault(
    "OMP_NUM_THREADS",
    str(max(1, os.cpu_count() // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))),
)

# onnxruntime reads this as it is imported, and otherwise reports its use by the web.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import gluonbook as gb
from gluonbook.data import fashion_mnist as fm
from gluonbook.data import folders, mirrors, published_files
from gluonbook.system import contention
from gluonbook.training import run
import mxnet as mx
import numpy as np
import psutil
import pytest

CHAPTERS = Path(__file__).parents[1] / "chapters"
#: An address at which nothing answers.
NO_MIRROR = "http://127.0.0.1:9"
#: What ``-m quick`` runs for whoever edits: the rooms, counts, shapes and numbers of the nets, a
#: training, a resume. A minute on two cores.
QUICK = (
    *("test_architecture.py", "test_from_scratch.py", "test_readme.py", "test_recipes.py"),
    *("test_summary.py", "data/test_iterators.py", "nets/test_nets.py", "runs/test_history.py"),
    *("training/test_loop.py", "training/test_stuck_loss.py"),
)
QUICK_TESTS = ("test_stopped_at_any_batch",)
TOO_LONG_TO_BE_QUICK = ("test_resnet_learns_real_images",)
#: Why a test is skipped.
NO_TORCH = "needs PyTorch: pip install -e '.[pytorch]'"
_PROCESS = psutil.Process()


@pytest.fixture(autouse=True)
def _seeded():
    np.random.seed(1)
    mx.random.seed(1)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(1)


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    """No test depends on what other processes do, so no training warns of them."""
    alone = SimpleNamespace(usage=contention.usage, remark=lambda others, when: None)
    monkeypatch.setattr(run, "contention", alone)


@pytest.fixture(autouse=True, scope="session")
def _threads_of_torch():
    """As many as MXNet's: the two share the cores."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol():
    """Give the memory of a test's nets back, or a process of tests grows to 8 GB.

    Nets hold themselves in cycles of references, which Python looks for once objects are many, not
    once they are large. Between small ones that stay, the C library keeps what others have left;
    to take it back costs time, so that is done where it is much.
    """
    before = _PROCESS.memory_info().rss
    yield
    if _PROCESS.memory_info().rss - before > 100e6:
        gc.collect()
        if _PROCESS.memory_info().rss > 2e9:
            ctypes.CDLL(None).malloc_trim(0)


def pytest_collection_modifyitems(items):
    tests = Path(__file__).parent
    folders = {tests / name for name in ("compare", "pytorch")}
    quick = {tests / name for name in QUICK}
    for item in items:
        if folders & set(item.path.parents):
            item.add_marker("pytorch")
        name = item.originalname
        if name in QUICK_TESTS or (item.path in quick and name not in TOO_LONG_TO_BE_QUICK):
            item.add_marker("quick")


@pytest.fixture
def terminal_signals():
    """Signals that act as in a terminal, even if pytest runs in the background or by nohup."""
    before = {
        signum: signal.signal(signum, action)
        for signum, action in (
            (signal.SIGINT, signal.default_int_handler),
            (signal.SIGHUP, signal.SIG_DFL),
        )
    }
    yield
    for signum, action in before.items():
        signal.signal(signum, action)


@pytest.fixture(scope="session")
def dataset() -> fm.FashionMNIST:
    """The real data set, wherever this machine has it."""
    return fm.fashion_mnist()


@pytest.fixture
def real_files(dataset, tmp_path) -> Path:
    """A folder of its own with a copy of the four real files."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name in published_files.SIZES:
        source = published_files.find_file(dataset.folder, name)
        (folder / source.name).write_bytes(source.read_bytes())
    return folder


@pytest.fixture
def nowhere(monkeypatch, tmp_path) -> Path:
    """No data set on this machine and no network; the result is MXNet's empty data folder."""
    monkeypatch.setenv("MXNET_HOME", str(tmp_path / "mxnet"))
    monkeypatch.setenv(mirrors.MIRRORS_VARIABLE, NO_MIRROR)
    monkeypatch.setattr(folders, "SYSTEM_FOLDER", tmp_path / "system")
    return tmp_path / "mxnet" / "datasets" / "fashion-mnist"


@pytest.fixture
def tiny(dataset, monkeypatch) -> fm.FashionMNIST:
    """The first 48 real training and 32 real test images, in place of the whole data set."""
    few = dataset._replace(
        train=fm.Split(dataset.train.images[:48], dataset.train.labels[:48]),
        test=fm.Split(dataset.test.images[:32], dataset.test.labels[:32]),
    )
    monkeypatch.setattr(fm, "fashion_mnist", lambda root=None: few)
    return few


@pytest.fixture
def lenet_run(tiny, tmp_path) -> Path:
    """The folder of a LeNet that was trained for an epoch."""
    options = ("--epochs", "1", "--batch-size", "16", "--seed", "1", "--out", str(tmp_path))
    return run_chapter("lenet", *options)["args"].run.folder


def run_chapter(script: str | Path, *argv: str) -> dict[str, object]:
    """Run a chapter in this process, by its section or its path; the names that it leaves."""
    path = CHAPTERS / f"{script}.py" if isinstance(script, str) else script
    argv = [path.name, *argv]
    with mock.patch.multiple(sys, argv=argv, excepthook=sys.excepthook):
        return runpy.run_path(str(path))


def run_script(*argv: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    """Run a chapter as a user would, in a process of its own."""
    script, *options = argv
    return subprocess.run(
        [sys.executable, str(CHAPTERS / script), *options],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def python(code: str, **environment: str) -> subprocess.CompletedProcess:
    """Run `code` in a process of its own; an empty value takes a variable away."""
    environment = {**os.environ, **environment}
    environment = {name: value for name, value in environment.items() if value}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120
    )


def initialized(net, size: int, num_channels: int = 1):
    """`net` with Xavier's weights, its shapes settled by one small input."""
    net.initialize(mx.init.Xavier(), force_reinit=True)
    net(mx.nd.zeros((1, num_channels, size, size)))
    mx.nd.waitall()  # oneDNN may still be rearranging weights, and reading them gives a mixture
    return net


def randomized(net, size: int, num_channels: int = 3):
    """`net` as after training: no shift is 0, no scale and no running variance is 1."""
    initialized(net, size, num_channels)
    for name, parameter in net.collect_params().items():
        if not name.endswith("weight"):
            low, high = (0.5, 1.5) if name.endswith(("gamma", "running_var")) else (-0.5, 0.5)
            parameter.set_data(mx.nd.random.uniform(low, high, parameter.shape))
    return net


def inferred_shapes(net, size: int, num_channels: int = 3):
    """Shapes of the parameters that train, and of the output, without a single array."""
    symbol = net(mx.sym.var("data"))
    symbol = mx.sym.Group(list(symbol)) if isinstance(symbol, (list, tuple)) else symbol
    arguments, outputs, _ = symbol.infer_shape(data=(1, num_channels, size, size))
    of = dict(zip(symbol.list_arguments(), arguments))
    training = [name for name, p in net.collect_params().items() if p.grad_req != "null"]
    return [of[name] for name in training], outputs


def num_inferred(net, size: int, num_channels: int = 3) -> int:
    """Number of parameters that train, without a single array."""
    return sum(math.prod(shape) for shape in inferred_shapes(net, size, num_channels)[0])


def _needs(extra: str, *packages: str):
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    reason = f"needs {' and '.join(missing)}: pip install -e '.[{extra}]'"
    return pytest.mark.skipif(bool(missing), reason=reason)


needs_gluoncv = _needs("gluoncv", "gluoncv")
needs_onnx = _needs("onnx", "onnx", "onnxruntime")
needs_tensorboard = _needs("tensorboard", "tensorboard")

__all__ = [
    "CHAPTERS",
    "NO_MIRROR",
    "NO_TORCH",
    "gb",
    "inferred_shapes",
    "initialized",
    "needs_gluoncv",
    "needs_onnx",
    "needs_tensorboard",
    "num_inferred",
    "python",
    "randomized",
    "run_chapter",
    "run_script",
]

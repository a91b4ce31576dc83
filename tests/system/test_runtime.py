"""Each way in which MXNet can fail to import ends in one sentence with its fix."""

from __future__ import annotations

from functools import partial
import importlib.metadata
import os
from pathlib import Path
import subprocess
import sys
import weakref

from gluonbook.system import nvidia_driver, runtime
from gluonbook.system.machine import physical_cores
from gluonbook.system.old_names import missing_names
from mxnet import nd
import numpy as np
import pytest

from ..conftest import python


@pytest.fixture
def fake_mxnet(tmp_path):
    """A folder with a package ``mxnet`` whose import runs the code given."""

    def make(code: str) -> str:
        (tmp_path / "mxnet").mkdir(exist_ok=True)
        (tmp_path / "mxnet" / "__init__.py").write_text(code)
        return str(tmp_path)

    return make


@pytest.mark.parametrize(
    "order",
    [
        "import gluonbook, mxnet",
        pytest.param(
            "import mxnet, gluonbook",
            marks=pytest.mark.skipif(
                bool(missing_names()), reason="the names come back with gluonbook"
            ),
        ),
    ],
)
def test_imports_in_either_order(order):
    result = python(f"{order}; print(mxnet.nd.ones(2).sum().asscalar())")
    assert (result.returncode, result.stdout) == (0, "2.0\n"), result.stderr


def test_sets_threads_to_the_physical_cores():
    code = "import gluonbook, os, gluonbook.system.machine as m; "
    code += "print(os.environ['OMP_NUM_THREADS'] == str(m.physical_cores()))"
    assert python(code, OMP_NUM_THREADS="").stdout == "True\n"


def test_a_users_own_thread_setting_wins():
    code = "import gluonbook, os; print(os.environ['OMP_NUM_THREADS'])"
    assert python(code, OMP_NUM_THREADS="1").stdout == "1\n"


@pytest.mark.skipif(
    physical_cores() < 2 or not Path("/proc/self/task").exists(), reason="needs two cores, Linux"
)
def test_reading_an_array_starts_no_threads():
    """With MXNet's own setting it does, and they slow all that follows."""
    # A policy of waiting keeps the watch from adding threads beside busy processes.
    two = partial(python, OMP_NUM_THREADS="2", OMP_WAIT_POLICY="active")
    code = "import gluonbook, os; from mxnet import nd; x = nd.ones(10**6); x.wait_to_read(); "
    code += "count = lambda: len(os.listdir('/proc/self/task')); before = count(); x.asnumpy(); "
    code += "print(count() - before)"
    assert two(code, MXNET_CPU_PARALLEL_SIZE="").stdout == "0\n"
    assert int(two(code, MXNET_CPU_PARALLEL_SIZE="200000").stdout) > 0


def test_a_forked_process_computes_on_one_thread():
    """Counted by the system, before and after an operator that a team of threads computes."""
    code = """
import gluonbook, mxnet as mx, os
def started():
    images = mx.nd.ones((64, 28, 28, 1), dtype="uint8")
    images.wait_to_read()
    before = len(os.listdir("/proc/self/task"))
    mx.nd.image.to_tensor(images).wait_to_read()
    return len(os.listdir("/proc/self/task")) - before
if os.fork():
    print("child", os.wait()[1] >> 8, "parent", started(), flush=True)
os._exit(started())
"""
    result = python(code, OMP_NUM_THREADS="3")
    assert result.stdout == "child 0 parent 2\n", result.stderr


@pytest.mark.parametrize("told", [True, False])
def test_an_error_left_in_the_engine_is_not_told_a_second_time(told):
    """MXNet's own hook at exit raises it; here the engine always has one."""
    code = f"""
import ctypes, gluonbook as gb, mxnet as mx
from gluonbook.system.errors import print_sentences
class WithAnError:
    def __getattr__(self, name):
        return getattr(library, name)
    def MXNotifyShutdown(self):
        library.MXNotifyShutdown()
        out = ctypes.c_uint32(), ctypes.c_void_p(), ctypes.c_uint32(), ctypes.c_void_p()
        # Leaves an error, and says -1.
        return library.MXNDArrayLoad(b"/none", *map(ctypes.byref, out))
library, mx.base._LIB = mx.base._LIB, WithAnError()
print_sentences(str)
if {told}:
    raise MemoryError("the sentence")
"""
    done = python(code)
    if told:
        assert (done.returncode, done.stderr) == (1, "error: the sentence\n")
    else:
        assert "Traceback" in done.stderr and "MXNetError" in done.stderr


def test_an_array_of_numpys_memory_may_be_the_last_that_is_freed():
    """Python frees what a `threading.local` holds after it has cleared MXNet's modules."""
    code = """
import threading
import gluonbook, numpy as np
from mxnet import nd
threading.kept = threading.local()
threading.kept.array = nd.from_numpy(np.ones(3, "float32"))
"""
    done = python(code)
    assert (done.returncode, done.stderr) == (0, "")


def test_memory_of_numpy_is_given_back_with_the_array():
    numbers = np.ones(3, "float32")
    array, alive = nd.from_numpy(numbers), weakref.ref(numbers)
    del numbers
    assert (array.asnumpy() == 1).all() and alive() is not None
    del array
    nd.waitall()
    assert alive() is None


def test_says_that_threads_come_too_late(monkeypatch, caplog):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(runtime, "physical_cores", lambda: 4)
    runtime.set_threads()
    assert "import gluonbook first, or set OMP_NUM_THREADS=4" in caplog.text


@pytest.mark.parametrize(
    ("code", "cause", "fix"),
    [
        ("import not_there_at_all", "needs the package not_there_at_all", "pip install not_there"),
        (
            "raise OSError('libcudnn.so.8: cannot open shared object file: No such file')",
            "needs libcudnn.so.8",
            "pip install nvidia-cudnn-cu11==8.9.6.50",
        ),
        (
            "raise OSError('libcuda.so.1: cannot open shared object file: No such file')",
            "needs the NVIDIA driver",
            "pip install -e '.[cpu]'",
        ),
        (
            "raise OSError('libquadmath.so.0: cannot open shared object file: No such file')",
            "needs libquadmath.so.0",
            "apt-get install libquadmath0",
        ),
        (
            "raise OSError('libgomp.so.1: cannot open shared object file: No such file')",
            "needs libgomp.so.1",
            "apt-get install libgomp1",
        ),
        (
            "raise OSError('libz.so.9: cannot open shared object file: No such file')",
            "needs libz.so.9",
            "install the package that holds it",
        ),
        (
            "raise OSError('libarmpl_lp64_mp.so: cannot open shared object file: No such file')",
            "MXNet's wheel for arm64 lacks libarmpl_lp64_mp.so",
            "pip uninstall -y mxnet mxnet-cu112` and then `pip install -e '.[cpu]'`",
        ),
        (
            "import numpy; numpy.no_such_name",
            "does not work with NumPy",
            "--force-reinstall 'numpy>=1.17,<2.6'",
        ),
        (
            "raise OSError('invalid ELF header')",
            "invalid ELF header",
            "pip uninstall -y mxnet mxnet-cu112` and then `pip install -e '.[cpu]'`",
        ),
    ],
)
def test_failed_import_is_one_sentence(fake_mxnet, tmp_path, code, cause, fix):
    script = tmp_path / "book.py"
    script.write_text("import gluonbook\n")
    result = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": fake_mxnet(code)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 1
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert cause in result.stderr and fix in result.stderr


def test_no_mxnet_at_all():
    error = ModuleNotFoundError("No module named 'mxnet'", name="mxnet")
    assert "pip install -e '.[cpu]'" in runtime.explain(error)


@pytest.mark.parametrize(
    ("system", "told"),
    [
        (("Linux", "x86_64"), "pip install -e '.[cpu]'"),
        (("Linux", "aarch64"), "pip install -e '.[cpu]'"),
        (("Darwin", "x86_64"), "pip install -e '.[cpu]'"),
        (("Darwin", "arm64"), "not released for Darwin arm64: train in Docker, whose image"),
        (("Linux", "riscv64"), "not released for Linux riscv64: train in Docker"),
        (
            ("Windows", "AMD64"),
            "`docker build -t gluonbook .` makes in gluonbook's folder, or in WSL",
        ),
    ],
)
def test_a_system_that_mxnet_was_not_released_for_is_told_of_docker(system, told, monkeypatch):
    monkeypatch.setattr(runtime, "installed", lambda name: False)
    monkeypatch.setattr(runtime.platform, "system", lambda: system[0])
    monkeypatch.setattr(runtime.platform, "machine", lambda: system[1])
    sentence = runtime.explain(ModuleNotFoundError("No module named 'mxnet'", name="mxnet"))
    assert told in sentence
    assert ("Docker" in sentence) != ("pip" in sentence)


@pytest.mark.parametrize(
    ("machine", "there", "told"),
    [
        (
            *("x86_64", ()),
            "libquadmath.so.0 and libgomp.so.1, which are missing: run `sudo apt-get install "
            "libquadmath0 libgomp1` (Fedora: `sudo dnf install libquadmath libgomp`)",
        ),
        (
            *("x86_64", ("libgomp.so.1",)),
            "libquadmath.so.0, which is missing: run `sudo apt-get install libquadmath0` ",
        ),
    ],
)
def test_all_that_the_system_lacks_is_told_at_once(machine, there, told, monkeypatch):
    monkeypatch.setattr(runtime.platform, "machine", lambda: machine)
    monkeypatch.setattr(runtime, "links", lambda name: name in there)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    error = OSError("libquadmath.so.0: cannot open shared object file: No such file or directory")
    assert runtime.explain(error).startswith(f"MXNet needs {told}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)  # in a container root has no sudo
    assert runtime.explain(error).startswith(f"MXNet needs {told.replace('sudo ', '')}")


def test_on_arm64_no_libquadmath_is_asked_for(monkeypatch):
    monkeypatch.setattr(runtime.platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(runtime, "links", lambda name: False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    error = OSError("libgomp.so.1: cannot open shared object file: No such file or directory")
    assert "run `sudo apt-get install libgomp1` (" in runtime.explain(error)


def test_failure_is_an_import_error_with_a_cause(fake_mxnet):
    code = "try:\n import gluonbook\nexcept ImportError as e:\n print(type(e.__cause__).__name__)"
    path = fake_mxnet("raise OSError('libcudnn.so.8: cannot open shared object file')")
    assert python(code, PYTHONPATH=path).stdout == "OSError\n"


def test_python_too_new_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 15, 0))
    with pytest.raises(ImportError, match=r"Python 3\.15 is too new.*python3\.13 -m venv"):
        runtime.import_mxnet()


def test_cuda_libraries_are_loaded_from_their_wheels(monkeypatch, tmp_path):
    for folder, library in ("cudnn", "libcudnn.so.8"), ("cublas", "libcublas.so.11"):
        (tmp_path / "nvidia" / folder / "lib").mkdir(parents=True)
        (tmp_path / "nvidia" / folder / "lib" / library).touch()
    loaded = []
    monkeypatch.setattr(runtime.sysconfig, "get_path", lambda kind: str(tmp_path))
    monkeypatch.setattr(runtime.ctypes, "CDLL", lambda path, mode: loaded.append(path))
    monkeypatch.setattr(nvidia_driver, "ask", lambda: None)

    runtime.load_cuda()
    assert loaded == []  # the CPU build needs none

    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.9.1")
    runtime.load_cuda()
    assert [os.path.basename(path) for path in loaded] == ["libcublas.so.11", "libcudnn.so.8"]


def test_every_cuda_wheel_is_in_the_extra():
    requires = importlib.metadata.requires("gluonbook")
    extra = {line.split(";")[0].strip() for line in requires if "cu112" in line}
    assert set(runtime.CUDA_WHEELS.values()) <= extra


def test_a_script_beside_the_clone_imports_the_package_and_not_the_clones_folder(tmp_path):
    """A folder named gluonbook without __init__.py, as a clone is, would do as a package too."""
    (tmp_path / "gluonbook" / "chapters").mkdir(parents=True)
    script = tmp_path / "own.py"
    script.write_text("import gluonbook as gb; print(gb.load_data_fashion_mnist.__name__)")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for command in ([str(script)], ["-m", "gluonbook.doctor", "--help"]):
        result = subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert result.returncode == 0, result.stderr
        assert "load_data_fashion_mnist" in result.stdout or "doctor" in result.stdout

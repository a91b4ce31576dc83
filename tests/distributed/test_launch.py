"""Several workers train as one does, from the command line on."""

from __future__ import annotations

import os
from pathlib import Path
import shutil
import signal
import socket
import stat
import subprocess
import sys
from types import SimpleNamespace

from gluonbook import launch
from gluonbook.runs.history import History
from gluonbook.system import nvidia_driver
from gluonbook.system.errors import Failure
from gluonbook.system.nvidia_driver import Driver, Gpu
import mxnet as mx
import numpy as np
import psutil
import pytest

from ..conftest import CHAPTERS

LAUNCH = (sys.executable, "-m", "gluonbook.launch")
SMALL = (
    *("--limit", "640", "--limit-test", "200", "--batch-size", "64"),
    *("--lr", "0.1", "--seed", "3"),
)


def started(*command, cwd, **variables):
    return subprocess.Popen(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def trained(*command, cwd, out, **variables):
    """The lines, the history and the parameters of a run that ends well."""
    process = started(*command, "--out", out, cwd=cwd, **variables)
    lines, errors = process.communicate(timeout=1800)
    assert process.returncode == 0, errors
    return lines.splitlines(), *left_in(out)


def left_in(out):
    [folder] = Path(out).iterdir()
    section = folder.name.partition("-")[0]
    params = mx.nd.load(str(folder / f"{section}.params"))
    return History.read(folder / "history.csv"), {k: v.asnumpy() for k, v in params.items()}


def assert_equal(found, expected, tolerance=1e-6):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=tolerance, err_msg=name)


def test_two_workers_of_half_the_batch_are_one_of_the_whole(tmp_path):
    """In the third epoch, one worker goes on with what the two have begun."""
    script = (CHAPTERS / "lenet.py", *SMALL)
    _, history, params = trained(
        sys.executable, *script, "--epochs", "3", cwd=tmp_path, out=tmp_path / "one"
    )
    two = tmp_path / "two"
    lines, first, _ = trained(
        *(*LAUNCH, "--workers", "2", "--servers", "2", "--", *script, "--epochs", "2"),
        cwd=tmp_path,
        out=two,
    )
    assert lines.count("training on cpu(0)") == 1  # the second worker prints nothing
    for row, expected in zip(first, history):
        assert row.loss == pytest.approx(expected.loss, abs=1e-6)
        assert row[2:4] == expected[2:4]
    [folder] = two.iterdir()
    resumed = started(sys.executable, script[0], "--resume", folder, "--epochs", "3", cwd=tmp_path)
    resumed.communicate(timeout=600)
    assert resumed.returncode == 0
    second, found = left_in(two)
    assert second[2].loss == pytest.approx(history[2].loss, abs=1e-6)
    assert_equal(found, params)


@pytest.mark.parametrize(
    ("argv", "variables", "said"),
    [
        ([], {}, "no script is named"),
        (["--workers", "2", "--", "no.py"], {}, "there is no script no.py"),
        (
            ["--workers", "2", "chapters/lenet.py", "--limit", "9"],
            {},
            "write -- between the options",
        ),
        (["--workers", "2", "-m", "gluonbook.train", "lenet"], {}, "write -- between the options"),
        (["--root", "here", "--", __file__], {}, "the root must be HOST:PORT"),
        (
            ["--workers", "3", "--", __file__],
            {"RANK": "0", "WORLD_SIZE": "2"},
            "--workers 3 under a launcher that has started 2 processes",
        ),
        (["--servers", "3", "--", __file__], {"RANK": "0", "WORLD_SIZE": "2"}, "at most 2"),
        (["--", __file__], {"RANK": "0", "WORLD_SIZE": "2"}, "need an address to meet: add --root"),
    ],
)
def test_a_launch_that_cannot_be(argv, variables, said, monkeypatch):
    monkeypatch.setattr("sys.excepthook", lambda *_: None)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Failure, match=said):
        launch.main(argv)


def test_a_build_for_one_process_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr("sys.excepthook", lambda *_: None)
    without = {**mx.runtime.Features(), "DIST_KVSTORE": SimpleNamespace(enabled=False)}

    class Features(dict):
        def __init__(self):
            super().__init__(without)

        is_enabled = mx.runtime.Features.is_enabled

    monkeypatch.setattr(mx.runtime, "Features", Features)
    with pytest.raises(Failure, match="no DIST_KVSTORE .*: start the script itself$"):
        launch.main(["--workers", "2", "--", __file__])
    script = tmp_path / "script.py"
    script.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    assert launch.main(["--workers", "1", "--", str(script)]) == 0
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(("seen", "expected"), [(None, "010"), ("5,7", "575")])
def test_workers_share_the_gpus_of_a_machine(seen, expected, monkeypatch):
    gpus = [Gpu("GeForce RTX 3090", (8, 6))] * 2
    monkeypatch.setattr(nvidia_driver, "ask", lambda: Driver("12.4", 0, gpus))
    if seen is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", seen)
    monkeypatch.setattr("sys.excepthook", lambda *_: None)
    started = {}

    class Supervisor:
        def __init__(self, timeout):
            pass

        def start(self, name, command, variables, **_):
            started[name] = variables.get("CUDA_VISIBLE_DEVICES", "none")

        def run(self):
            return 0

    monkeypatch.setattr(launch, "Supervisor", Supervisor)
    assert launch.main(["--workers", "3", "--", __file__]) == 0
    workers = [started.pop(f"worker {rank} of 3") for rank in range(3)]
    assert "".join(workers) == expected
    assert started == {"the scheduler": "none", "server 0 of 1": "none"}


@pytest.mark.slow
def test_a_bad_option_is_one_sentence(tmp_path):
    process = started(
        *(*LAUNCH, "--workers", "2", "--", CHAPTERS / "lenet.py", "--lr", "-1"), cwd=tmp_path
    )
    lines, errors = process.communicate(timeout=600)
    assert (process.returncode, lines) == (2, "")
    assert errors.startswith("error: argument --lr: must be") and errors.count("\n") == 1


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_run_on_one_machine_is_reached_by_nobody_else(tmp_path):
    """No process listens at a port, and their sockets are gone even if the launcher is killed."""
    script = tmp_path / "two.py"
    script.write_text(
        "import time\n"
        "from gluonbook.distributed.workers import workers\n"
        "print(workers().sum([1.0]), flush=True)\n"
        "time.sleep(600)\n"
    )
    process = started(*LAUNCH, "--workers", "2", "--", script, cwd=tmp_path)
    assert process.stdout.readline() == "[2.0]\n"
    family = psutil.Process(process.pid).children()
    nodes = [one for one in family if "DMLC_ROLE" in one.environ()]
    sockets = [Path("/tmp", one.environ()["PORT"]) for one in nodes]
    assert len(set(sockets)) == 4
    for path in sockets:
        assert path.is_socket() and stat.S_IMODE(path.stat().st_mode) == 0o700
    listening = {
        connection.laddr.port
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.pid in {p.pid for p in nodes}
    }
    assert listening == set()
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert psutil.wait_procs(family, timeout=60)[1] == []
    assert not any(path.exists() for path in sockets)


def test_a_tmp_that_takes_no_socket_is_told(monkeypatch):
    monkeypatch.setattr("sys.excepthook", lambda *_: None)

    class Supervisor:
        def __init__(self, timeout):
            pass

        def start(self, *_, **settings):
            pass

        def run(self):
            raise launch.CouldNotBind

    monkeypatch.setattr(launch, "Supervisor", Supervisor)
    with pytest.raises(Failure, match="no process can make a socket in /tmp: .* --root 127.0.0.1"):
        launch.main(["--workers", "2", "--", __file__])
    with pytest.raises(Failure, match="no process can listen at 127.0.0.1:9091: name the host"):
        launch.main(["--workers", "2", "--root", "127.0.0.1:9091", "--", __file__])


def test_under_mpirun_the_same_command_works(tmp_path):
    if shutil.which("mpirun") is None:
        pytest.skip("needs mpirun: apt-get install openmpi-bin")
    as_root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    script = (CHAPTERS / "lenet.py", *SMALL, "--epochs", "1")
    launches = (*LAUNCH, "--root", f"127.0.0.1:{free_port()}", "--", *script)
    mpirun = ("mpirun", "-n", "2", "--oversubscribe", *launches)
    lines, history, _ = trained(*mpirun, cwd=tmp_path, out=tmp_path / "runs", **as_root)
    assert lines.count("training on cpu(0)") == 1
    assert len(history) == 1


@pytest.mark.slow
def test_a_full_epoch_of_lenet(tmp_path):
    """The same sums in the same parts give the same bits; those of the whole batch are rounded
    otherwise, which an epoch at a rate of 0.9 enlarges to a few millionths."""
    script = (CHAPTERS / "lenet.py", "--epochs", "1", "--seed", "1", "--limit", "59904")
    launches = (*LAUNCH, "--workers", "2", "--", *script, "--device", "cpu")
    _, history, params = trained(*launches, cwd=tmp_path, out=tmp_path / "workers")
    for device, tolerance in (("cpu:0,1", 1e-6), ("cpu", 2e-5)):
        one = (sys.executable, *script, "--device", device)
        _, found_history, found = trained(*one, cwd=tmp_path, out=tmp_path / device)
        assert found_history[0].loss == pytest.approx(history[0].loss, abs=1e-6)
        assert_equal(found, params, tolerance)


@pytest.mark.slow
def test_fifty_steps_of_resnet(tmp_path):
    """Batch normalization takes its means from a part of a batch, so the worker that has the
    whole batch computes it on two devices."""
    script = (CHAPTERS / "resnet.py", "--limit", "1600", "--batch-size", "32", "--seed", "1")
    script += ("--limit-test", "256", "--epochs", "1")
    one = (sys.executable, *script, "--device", "cpu:0,1")
    _, history, params = trained(*one, cwd=tmp_path, out=tmp_path / "one")
    launches = (*LAUNCH, "--workers", "2", "--", *script, "--device", "cpu")
    _, found_history, found = trained(*launches, cwd=tmp_path, out=tmp_path / "two")
    assert found_history[0].loss == pytest.approx(history[0].loss, abs=1e-6)
    trainable = {name for name in params if "running" not in name}
    assert_equal({n: found[n] for n in trainable}, {n: params[n] for n in trainable})

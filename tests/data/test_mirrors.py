"""The four files downloaded from mirrors: verified, of one release, and nothing else left."""

from __future__ import annotations

import errno
import http.server
import subprocess
import sys
import threading

import gluonbook as gb
from gluonbook.data import download, mirrors, published_files
from gluonbook.data import fashion_mnist as fm
from gluonbook.data.published_files import DatasetError
import pytest

from .conftest import as_earlier_release


class Server(http.server.ThreadingHTTPServer):
    """A mirror on this machine; `files` maps names to bytes, `asked` lists the requests."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.asked = {}, []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        body = self.server.files.get(self.path.lstrip("/"))
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def mirror(real_files, nowhere, monkeypatch):
    server = Server()
    server.files = {path.name: path.read_bytes() for path in real_files.iterdir()}
    monkeypatch.setenv(mirrors.MIRRORS_VARIABLE, server.address)
    yield server
    server.shutdown()
    server.server_close()


def test_download_verifies_and_leaves_nothing_else(mirror, nowhere):
    data = fm.fashion_mnist()
    assert data.folder == nowhere
    assert sorted(path.name for path in nowhere.iterdir()) == sorted(mirror.files)
    fm.fashion_mnist()
    assert len(mirror.asked) == 4  # the second time they are there


def test_download_goes_into_root(mirror, tmp_path, nowhere):
    assert fm.fashion_mnist(tmp_path / "a" / "b").folder == tmp_path / "a" / "b"
    assert not nowhere.exists()


def test_a_mirror_that_fails_is_followed_by_the_next(mirror, monkeypatch, nowhere):
    broken = Server()
    broken.files = {**mirror.files, "t10k-labels-idx1-ubyte.gz": b"<html>moved</html>"}
    monkeypatch.setenv(
        mirrors.MIRRORS_VARIABLE,
        f"http://127.0.0.1:9 http://. http://[ nonsense apt:-o {broken.address}/nothing "
        f"{broken.address} {mirror.address}",
    )
    fm.fashion_mnist()
    broken.shutdown()
    broken.server_close()
    assert mirror.asked == ["/t10k-labels-idx1-ubyte.gz"]


def test_a_mirror_that_served_is_asked_first_for_the_next_file(mirror, monkeypatch, nowhere):
    dead = Server()
    monkeypatch.setenv(mirrors.MIRRORS_VARIABLE, f"{dead.address} {mirror.address}")
    fm.fashion_mnist()
    dead.shutdown()
    dead.server_close()
    assert len(dead.asked) == 1 and len(mirror.asked) == 4


def test_a_download_is_completed_in_one_release_only(mirror, monkeypatch, nowhere, real_files):
    nowhere.mkdir(parents=True)
    name = f"{published_files.TRAIN_IMAGES}.gz"
    (nowhere / name).write_bytes(mirror.files[name])
    as_earlier_release(real_files, monkeypatch, *published_files.SIZES)
    mirror.files = {path.name: path.read_bytes() for path in real_files.iterdir()}
    with pytest.raises(DatasetError, match="the release of 2017-08-26, not of 2017-08-31"):
        fm.fashion_mnist()
    assert [path.name for path in nowhere.iterdir()] == [name]


def test_an_interrupted_download_is_completed(mirror, nowhere, real_files):
    nowhere.mkdir(parents=True)
    (nowhere / "train-images-idx3-ubyte.gz").write_bytes(mirror.files["train-images-idx3-ubyte.gz"])
    fm.fashion_mnist()
    assert "/train-images-idx3-ubyte.gz" not in mirror.asked and len(mirror.asked) == 3


def test_a_damaged_file_in_the_way_is_never_replaced(mirror, nowhere):
    nowhere.mkdir(parents=True)
    (nowhere / "t10k-labels-idx1-ubyte.gz").write_bytes(b"mine")
    with pytest.raises(DatasetError, match="t10k-labels-idx1-ubyte.gz is damaged"):
        fm.fashion_mnist()
    assert (nowhere / "t10k-labels-idx1-ubyte.gz").read_bytes() == b"mine"
    assert mirror.asked == []


def test_no_network_names_the_package_and_the_option(nowhere):
    with pytest.raises(DatasetError) as failure:
        gb.load_data_fashion_mnist(256)
    assert "dataset-fashion-mnist" in str(failure.value) and "--data" in str(failure.value)
    assert "no connection" in str(failure.value)
    assert list(nowhere.iterdir()) == []


def test_a_mirror_that_sends_without_end_is_cut_off(mirror, tmp_path):
    with pytest.raises(download.MirrorError, match="more than 1,000 bytes"):
        download.fetch(mirror.address, "t10k-labels-idx1-ubyte.gz", tmp_path, limit=1_000)


def test_full_disk_while_downloading(mirror, nowhere, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download, "open", full, raising=False)
    with pytest.raises(DatasetError, match=r"into .*\(No space left on device\): make room"):
        fm.fashion_mnist()
    assert list(nowhere.iterdir()) == []


def test_unwritable_cache(mirror, nowhere):
    nowhere.parent.parent.mkdir(parents=True)
    nowhere.parent.write_text("a file where the folder should be")
    with pytest.raises(DatasetError, match="cannot be downloaded into .*or MXNET_HOME"):
        fm.fashion_mnist()


def test_two_processes_at_once(mirror, nowhere):
    hide = "from gluonbook.data import folders; folders.SYSTEM_FOLDER = folders.Path('/none')"
    code = f"{hide}; import gluonbook as gb; print(len(gb.load_data_fashion_mnist(256)[0]))"
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [process.communicate(timeout=120)[0] for process in processes] == ["235\n"] * 3
    assert sorted(path.name for path in nowhere.iterdir()) == sorted(mirror.files)

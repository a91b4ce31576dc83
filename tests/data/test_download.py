"""One mirror: whatever it does, it serves the file or is a mirror that failed, and in time."""

from __future__ import annotations

import contextlib
import errno
import os
import socketserver
import subprocess
import threading

from gluonbook.data import download
from gluonbook.data.download import MirrorError, answers, fetch
import pytest

CONTENT = bytes(range(256)) * 4
OK = b"HTTP/1.1 200 OK\r\n"
LIMIT = 2_000_000


class Server(socketserver.ThreadingTCPServer):
    """Lets `respond` write the whole answer to every request, headers and all."""

    daemon_threads = True

    def __init__(self, respond):
        super().__init__(("127.0.0.1", 0), Handler)
        self.respond, self.stopped = respond, threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        while self.rfile.readline().strip():
            pass
        with contextlib.suppress(OSError):  # the client may have gone
            self.server.respond(self.wfile.write, self.server.stopped)


@pytest.fixture
def serve():
    """Starts a mirror that answers by the given function or bytes, and returns its address."""
    servers = []

    def start(answer):
        respond = answer if callable(answer) else lambda write, stopped: write(answer)
        servers.append(Server(respond))
        return servers[-1].address

    yield start
    for server in servers:
        server.stopped.set()
        server.shutdown()
        server.server_close()


def fetched(address, folder):
    return fetch(address, "some.gz", folder, limit=LIMIT).read_bytes()


# --- the time that a mirror may take --------------------------------------------------------


def test_a_mirror_that_sends_a_byte_every_3_seconds_is_given_up(serve, tmp_path, monkeypatch):
    now, watched = [0], threading.Event()

    def monotonic():
        watched.set()
        return now[0]

    def drip(write, stopped):
        watched.wait()  # a busy machine may begin to look at the clock late
        write(OK + b"Content-Length: 1024\r\n\r\n")
        for i in range(1024):
            write(CONTENT[i : i + 1])
            now[0] += 3

    monkeypatch.setattr(download, "monotonic", monotonic)
    with pytest.raises(MirrorError, match="sends less than 10,000 bytes a second"):
        fetched(serve(drip), tmp_path)


@pytest.mark.parametrize(("rate", "enough"), [(20_000, True), (5_000, False)])
def test_the_rate_counts_from_the_beginning(rate, enough, serve, tmp_path, monkeypatch):
    content, path = CONTENT * 1000, tmp_path / "some.gz"
    monkeypatch.setattr(download, "monotonic", lambda: path.stat().st_size / rate)
    address = serve(OK + b"\r\n" + content)
    if enough:
        assert fetched(address, tmp_path) == content
    else:
        with pytest.raises(MirrorError, match="sends less than"):
            fetched(address, tmp_path)


def forever(beginning, more):
    def respond(write, stopped):
        write(beginning)
        while not stopped.wait(0.01):
            write(more)

    return respond


@pytest.mark.parametrize(
    "respond",
    [
        forever(b"", b""),
        forever(b"", b"H"),
        forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        forever(OK + b"A: ", b"a"),
        forever(OK + b"\r\n", b"a"),
        forever(OK + b"Transfer-Encoding: chunked\r\n\r\n1;", b"a"),
        forever(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
    ],
)
def test_a_mirror_that_never_ends_is_given_up_wherever_it_is(respond, serve, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "GRACE_SECONDS", 0.05)
    with pytest.raises(MirrorError, match="sends less than"):
        fetched(serve(respond), tmp_path)


def test_headers_that_never_end_are_no_answer(serve, monkeypatch):
    monkeypatch.setattr(download, "GRACE_SECONDS", 0.05)
    assert not answers(serve(forever(OK + b"A: ", b"a")))


# --- what a mirror may send -----------------------------------------------------------------


def shown(value):
    """The beginning of a long value, to name a test by."""
    return ascii(value[:20])


@pytest.mark.parametrize(
    "address",
    [
        "nonsense",
        "http://",
        "http://.",
        "http://..",
        "http://[",
        "http://*",
        "http://\u2024",
        "http://\udcff",
        "http://\x00",
        f"http://{'a' * 70}",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:x",
        "ftp://127.0.0.1",
        "file:///etc",
    ],
    ids=shown,
)
def test_an_address_that_is_none_is_a_failed_mirror(address, tmp_path):
    with pytest.raises(MirrorError) as failure:
        fetched(address, tmp_path)
    assert 0 < len(str(failure.value)) <= 120 and "\n" not in str(failure.value)
    assert not answers(address)


@pytest.mark.parametrize(
    "location",
    [
        b"http://[",
        b"//",
        b"http://.",
        b"http://127.0.0.1:99999",
        b"file:///etc/passwd",
        b"/" + b"x" * 60_000,
    ],
    ids=shown,
)
def test_a_redirect_to_nowhere_is_a_failed_mirror(location, serve, tmp_path):
    address = serve(b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\n\r\n")
    with pytest.raises(MirrorError) as failure:
        fetched(address, tmp_path)
    assert 0 < len(str(failure.value)) <= 120
    assert not answers(address)


def test_redirects_without_end_are_a_failed_mirror(serve, tmp_path):
    address = serve(b"HTTP/1.1 302 Found\r\nLocation: /again\r\n\r\n")
    with pytest.raises(MirrorError, match="redirects without end"):
        fetched(address, tmp_path)
    assert not answers(address)


@pytest.mark.parametrize("status", [b"204 No Content", b"302 Found", b"404 Not Found", b"500 Oh"])
def test_an_answer_without_the_file_is_told_by_its_status(status, serve, tmp_path):
    address = serve(b"HTTP/1.1 " + status + b"\r\n\r\n")
    with pytest.raises(MirrorError, match=f"HTTP {status[:3].decode()}"):
        fetched(address, tmp_path)
    assert answers(address)


@pytest.mark.parametrize("length", ["\u00b2", "-5", "", "1e3", "0x400", "9" * 5000], ids=shown)
def test_a_length_that_is_no_number_is_not_believed(length, serve, tmp_path):
    headers = OK + f"Content-Length: {length}\r\n\r\n".encode("latin-1")
    assert fetched(serve(headers + CONTENT), tmp_path) == CONTENT


@pytest.mark.parametrize("length", ["1025", "999999999999999999", "1024, 7"])
def test_a_body_that_is_too_short_is_a_failed_mirror(length, serve, tmp_path):
    headers = OK + f"Content-Length: {length}\r\n\r\n".encode()
    with pytest.raises(MirrorError):
        fetched(serve(headers + CONTENT), tmp_path)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A" * 100_000 + b"\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n400\r\n" + CONTENT[:9],
        OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n",
    ],
    ids=shown,
)
def test_an_answer_that_is_not_http_is_a_failed_mirror(answer, serve, tmp_path):
    with pytest.raises(MirrorError) as failure:
        fetched(serve(answer), tmp_path)
    assert 0 < len(str(failure.value)) <= 120


def test_the_file_is_kept_as_it_is_stored(serve, tmp_path):
    """A server may call a .gz file gzip-encoded, which browsers and `requests` would unpack."""
    headers = OK + b"Content-Encoding: gzip\r\nContent-Length: 1024\r\n\r\n"
    assert fetched(serve(headers + CONTENT), tmp_path) == CONTENT


def test_a_full_disk_is_no_fault_of_the_mirror(serve, tmp_path):
    (tmp_path / "some.gz").symlink_to("/dev/full")
    with pytest.raises(OSError) as failure:
        fetched(serve(OK + b"\r\n" + CONTENT), tmp_path)
    assert failure.value.errno == errno.ENOSPC


# --- Debian packages ------------------------------------------------------------------------


@pytest.fixture
def apt_get(tmp_path, monkeypatch):
    """Puts a script in place of ``apt-get``."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    if not download.shutil.which("dpkg-deb"):
        pytest.skip("no dpkg-deb here")

    def write(script):
        (tmp_path / "bin" / "apt-get").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / "apt-get").chmod(0o755)

    return write


@pytest.mark.parametrize("folder", ["/", ""])
def test_a_debian_package_is_unpacked_not_installed(folder, tmp_path, monkeypatch, apt_get):
    """With an ``apt-get`` of our own that has no lists until it updates, as on a new machine."""
    tree = tmp_path / "tree" / "usr" / "share" / "datasets"
    (tmp_path / "tree" / "DEBIAN").mkdir(parents=True)
    tree.mkdir(parents=True)
    (tmp_path / "tree" / "DEBIAN" / "control").write_text(
        "Package: some-data\nVersion: 1\nArchitecture: all\nMaintainer: x\nDescription: x\n"
    )
    (tree / "some.gz").write_bytes(b"content")
    subprocess.run(
        ["dpkg-deb", "-b", str(tmp_path / "tree"), str(tmp_path / "some-data_1_all.deb")],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    apt_get(
        f'case "$*" in *update) touch {tmp_path}/updated;; *"download -- some-data")\n'
        f"  test -e {tmp_path}/updated && cp {tmp_path}/some-data_1_all.deb .;; esac"
    )
    monkeypatch.chdir(tmp_path)
    scratch = (tmp_path if folder else tmp_path.relative_to(tmp_path)) / "scratch"
    scratch.mkdir()
    path = fetch("apt:some-data", "some.gz", scratch, limit=100)
    assert path.read_bytes() == b"content" and scratch in path.parents
    with pytest.raises(MirrorError, match="holds no other.gz"):
        fetch("apt:some-data", "other.gz", scratch, limit=100)


@pytest.mark.parametrize(
    "package",
    ["", "a", "-o", "-oDebug::NoLocking=1", "--help", "../ab", "a/b", "A-b", "ab\n", "ab*"],
)
def test_only_the_name_of_a_package_reaches_apt_get(package, tmp_path, apt_get):
    apt_get(f"touch {tmp_path}/called")
    with pytest.raises(MirrorError, match="not the name of a Debian package"):
        fetched(f"apt:{package}", tmp_path)
    assert not answers(f"apt:{package}") and not (tmp_path / "called").exists()


@pytest.mark.parametrize("package", ["dataset-fashion-mnist", "g++", "0ad", "libc6.1"])
def test_the_names_of_packages_are_accepted(package, apt_get):
    apt_get("")
    assert answers(f"apt:{package}")


def test_a_command_that_never_ends_is_given_up(tmp_path, monkeypatch, apt_get):
    monkeypatch.setattr(download, "PACKAGE_SECONDS", 0.05)
    apt_get("exec sleep 600")
    with pytest.raises(MirrorError, match="`apt-get` took more than"):
        fetched("apt:some-data", tmp_path)


def test_without_apt_the_debian_mirror_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MirrorError, match="no apt-get here"):
        fetched("apt:some-data", tmp_path)

"""The data set: the same pixels as the book's transform, and no damaged file goes unnoticed."""

from __future__ import annotations

import errno
import gzip
import hashlib
import http.server
import math
import os
import pwd
import struct
import subprocess
import sys
import threading

import gluonbook as gb
from gluonbook import doctor
from gluonbook.data import download, folders, image_batches, mirrors, published_files
from gluonbook.data import fashion_mnist as fm
from gluonbook.data.image_batches import ImageBatches
import mxnet as mx
from mxnet.gluon import data as gdata
import numpy as np
import pytest

# --- batches --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [None, 96, 224])
def test_pixels_and_labels_are_those_of_the_books_transform(dataset, size):
    transforms = gdata.vision.transforms
    steps = [transforms.Resize(size)] if size else []
    book = gdata.DataLoader(
        gdata.vision.FashionMNIST(root=str(dataset.folder), train=False)
        .take(100)
        .transform_first(transforms.Compose([*steps, transforms.ToTensor()])),
        batch_size=64,
    )
    _, test_iter = gb.load_data_fashion_mnist(64, size, dataset.folder, limit=64, limit_test=128)
    for (X, y), (their_X, their_y) in zip(test_iter, book):
        n = len(their_y)
        assert X.dtype == their_X.dtype == np.float32 and y.dtype == their_y.dtype == np.int32
        np.testing.assert_array_equal(X[:n].asnumpy(), their_X.asnumpy())
        np.testing.assert_array_equal(y[:n].asnumpy(), their_y.asnumpy())


@pytest.mark.parametrize("size", [None, 40])
def test_batches_know_their_images_as_they_stand_in_the_files(dataset, size):
    train_iter, test_iter = gb.load_data_fashion_mnist(
        16, size, dataset.folder, limit=50, limit_test=30, hold_out=100, seed=1
    )
    images, labels = (
        gzip.decompress(published_files.find_file(dataset.folder, name).read_bytes())
        for name in (fm.TRAIN_IMAGES, fm.TRAIN_LABELS)
    )
    for loader, first, count in ((train_iter, 0, 50), (test_iter, 60_000 - 100, 30)):
        assert loader.images.shape == (count, 1, 28, 28) and loader.images.dtype == np.uint8
        assert loader.images.tobytes() == images[16 + 784 * first :][: 784 * count]
        assert loader.labels.dtype == np.int32
        assert loader.labels.tolist() == list(labels[8 + first :][:count])
        assert (loader.release, loader.folder) == ("2017-08-31", dataset.folder)
        whole = fm.fashion_mnist(dataset.folder).train
        assert np.shares_memory(loader.images, whole.images)  # no second copy
        assert next(iter(loader))[0].shape == (16, 1, size or 28, size or 28)


def test_held_out_images_are_the_last_of_the_training_set(dataset):
    train_iter, test_iter = gb.load_data_fashion_mnist(
        64, root=dataset.folder, limit=59_990, hold_out=100
    )
    whole, _ = gb.load_data_fashion_mnist(64, root=dataset.folder)
    assert len(train_iter) == math.ceil(59_900 / 64) < len(whole)
    held_out = np.concatenate([y.asnumpy() for _, y in test_iter])
    np.testing.assert_array_equal(held_out, dataset.train.labels[-100:])
    for number in (0, 60_000):
        with pytest.raises(ValueError, match="hold_out must be a whole number"):
            gb.load_data_fashion_mnist(64, root=dataset.folder, hold_out=number)


def test_every_byte_scales_to_the_quotient_of_255():
    images = np.arange(256, dtype=np.uint8).reshape(256, 1, 1, 1)
    [(X, _)] = ImageBatches(images, np.zeros(256, np.int32), 256)
    expected = mx.nd.image.to_tensor(mx.nd.array(images.reshape(1, 256, 1, 1), dtype="uint8"))
    np.testing.assert_array_equal(X.asnumpy().ravel(), expected.asnumpy().ravel())


def test_batches_of_short_memory_have_the_same_pixels(dataset, monkeypatch):
    def one_epoch():
        batches = ImageBatches(
            dataset.test.images[:100], dataset.test.labels[:100], 32, size=50, shuffle=True, seed=3
        )
        return [X.asnumpy() for X, _ in batches]

    roomy = one_epoch()
    monkeypatch.setattr(image_batches, "available_memory", lambda: 2 * 100 * 50**2 - 1)
    monkeypatch.setattr(image_batches, "resize", _counting(image_batches.resize, calls := []))
    short = one_epoch()
    assert len(calls) == 4  # one for each batch
    for a, b in zip(roomy, short):
        np.testing.assert_array_equal(a, b)


def _counting(function, calls):
    def counted(*args):
        calls.append(args)
        return function(*args)

    return counted


@pytest.fixture
def numbered():
    """A data set whose pixel and label tell which image it is."""
    numbers = np.arange(10)
    images = numbers.astype(np.uint8).reshape(10, 1, 1, 1)
    return images, numbers.astype(np.int32)


def test_an_epoch_has_every_image_once_with_its_label(numbered):
    batches = ImageBatches(*numbered, batch_size=4, shuffle=True, seed=0)
    assert len(batches) == 3
    for _ in range(3):
        X, y = zip(*batches)
        assert [len(part) for part in y] == [4, 4, 2]
        labels = np.concatenate([part.asnumpy() for part in y])
        pixels = np.concatenate([part.asnumpy() for part in X]).ravel() * 255
        assert sorted(labels) == list(range(10))
        np.testing.assert_allclose(pixels, labels, rtol=1e-6)


def test_shuffling_differs_by_epoch_and_follows_the_seed(numbered):
    def epochs(seed=None):
        batches = ImageBatches(*numbered, batch_size=10, shuffle=True, seed=seed)
        return [tuple(y.asnumpy()) for _ in range(4) for _, y in batches]

    assert len(set(epochs(1))) == 4
    assert epochs(1) == epochs(1) != epochs(2)
    np.random.seed(5)
    drawn = epochs()
    np.random.seed(5)
    assert epochs() == drawn


def test_test_batches_keep_their_order(numbered):
    batches = ImageBatches(*numbered, batch_size=3)
    for _ in range(2):
        assert [int(v) for _, y in batches for v in y.asnumpy()] == list(range(10))


def test_a_batch_is_split_over_devices(numbered):
    batches = ImageBatches(*numbered, batch_size=9)
    parts = list(batches.split_batches([mx.cpu(0), mx.cpu(1)]))
    assert [[(len(y), y.context) for _, y in batch] for batch in parts] == [
        [(5, mx.cpu(0)), (4, mx.cpu(1))],
        [(1, mx.cpu(0))],  # fewer images than devices
    ]


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, "8", None])
def test_a_wrong_batch_size_is_named(batch_size):
    with pytest.raises(ValueError, match="batch_size must be a whole number of at least 1"):
        gb.load_data_fashion_mnist(batch_size)


def test_a_wrong_limit_is_named():
    with pytest.raises(ValueError, match="limit must be a whole number of at least 1, not 0"):
        gb.load_data_fashion_mnist(8, limit=0)


def test_call_forms_of_the_book(dataset):
    train_iter, test_iter = gb.load_data_fashion_mnist(batch_size=256)
    assert (len(train_iter), len(test_iter)) == (235, 40)  # 60,000 and 10,000 by 256, rounded up
    train_iter, _ = gb.load_data_fashion_mnist(256, root=str(dataset.folder))
    X, y = next(iter(train_iter))
    assert X.shape == (256, 1, 28, 28) and y.shape == (256,)
    _, test_iter = gb.load_data_fashion_mnist(256, None, "~/no-such-folder")
    assert not os.path.exists(os.path.expanduser("~/no-such-folder"))


# --- files ----------------------------------------------------------------------------------


def rewrite(path, change):
    """Apply `change` to a file's uncompressed bytes."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    change(content)
    path.write_bytes(gzip.compress(bytes(content), compresslevel=1))


def flip_a_bit(content):
    content[-1000] ^= 4


def flip_a_bit_of_the_header(content):
    content[7] ^= 1


def lengthen(content):
    content.append(0)


DAMAGES = {
    "missing file": lambda f: f.unlink(),
    "empty": lambda f: f.write_bytes(b""),
    "truncated archive": lambda f: f.write_bytes(f.read_bytes()[: f.stat().st_size // 2]),
    "truncated by its checksum": lambda f: f.write_bytes(f.read_bytes()[:-8]),
    "flipped bit in the archive": lambda f: f.write_bytes(
        f.read_bytes()[:3000] + bytes([f.read_bytes()[3000] ^ 1]) + f.read_bytes()[3001:]
    ),
    "flipped pixel": lambda f: rewrite(f, flip_a_bit),
    "flipped header": lambda f: rewrite(f, flip_a_bit_of_the_header),
    "one byte more": lambda f: rewrite(f, lengthen),
    "not gzip": lambda f: f.write_bytes(b"<!DOCTYPE html>\n" * 300),
    "larger than any": lambda f: f.write_bytes(bytes(60_000_000)),
    "a bomb": lambda f: f.write_bytes(gzip.compress(bytes(200_000_000), compresslevel=1)),
    "a folder": lambda f: (f.unlink(), f.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", [fm.TRAIN_LABELS, fm.TEST_IMAGES])
def test_a_damaged_file_is_named_and_kept(real_files, nowhere, damage, name):
    path = real_files / f"{name}.gz"
    DAMAGES[damage](path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(fm.DatasetError) as failure:
        if damage == "missing file":
            fm.read_folder(real_files)
        else:
            gb.load_data_fashion_mnist(256, root=real_files)
    message = str(failure.value)
    assert str(path) in message and "\n" not in message
    assert (path.read_bytes() if path.is_file() else None) == before
    assert not nowhere.exists()  # nothing was downloaded in its stead


def test_a_damaged_file_tells_what_was_expected_and_found(real_files):
    rewrite(path := real_files / "t10k-labels-idx1-ubyte.gz", flip_a_bit)
    found = hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()
    with pytest.raises(
        fm.DatasetError, match=f"expected the 10,008 bytes of t10k.*found .*{found}"
    ):
        fm.read_folder(real_files)


def test_swapped_files_are_told_apart(real_files):
    images, labels = (
        real_files / "t10k-labels-idx1-ubyte.gz",
        real_files / "train-labels-idx1-ubyte.gz",
    )
    a, b = images.read_bytes(), labels.read_bytes()
    images.write_bytes(b)
    labels.write_bytes(a)
    with pytest.raises(fm.DatasetError, match="expected train-labels.*found t10k-labels"):
        fm.read_folder(real_files)


def as_earlier_release(folder, monkeypatch, *names):
    """Make the files stand for the release that is known by its archives alone."""
    archives = {}
    for name in names:
        path = folder / f"{name}.gz"
        rewrite(path, flip_a_bit)
        archives[hashlib.sha1(path.read_bytes()).hexdigest()] = (published_files.EARLIER, name)
    monkeypatch.setattr(published_files, "ARCHIVES", archives)


def test_the_earlier_release_is_accepted_by_its_archives(real_files, monkeypatch):
    as_earlier_release(real_files, monkeypatch, *fm.SIZES)
    data = fm.read_folder(real_files)
    assert data.release == "2017-08-26"
    assert data.train.images.shape == (60_000, 1, 28, 28)


def test_the_archives_known_are_the_ones_mxnet_distributes(real_files):
    theirs = gdata.vision.FashionMNIST(root=str(real_files))
    assert set(published_files.ARCHIVES) == {
        theirs._train_data[1],
        theirs._train_label[1],
        theirs._test_data[1],
        theirs._test_label[1],
    }


def test_mixed_releases_are_refused(real_files, monkeypatch):
    as_earlier_release(real_files, monkeypatch, fm.TRAIN_LABELS)
    with pytest.raises(fm.DatasetError, match="mixes two releases.*train-labels.* of 2017-08-26"):
        fm.read_folder(real_files)


def test_content_equals_an_independent_reading(dataset):
    path = published_files.find_file(dataset.folder, fm.TEST_IMAGES)
    raw = gzip.decompress(path.read_bytes())
    assert struct.unpack(">IIII", raw[:16]) == (2051, 10_000, 28, 28)
    assert dataset.test.images.tobytes() == raw[16:]
    assert np.bincount(dataset.train.labels).tolist() == [6000] * 10
    assert dataset.release == "2017-08-31"


def test_files_that_have_not_changed_are_read_once(real_files):
    images, labels = fm.fashion_mnist(real_files).train
    again = fm.fashion_mnist(real_files)
    assert again.train.images is images and again.train.labels is labels
    for array in (*again.train, *again.test):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    rewrite(path := real_files / f"{fm.TRAIN_IMAGES}.gz", flip_a_bit)
    with pytest.raises(fm.DatasetError, match=path.name):
        fm.fashion_mnist(real_files)


def test_what_was_read_is_not_changed_through_mxnets_class(real_files, dataset):
    theirs = gdata.vision.FashionMNIST(root=str(real_files), train=False)
    theirs._label[:] = 0
    assert fm.fashion_mnist(real_files).test.labels[:3].tolist() == dataset.test.labels[:3].tolist()


def test_uncompressed_files_and_torchvisions_folder(real_files, nowhere):
    raw = real_files / "root" / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for path in real_files.glob("*.gz"):
        (raw / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    assert fm.fashion_mnist(real_files / "root").folder == raw


def test_places_are_searched_in_order(real_files, nowhere, tmp_path):
    nowhere.parent.mkdir(parents=True)
    real_files.rename(nowhere)
    assert fm.fashion_mnist().folder == nowhere
    assert fm.fashion_mnist(tmp_path / "elsewhere").folder == nowhere
    nowhere.rename(tmp_path / "system")
    assert fm.fashion_mnist().folder == tmp_path / "system"


def test_root_that_is_a_file(tmp_path):
    (tmp_path / "root").write_text("mine")
    with pytest.raises(fm.DatasetError, match="root must be a folder, and .*root is a file"):
        gb.load_data_fashion_mnist(256, root=tmp_path / "root")
    assert (tmp_path / "root").read_text() == "mine"


def test_a_root_in_the_home_of_nobody_is_named():
    with pytest.raises(fm.DatasetError, match="~nouser/x cannot be found.* no home folder ~nouser"):
        fm.fashion_mnist("~nouser/x")


def test_a_root_too_long_for_a_path_is_told(nowhere):
    with pytest.raises(fm.DatasetError, match=r"cannot be downloaded into .*File name too long"):
        fm.fashion_mnist("x" * 5000)


@pytest.fixture
def homeless(nowhere, monkeypatch):
    """As for a user without a name in a container: no HOME, and no entry in the list of users."""

    def getpwuid(uid):
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", getpwuid)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("MXNET_HOME")


def test_without_a_home_the_systems_folder_is_found(homeless, real_files, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(folders, "SYSTEM_FOLDER", real_files)
    assert fm.fashion_mnist().folder == real_files
    assert fm.fashion_mnist(tmp_path / "elsewhere").folder == real_files
    theirs = gdata.vision.FashionMNIST(root=os.path.join(mx.base.data_dir(), "x"), train=False)
    assert len(theirs) == 10_000
    [found] = doctor._data_set()
    assert found.found.startswith(str(real_files)) and found.problem is None


def test_without_a_home_nothing_is_downloaded_into_a_folder_named_so(
    homeless, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    told = r"no home folder .*: set MXNET_HOME .* with --data \(root= from Python\)"
    with pytest.raises(fm.DatasetError, match=told):
        fm.fashion_mnist()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_may_not_be_searched_hides_no_other(nowhere, real_files, monkeypatch):
    stat = os.stat

    def refuse(path, *args, **kwargs):
        if str(path).startswith(str(nowhere)):
            raise PermissionError(errno.EACCES, "Permission denied")
        return stat(path, *args, **kwargs)

    monkeypatch.setattr(folders, "SYSTEM_FOLDER", real_files)
    monkeypatch.setattr(os, "stat", refuse)
    assert fm.fashion_mnist().folder == real_files


def test_unreadable_files(real_files, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(fm.DatasetError, match="train-images.* cannot be read: Permission denied"):
        fm.read_folder(real_files)


def test_mxnets_own_class_reads_the_same_files(real_files, nowhere, dataset):
    before = {path.name: path.stat().st_mtime_ns for path in real_files.iterdir()}
    theirs = gdata.vision.FashionMNIST(root=str(real_files), train=False)
    image, label = theirs[7]
    np.testing.assert_array_equal(image.asnumpy()[:, :, 0], dataset.test.images[7, 0])
    assert label == dataset.test.labels[7] and len(theirs) == 10_000
    assert {path.name: path.stat().st_mtime_ns for path in real_files.iterdir()} == before


# --- downloading ----------------------------------------------------------------------------


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
    name = f"{fm.TRAIN_IMAGES}.gz"
    (nowhere / name).write_bytes(mirror.files[name])
    as_earlier_release(real_files, monkeypatch, *fm.SIZES)
    mirror.files = {path.name: path.read_bytes() for path in real_files.iterdir()}
    with pytest.raises(fm.DatasetError, match="the release of 2017-08-26, not of 2017-08-31"):
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
    with pytest.raises(fm.DatasetError, match="t10k-labels-idx1-ubyte.gz is damaged"):
        fm.fashion_mnist()
    assert (nowhere / "t10k-labels-idx1-ubyte.gz").read_bytes() == b"mine"
    assert mirror.asked == []


def test_no_network_names_the_package_and_the_option(nowhere):
    with pytest.raises(fm.DatasetError) as failure:
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
    with pytest.raises(fm.DatasetError, match=r"into .*\(No space left on device\): make room"):
        fm.fashion_mnist()
    assert list(nowhere.iterdir()) == []


def test_unwritable_cache(mirror, nowhere):
    nowhere.parent.parent.mkdir(parents=True)
    nowhere.parent.write_text("a file where the folder should be")
    with pytest.raises(fm.DatasetError, match="cannot be downloaded into .*or MXNET_HOME"):
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

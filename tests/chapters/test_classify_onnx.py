"""The script that classifies with an ONNX file, where there is no MXNet."""

from __future__ import annotations

import gzip
import hashlib
from importlib import metadata
import json
import runpy
import struct
import subprocess
import sys
import warnings
import zlib

import gluonbook as gb
from gluonbook.data.fashion_mnist import CLASSES
from gluonbook.export import fashion_mnist_to_onnx, to_onnx
from gluonbook.export.__main__ import main as export
from gluonbook.predict import main as predict
from gluonbook.predictions.classifier import Classifier
from gluonbook.predictions.images import read_image
import mxnet as mx
from mxnet import nd
import numpy as np
from PIL import Image, ImageFile
import pytest

from ..conftest import CHAPTERS, needs_onnx

pytestmark = needs_onnx

#: What the script says it needs, and what onnxruntime's import needs.
PACKAGES = ("numpy", "pillow", "onnxruntime")

RUN = """
import importlib.util, runpy, sys
sys.path.append(sys.argv.pop(1))
found = [name for name in ("mxnet", "gluonbook", "onnx") if importlib.util.find_spec(name)]
assert not found, found
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


#: An image, 28×28.
EYE = np.eye(28, dtype=np.uint8) * 255


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """A folder with links to the files of `PACKAGES`, and no others."""
    folder = tmp_path_factory.mktemp("packages")
    for name in PACKAGES:
        for top in {path.parts[0] for path in metadata.files(name)} - {".."}:
            (folder / top).symlink_to(metadata.distribution(name).locate_file(top))
    return folder


@pytest.fixture
def classify(packages, tmp_path):
    """Runs the script with Python's own library and `packages`, without site-packages."""

    def run(*argv):
        script = [str(CHAPTERS / "classify_onnx.py"), *map(str, argv)]
        result = subprocess.run(
            [sys.executable, "-I", "-S", "-c", RUN, str(packages), *script],
            cwd=tmp_path,
            env={"HOME": str(tmp_path / "home")},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert not (tmp_path / "home").exists()  # onnxruntime keeps no identifier of its own there
        return result

    return run


@pytest.fixture
def net(tmp_path):
    """A LeNet for images of 40 pixels, random but decided, as a classifier and as a file."""
    net = gb.lenet()
    net.initialize(mx.init.Normal(0.5))
    net(nd.zeros((1, 1, 40, 40)))
    fashion_mnist_to_onnx(net, tmp_path / "lenet.onnx", 40, "lenet")
    return Classifier(net, 40)


def test_the_test_images(net, classify, dataset):
    result = classify("lenet.onnx", "--data", dataset.folder)
    assert result.returncode == 0 and result.stderr == "", result
    name, _, accuracy, _, _, *classes = result.stdout.splitlines()
    assert name == "lenet: images ['N', 1, 40, 40], 10 classes"
    predicted = net.probabilities(dataset.test.images).argmax(axis=1)
    expected = (predicted == dataset.test.labels).mean()
    assert accuracy.startswith("10,000 test images, accuracy 0.")
    assert float(accuracy.split()[-1]) == pytest.approx(expected, abs=5e-4)
    assert [line[:12].strip() for line in classes] == list(CLASSES)


def test_the_answer_is_printed_as_predict_prints_it(lenet_run, tiny, capsys, monkeypatch):
    """Of a net that has hardly been trained: some of the classes are never answered."""
    kinds = (("images-idx3", 16, tiny.test.images), ("labels-idx1", 8, tiny.test.labels))
    for kind, header, array in kinds:
        content = bytes(header) + array.astype(np.uint8).tobytes()
        (lenet_run / f"t10k-{kind}-ubyte.gz").write_bytes(gzip.compress(content))
    net, photo = lenet_run / "lenet.onnx", lenet_run / "photo.png"
    Image.fromarray(tiny.test.images[1, 0]).save(photo)
    printed = []
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    export([str(lenet_run)])
    for images in ([], [str(photo)]):
        capsys.readouterr()
        predict([str(lenet_run), *images])
        printed.append(capsys.readouterr().out)
    assert printed[0].startswith("32 test images, accuracy 0.") and "-" in printed[0]
    for argv, answer in (
        ([net, "--data", lenet_run], printed[0]),
        ([net, photo, "--data", lenet_run], printed[1]),
        ([net, photo, "--data", lenet_run, photo], printed[1] * 2),
    ):
        result = run_in_process(monkeypatch, capsys, *argv)
        *described, answered = result.stdout.split("\n", 2)
        assert answered == answer and len(described) == 2, result


def test_image_files(net, classify, dataset, tmp_path):
    """One of the data set's; and the same as a photo: large, in color and on a light ground."""
    image = dataset.test.images[1, 0]
    Image.fromarray(image).save(tmp_path / "small.png")
    photo = Image.new("RGB", (600, 400), "white")
    photo.paste(Image.fromarray(255 - image).resize((280, 280)), (200, 60))
    photo.save(tmp_path / "photo.png")
    result = classify("lenet.onnx", "small.png", "photo.png")
    assert result.returncode == 0, result
    *_, small, photo = result.stdout.splitlines()
    [row] = net.probabilities(dataset.test.images[1:2])
    best = row.argmax()
    assert small.startswith(f"small.png: {CLASSES[best]} {row[best]:.0%}"[:-2])
    assert photo.startswith("photo.png: ") and photo.count("%") == 3


def photos(shoe):
    """Twenty-odd ways to keep a picture of a thing: image and arguments of `Image.save` by name."""
    thing = np.asarray(Image.fromarray(shoe).resize((130, 130), Image.Resampling.BICUBIC))
    dark = np.pad(thing, [(40, 31), (15, 60)])  # a tall image, with the thing beside its middle
    light = 255 - dark
    tints = (light * weight for weight in (1.0, 0.8, 0.9))
    color = Image.fromarray(np.stack([tint.astype(np.uint8) for tint in tints], axis=2))
    alpha = Image.fromarray(np.where(dark > 20, 255, dark * 5).astype(np.uint8))
    cutout = np.where(light == 255, 0, np.maximum(light, 1))  # transparent where it is black
    deep = (light.astype(np.uint16) << 8) + 129
    palette = color.quantize(64)
    held = {value: Image.Exif() for value in range(1, 9)}
    for value, exif in held.items():
        exif[0x0112] = value
    gray = Image.fromarray(light)
    return {
        **{f"exif{value}.jpg": (gray, {"exif": exif}) for value, exif in held.items()},
        "exif6.png": (gray, {"exif": held[6]}),
        "dark.png": (Image.fromarray(dark), {}),
        "gray.jpg": (gray, {"quality": 60}),
        "color.jpg": (color, {"quality": 80}),
        "cmyk.jpg": (color.convert("CMYK"), {}),
        "16 bits.png": (Image.fromarray(deep), {}),
        "16 bits, exif5.png": (Image.fromarray(deep), {"exif": held[5]}),
        "16 bits, clear.png": (
            Image.fromarray(cutout.astype(np.uint16) * 256),
            {"transparency": 0},
        ),
        "8 bits, clear.png": (Image.fromarray(cutout.astype(np.uint8)), {"transparency": 0}),
        "palette.png": (palette, {}),
        "palette, clear.png": (palette, {"transparency": palette.getpixel((0, 0))}),
        "la.png": (Image.merge("LA", (gray, alpha)), {}),
        "rgba.png": (Image.merge("RGBA", (*color.split(), alpha)), {}),
        "1 bit.png": (gray.convert("1"), {}),
        "28, light.png": (Image.fromarray(255 - shoe), {}),
        "28, dark.png": (Image.fromarray(shoe), {}),
        "a line.png": (Image.fromarray(np.pad(np.full((2, 300), 200, np.uint8), 9)), {}),
    }


def test_a_photo_becomes_the_image_that_predict_makes_of_it(net, dataset, tmp_path, monkeypatch):
    images = photos(dataset.test.images[0, 0])
    for name, (image, how) in images.items():
        image.save(tmp_path / name, **how)
    script = str(CHAPTERS / "classify_onnx.py")
    monkeypatch.setattr("sys.argv", [script, *(str(tmp_path / n) for n in ("lenet.onnx", *images))])
    with warnings.catch_warnings():
        read = runpy.run_path(script)["read"]
    for name in images:
        expected = read_image(tmp_path / name)
        assert expected.shape == (28, 28) and len(np.unique(expected)) > 1
        np.testing.assert_array_equal(read(tmp_path / name), expected, err_msg=name)


def ended(result):
    """The sentence that the script ended with, alone."""
    assert result.returncode == 2 and result.stderr.startswith("error: "), result
    assert result.stderr.count("\n") == 1 and result.stderr[:-1].isprintable(), result
    return result.stderr


def test_files_that_do_not_serve_end_in_one_sentence(net, classify, tmp_path):
    (tmp_path / "text.onnx").write_text("no net")
    (tmp_path / "text.png").write_text("no image")
    to_onnx(net.net, tmp_path / "bare.onnx", (1, 1, 40, 40))
    for argv, told in (
        (["none.onnx", "text.png"], "there is no file none.onnx"),
        (["lenet.onnx", "none\x1b[2J.png"], "there is no file none\\x1b[2J.png"),
        (["text.onnx", "text.png"], "text.onnx is not an ONNX file that onnxruntime reads"),
        (["bare.onnx", "text.png"], "bare.onnx does not say what its classes and its inputs are"),
        (["lenet.onnx", "text.png"], "text.png cannot be read as a PNG or JPEG image"),
        (["lenet.onnx", "--data", "."], "there is no file t10k-images-idx3-ubyte.gz"),
    ):
        assert told in ended(classify(*argv))


def run_in_process(monkeypatch, capsys, *argv):
    """As `classify` gives it, without the start of a process."""
    monkeypatch.setattr("sys.argv", ["classify_onnx.py", *map(str, argv)])
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", False)  # GluonCV switches it on
    code = 0
    try:
        with warnings.catch_warnings():
            runpy.run_path(str(CHAPTERS / "classify_onnx.py"))
    except SystemExit as end:
        code = end.code
    printed = capsys.readouterr()
    return subprocess.CompletedProcess(argv, code, printed.out, printed.err)


def test_metadata_that_does_not_serve_ends_in_one_sentence(net, tmp_path, monkeypatch, capsys):
    import onnx

    model = onnx.load(tmp_path / "lenet.onnx")
    sound = {each.key: each.value for each in model.metadata_props}
    transform = json.loads(sound["transform"])
    image = tmp_path / "image.png"
    Image.fromarray(EYE).save(image)
    says_nothing = "does not say what its classes and its inputs are"
    for changed, told in (
        ({"classes": "{"}, says_nothing),
        ({"classes": "7"}, says_nothing),
        ({"transform": "[" * 10_000}, says_nothing),
        ({"classes": json.dumps(CLASSES[:9])}, "does not give a number for each class"),
        *(
            ({"transform": json.dumps(other)}, "takes other inputs than this script makes")
            for other in (
                None,
                [],
                {**transform, "to": [10**9, 10**9]},
                {**transform, "to": 40},
                {**transform, "divide_by": 0},
                {**transform, "from": [28, 27]},
                {**transform, "resize": "nearest"},
                {**transform, "then": "subtract the mean"},
            )
        ),
    ):
        onnx.helper.set_model_props(model, {**sound, **changed})
        onnx.save(model, tmp_path / "changed.onnx")
        argv = (tmp_path / "changed.onnx", image)
        assert told in ended(run_in_process(monkeypatch, capsys, *argv)), changed


def test_what_a_file_names_obeys_no_terminal(net, tmp_path, monkeypatch, capsys):
    import onnx

    model = onnx.load(tmp_path / "lenet.onnx")
    sound = {each.key: each.value for each in model.metadata_props}
    names = json.dumps([f"{name}\x1b]0;title\x07" for name in CLASSES])
    onnx.helper.set_model_props(model, {**sound, "classes": names, "name": "net\x1b[2J"})
    onnx.save(model, tmp_path / "lenet.onnx")
    image = tmp_path / "\x1b[31m é.png"
    Image.fromarray(EYE).save(image)
    result = run_in_process(monkeypatch, capsys, tmp_path / "lenet.onnx", image)
    assert result.returncode == 0 and result.stdout.replace("\n", "").isprintable(), result
    assert "\\x1b[31m é.png: " in result.stdout and "\\x1b]0;title\\x07 " in result.stdout


def test_weights_that_are_no_numbers_give_no_answer(net, tmp_path, monkeypatch, capsys):
    import onnx

    model = onnx.load(tmp_path / "lenet.onnx")
    for tensor in model.graph.initializer:
        if tensor.name.endswith("bias"):
            broken = np.full(tensor.dims, np.nan, np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(broken, tensor.name))
    onnx.save(model, tmp_path / "lenet.onnx")
    Image.fromarray(EYE).save(tmp_path / "image.png")
    argv = (tmp_path / "lenet.onnx", tmp_path / "image.png")
    told = ended(run_in_process(monkeypatch, capsys, *argv))
    assert "lenet.onnx is damaged: it does not give a number for each class" in told


def with_text_bomb(path):
    """Put a compressed text of 100 MB into a PNG."""
    content = path.read_bytes()
    text = b"zTXt" + b"comment\0\0" + zlib.compress(bytes(10**8), 9)
    size, check = struct.pack(">I", len(text) - 4), struct.pack(">I", zlib.crc32(text))
    path.write_bytes(content[:33] + size + text + check + content[33:])


def test_a_flipped_bit_of_a_listed_net_is_found(net, tmp_path, monkeypatch, capsys):
    path = tmp_path / "lenet.onnx"
    Image.fromarray(EYE).save(tmp_path / "eye.png")
    content = bytearray(path.read_bytes())
    digest = hashlib.sha256(content).hexdigest()
    (tmp_path / "SHA256SUMS").write_text(f"# a title\n{digest}  lenet.onnx\n")
    assert run_in_process(monkeypatch, capsys, path, tmp_path / "eye.png").returncode == 0
    content[len(content) // 2] ^= 1  # among the weights
    path.write_bytes(content)
    told = ended(run_in_process(monkeypatch, capsys, path, tmp_path / "eye.png"))
    assert f"{path} is damaged, or was changed" in told


def test_images_that_do_not_serve_end_in_one_sentence(net, tmp_path, monkeypatch, capsys):
    Image.fromarray(EYE).save(tmp_path / "bomb.png")
    with_text_bomb(tmp_path / "bomb.png")
    noise = np.random.RandomState(0).randint(256, size=(90, 80), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "whole.png").read_bytes()[:3000])
    Image.new("L", (80, 90), 255).save(tmp_path / "empty.png")
    Image.new("1", (65_536, 1)).save(tmp_path / "thread.png")
    Image.fromarray(noise.astype(np.int32)).save(tmp_path / "levels.tiff")
    for name, told in (
        ("bomb.png", "bomb.png cannot be read as a PNG or JPEG image"),
        ("half.png", "half.png cannot be read as a PNG or JPEG image"),
        ("levels.tiff", "levels.tiff cannot be read as a PNG or JPEG image"),
        ("empty.png", "there is nothing in "),
        ("thread.png", "it has too many pixels: reduce it first"),
    ):
        argv = (tmp_path / "lenet.onnx", tmp_path / name)
        assert told in ended(run_in_process(monkeypatch, capsys, *argv))


def test_archives_that_do_not_serve_end_in_one_sentence(net, tmp_path, monkeypatch, capsys):
    images, labels = bytes(16 + 28 * 28), bytes(8 + 1)
    for kept in (
        (b"no archive", gzip.compress(labels)),
        (gzip.compress(images)[:-9], gzip.compress(labels)),
        (gzip.compress(images[:-1]), gzip.compress(labels)),
        (gzip.compress(images), gzip.compress(labels[:-1] + b"\x0a")),
        (gzip.compress(images[:16]), gzip.compress(labels[:8])),
    ):
        for name, content in zip(("images-idx3", "labels-idx1"), kept):
            (tmp_path / f"t10k-{name}-ubyte.gz").write_bytes(content)
        argv = (tmp_path / "lenet.onnx", "--data", tmp_path)
        told = ended(run_in_process(monkeypatch, capsys, *argv))
        assert "does not hold the test images of Fashion-MNIST" in told

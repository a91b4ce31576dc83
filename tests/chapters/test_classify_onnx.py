"""The script that classifies with an ONNX file, where there is no MXNet."""

from __future__ import annotations

from importlib import metadata
import subprocess
import sys

import gluonbook as gb
from gluonbook.data.fashion_mnist import CLASSES
from gluonbook.export import fashion_mnist_to_onnx, to_onnx
from gluonbook.predictions.classifier import Classifier
import mxnet as mx
from mxnet import nd
from PIL import Image
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
    name, _, accuracy, *classes = result.stdout.splitlines()
    assert name == "lenet: images ['N', 1, 40, 40], 10 classes"
    predicted = net.probabilities(dataset.test.images).argmax(axis=1)
    expected = (predicted == dataset.test.labels).mean()
    assert accuracy.startswith("10,000 test images, accuracy 0.")
    assert float(accuracy.split()[-1]) == pytest.approx(expected, abs=5e-4)
    assert [line[:12].strip() for line in classes] == list(CLASSES)


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


def test_files_that_do_not_serve_end_in_one_sentence(net, classify, tmp_path):
    (tmp_path / "text.onnx").write_text("no net")
    (tmp_path / "text.png").write_text("no image")
    to_onnx(net.net, tmp_path / "bare.onnx", (1, 1, 40, 40))
    for argv, told in (
        (["none.onnx", "text.png"], "there is no file none.onnx"),
        (["lenet.onnx", "none.png"], "there is no file none.png"),
        (["text.onnx", "text.png"], "text.onnx is not an ONNX file that onnxruntime reads"),
        (["bare.onnx", "text.png"], "bare.onnx does not say what its classes and its inputs are"),
        (["lenet.onnx", "text.png"], "text.png is not an image that Pillow reads"),
    ):
        result = classify(*argv)
        assert result.returncode == 2 and told in result.stderr, result
        assert "Traceback" not in result.stderr

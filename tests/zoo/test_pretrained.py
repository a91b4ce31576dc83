"""The nets that come trained: their files, their cards, and what each command makes of a name."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
import shutil
import subprocess
import sys

import gluonbook as gb
from gluonbook import history, predict
from gluonbook.data.fashion_mnist import CLASSES
from gluonbook.export import __main__ as export
from gluonbook.summary import num_parameters
from gluonbook.system.errors import Failure
from gluonbook.zoo import pretrained
from gluonbook.zoo.pretrained import PRETRAINED
from mxnet import autograd, gluon, nd
import numpy as np
from PIL import Image
import pytest
from safetensors import numpy as safetensors

from ..conftest import NO_TORCH, needs_onnx

ROOT = Path(__file__).parents[2]
NAMES = [each.name for each in PRETRAINED]
#: Images near a border between two classes fall to either side of it by the processor's rounding.
MOST_OTHERS = 5


def trained(name):
    return pretrained.find(name)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.excepthook", sys.__excepthook__)


def test_all_files_together_have_at_most_8_megabytes():
    files = list(pretrained.FOLDER.iterdir())
    assert {path.name for path in files} == {
        f"{name}.{kind}" for name in NAMES for kind in ("safetensors", "json", "csv")
    }
    assert sum(path.stat().st_size for path in files) <= 8e6


@pytest.mark.parametrize("name", NAMES)
def test_the_weights_are_those_of_the_card(name):
    card, content = trained(name).card(), trained(name).weights.read_bytes()
    assert hashlib.sha256(content).hexdigest() == trained(name).sha256 == card["sha256"]
    assert len(content) == card["bytes"]
    weights = safetensors.load(content)
    counted = {place: values.size for place, values in weights.items() if "running" not in place}
    assert sum(counted.values()) == card["parameters"]
    assert (card["model"], card["size"]) == (trained(name).model, trained(name).size)
    for place, values in weights.items():
        assert values.dtype == (np.float16 if values.ndim > 1 else np.float32), place


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_was_chosen_by_the_images_that_were_held_out(name, dataset):
    card = trained(name).card()
    held_out = {seed: row["held_out"] for seed, row in card["seeds"].items()}
    assert card["shipped"] == max(held_out, key=held_out.get)
    assert card["shipped"].startswith(str(card["training"]["seed"]))
    lines = trained(name).history.read_text().split()
    assert len(lines) == 1 + card["recipe"]["num_epochs"]
    # In the training it was counted in bfloat16.
    assert abs(float(lines[-1].split(",")[3]) - max(held_out.values())) < 0.004
    images, labels = dataset.holding_out(5000).test
    right = predict.load_run(name).probabilities(images).argmax(axis=1) == labels
    assert abs(right.mean() - max(held_out.values())) <= MOST_OTHERS / 5000


@pytest.mark.parametrize("name", NAMES)
def test_a_card_states_what_the_test_images_tell(name, dataset, capsys):
    card = trained(name).card()
    matrix = np.array(card["confusion"])
    assert matrix.sum(axis=1).tolist() == np.bincount(dataset.test.labels).tolist()
    assert card["accuracy"] == matrix.trace() / len(dataset.test.labels)
    for i, (label, figures) in enumerate(card["classes"].items()):
        assert label == CLASSES[i]
        assert figures["precision"] == matrix[i, i] / matrix[:, i].sum()
        assert figures["recall"] == matrix[i, i] / matrix[i].sum()

    assert predict.main([name, "--json"]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert np.abs(np.array(result["confusion"]) - matrix).sum() <= 2 * MOST_OTHERS
    assert abs(result["accuracy"] - card["accuracy"]) <= MOST_OTHERS / len(dataset.test.labels)
    assert f"the card of {name} says {card['accuracy']:.4f}" in printed.err


@pytest.mark.pytorch
def test_pytorch_gives_the_same_answers(dataset, monkeypatch):
    torch = pytest.importorskip("torch", reason=NO_TORCH)
    from gluonbook.pytorch import transfer

    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    pretrain = pytest.importorskip("pretrain")
    images, labels = (part[:500] for part in dataset.test)
    torch_net = pretrain.PRETRAININGS["resnet20"].build()
    transfer.to_torch(gb.get_model("cifar_resnet20_v1", pretrained="fashion_mnist"), torch_net)
    torch_net.eval()
    with torch.no_grad():
        logits = torch_net(torch.from_numpy(images.astype(np.float32) / 255))
    expected = torch.softmax(logits, 1).numpy()
    found = predict.load_run("resnet20").probabilities(images)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_trained_net_is_had_by_its_models_name(name):
    net = gb.get_model(trained(name).model, pretrained="fashion_mnist")
    size = trained(name).size
    X = nd.random.uniform(shape=(2, 1, size, size))
    assert net(X).shape == (2, 10)
    assert num_parameters(net) == trained(name).card()["parameters"]
    # and is trained on, as any net
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1})
    before = net[-1].bias.data().asnumpy()
    with autograd.record():
        loss = gluon.loss.SoftmaxCrossEntropyLoss()(net(X), nd.array([1, 2]))
    loss.backward()
    trainer.step(2)
    assert np.abs(net[-1].bias.data().asnumpy() - before).max() > 0


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"name": "resnet"}, "no weights of resnet are here, but of .*resnet20"),
        ({"pretrained": "cifar10"}, "pretrained='cifar10': .*'fashion_mnist'"),
        ({"pretrained": True}, "pretrained=True: "),
        ({"num_classes": 1000}, "10 classes apart, not 1000"),
        ({"small_images": True}, "without small_images"),
    ],
)
def test_weights_that_are_not_here_are_refused(asked, told):
    asked = {"name": "cifar_resnet20_v1", "pretrained": "fashion_mnist", **asked}
    with pytest.raises(pretrained.NotPretrained, match=told) as failure:
        gb.get_model(**asked)
    assert isinstance(failure.value, Failure) and "\n" not in str(failure.value)


def test_damaged_and_missing_weights_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    [net] = [each for each in PRETRAINED if each.name == "resnet20"]
    with pytest.raises(Failure, match="resnet20.safetensors is missing: install gluonbook again"):
        predict.load_run("resnet20")
    content = bytearray((ROOT / "gluonbook" / "weights" / net.weights.name).read_bytes())
    content[-3] ^= 1
    net.weights.write_bytes(content)
    with pytest.raises(Failure, match="resnet20.safetensors is damaged: install gluonbook again"):
        gb.get_model(net.model, pretrained="fashion_mnist")


def test_a_folder_goes_before_a_name(lenet_run, tmp_path):
    assert predict.load_run("resnet20").size == 28
    shutil.copytree(lenet_run, tmp_path / "resnet20")
    assert len(predict.load_run("resnet20").net) == len(gb.lenet())


def test_no_such_folder_and_no_such_net():
    with pytest.raises(Failure, match="there is no folder resnet21: .* comes trained: .*resnet20"):
        predict.load_run("resnet21")
    Path("runs/resnet20").mkdir(parents=True)  # where predict writes its pictures
    with pytest.raises(Failure, match="give its name alone, resnet20"):
        predict.load_run("runs/resnet20")
    Path("resnet20").mkdir()  # goes before the name, which is then no way out
    for folder in ("resnet20", "runs/resnet20"):
        with pytest.raises(Failure, match=f"^{folder}/config.json is missing"):
            predict.load_run(folder)


def test_a_photo_is_classified_by_name(dataset, capsys):
    Image.fromarray(dataset.test.images[0, 0]).save("boot.png")
    assert predict.main(["resnet20", "boot.png"]) == 0
    assert capsys.readouterr().out.startswith("boot.png: ankle boot ")
    assert Path("runs/resnet20/predictions/images.png").read_bytes().startswith(b"\x89PNG")


def test_a_name_is_quantized_once(dataset, capsys):
    images = dataset.test.images[:1000]
    in_float32 = predict.load_run("resnet20").probabilities(images).argmax(axis=1)
    in_int8 = predict.load_run_in_int8("resnet20").probabilities(images).argmax(axis=1)
    assert (in_int8 == in_float32).mean() > 0.97
    assert "kept in runs/resnet20/resnet20-int8.json" in capsys.readouterr().err
    again = predict.load_run_in_int8("resnet20").probabilities(images).argmax(axis=1)
    assert (again == in_int8).all() and not capsys.readouterr().err


def test_the_history_of_a_name_is_drawn(capsys):
    assert history.main(["resnet20"]) == 0
    assert capsys.readouterr().out.startswith("resnet20  epoch 50, ")
    assert Path("history.png").read_bytes().startswith(b"\x89PNG")


@needs_onnx
def test_a_name_is_exported(dataset, capsys):
    from onnxruntime import InferenceSession

    assert export.main(["resnet20"]) == 0
    session = InferenceSession("runs/resnet20/resnet20.onnx", providers=["CPUExecutionProvider"])
    images, labels = (part[:500] for part in dataset.test)
    [logits] = session.run(["logits"], {"images": images.astype(np.float32) / 255})
    expected = predict.load_run("resnet20").probabilities(images).argmax(axis=1)
    assert (logits.argmax(axis=1) != expected).sum() <= 1


def test_an_installed_package_has_the_files(tmp_path):
    """Built from a copy, as building leaves files beside the sources."""
    pytest.importorskip("setuptools", minversion="61")
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "gluonbook", tmp_path / "gluonbook", ignore=ignored)
    command = [sys.executable, "setup.py", "-q", "build", "--build-lib", "built"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    built = {path.name for path in (tmp_path / "built" / "gluonbook" / "weights").iterdir()}
    assert built == {path.name for path in pretrained.FOLDER.iterdir()}

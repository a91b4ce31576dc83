"""A form or a precision that fails is a result too: the table and the picture are drawn."""

from __future__ import annotations

import importlib
import math
from pathlib import Path

import pytest

from ..conftest import NO_TORCH

pytestmark = pytest.mark.pytorch
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    pytest.importorskip("torch", reason=NO_TORCH)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


def cells(table, line=-1):
    return [cell.strip() for cell in table.splitlines()[line].split("|")[1:-1]]


RATES = {
    "gluonbook": [300.0, 100.0, 200.0],
    "Gluon, as the book runs it": [50.0],
    "PyTorch, as written": [160.0],
    "PyTorch, compiled": [250.0],
}


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ((), ["200", "50", "160", "250", "1.25", "0.80", "4.00", "1.50%"]),
        (["PyTorch, as written"], ["200", "50", "—", "250", "—", "0.80", "4.00", "1.50%"]),
        (["Gluon, as the book runs it"], ["200", "—", "160", "250", "1.25", "0.80", "—", "1.50%"]),
        (["gluonbook"], ["—", "50", "160", "250", "—", "—", "—", "—"]),
    ],
)
def test_training_with_forms_that_failed(benchmark, missing, expected):
    training = benchmark("training")

    def row(section, missing):
        rates = {form: values for form, values in RATES.items() if form not in missing}
        share = None if "gluonbook" in missing else 0.015
        return {
            **{"section": section, "batch_size": 128, "image_size": 96, "faults": {}},
            **{"images_per_second": rates, "loading_share": share},
        }

    rows = [row("resnet", ()), row("vgg", missing)]
    assert cells(training.table_of(rows))[3:] == expected
    training.picture_of(rows)


def test_inference_with_forms_that_failed(benchmark):
    """PyTorch has no figure in int8 for single images, and a latency was measured once only."""
    inference = benchmark("inference")
    rates = {**RATES, "gluonbook, int8": [600.0, 500.0, 700.0], "onnxruntime": [100.0]}
    rows = [
        {
            **{"section": "resnet", "batch_size": batch_size, "image_size": 96, "faults": {}},
            **{"images_per_second": rates, "latency": latency, "loading_share": None},
        }
        for batch_size, latency in (
            (1, {"gluonbook": [[0.003, 0.009], [0.001, 0.004], [0.002, 0.005]]}),
            (256, {}),
        )
    ]
    rows[1]["images_per_second"] = {**rates, "PyTorch, int8": [400.0]}
    throughput, latency = inference.tables_of(rows).split("\n\n")
    assert cells(throughput, 2)[-5:] == ["1.25", "0.80", "2.00", "3.00", "—"]
    assert cells(throughput)[-5:] == ["1.25", "0.80", "2.00", "3.00", "1.50"]
    assert len(latency.splitlines()) == 3
    assert cells(latency)[:3] == ["ResNet-18", "2.00 / 5.00", "—"]


def test_int8_with_a_net_that_was_refused(benchmark):
    int8 = benchmark("int8")
    judged = {"accuracy": 0.8, "as_float32": 0.99}
    row = {
        **{"section": "resnet", "image_size": 96, "layers": 21, "float32": judged},
        **{"naive": {**judged, "accuracy": 0.79}, "entropy": {**judged, "accuracy": 0.801}},
        **{"kept": {"float32_layers": ["0", "7"], **judged}, "refused": None},
        "images_per_second": {"float32": [100.0], "int8": [300.0, 250.0, 200.0]},
    }
    rows = [row, {**row, "kept": None, "refused": "it loses more"}]
    table = int8.table_of(rows)
    accuracies, speeds = ["0.8000", "0.7900", "0.8010"], ["100", "250", "2.50"]
    assert cells(table, 2)[2:] == [*accuracies, "0.8000", "2 of 21", *speeds]
    assert cells(table)[2:] == [*accuracies, "refused", "—", *speeds]
    rows[1]["entropy"] = {"refused": "its numbers are others"}
    assert cells(int8.table_of(rows))[4:6] == ["refused", "refused"]
    int8.picture_of(rows)


def soaked(losses, **more):
    row = {"section": "resnet", "recipe": "book", "batch_size": 256, "fault": None, "left": 20}
    row["losses"] = dict(zip(("float32", "bfloat16"), losses))
    row["steps"] = len(losses[1])
    row["images_per_second"] = {"float32": 100.0, "bfloat16": 150.0}
    row["test_acc"] = {"float32": 0.8, "bfloat16": 0.7}
    return {**row, **more}


FALLEN = [0.5] * 100


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        (soaked([FALLEN, FALLEN]), None),
        (soaked([FALLEN, [0.54] * 100]), None),
        (soaked([FALLEN, [0.56] * 100]), "12% away"),
        (soaked([FALLEN, [math.nan] * 100]), "nan"),
        (soaked([[2.303] * 100] * 2, left=None), "too few for the loss to leave ln 10"),
        (soaked([FALLEN, FALLEN], images_per_second={"float32": 100.0, "bfloat16": 104.0}), "1.04"),
        (
            soaked([[2.3], []], fault="exit code -11", left=None, images_per_second={}),
            "stopped after 0 steps: exit code -11",
        ),
    ],
)
def test_bfloat16_is_judged(benchmark, row, verdict):
    bfloat16 = benchmark("bfloat16")
    row["verdict"] = bfloat16.verdict(row)
    assert (row["verdict"] is None) == (verdict is None)
    assert verdict is None or verdict in row["verdict"]
    assert len(cells(bfloat16.table_of([row]))) == len(cells(bfloat16.table_of([row]), 0))
    bfloat16.picture_of([row])


def test_reproduce_names_what_departs_from_the_book(benchmark):
    reproduce = benchmark("reproduce")
    names = [
        reproduce.Training("nin", recipe, amp, num_epochs).name(3)
        for recipe, amp, num_epochs in (
            *(("book", False, None), ("stable", False, None)),
            *(("stable", True, None), ("stable", False, 9)),
        )
    ]
    assert names == [
        *("nin-seed3", "nin-stable-seed3"),
        *("nin-stable-amp-seed3", "nin-stable-epochs-9-seed3"),
    ]
    row = {"epoch": 5.0, "loss": 0.5, "train_acc": 0.8, "test_acc": 0.8, "seconds": 100.0}
    saved = {"recipe": "stable", "amp": True, "num_epochs": 5, "size": 96}
    options = reproduce.Training.of("nin", saved, on_gpu=False).options
    runs = [
        {
            **{"section": "nin", "title": "NiN", "options": options, "seed": seed, "epochs": [row]},
            "config": {"machine": {"processor": processor}},
        }
        for seed, processor in ((1, "AMD EPYC"), (2, "Intel Xeon"), (3, "AMD EPYC"))
    ]
    title, *_, processors = cells(reproduce.table_of(runs))
    assert (
        title == "NiN, `--recipe stable --amp --size 96`" and processors == "AMD EPYC, Intel Xeon"
    )
    [command] = reproduce.commands_of(runs)
    assert " ".join(command) == "nin --recipe stable --amp --size 96 --seeds 1 2 3"
    reproduce.picture_of(runs)


def test_reproduce_tells_runs_on_a_gpu_from_the_others(benchmark):
    reproduce = benchmark("reproduce")
    options = {"num_epochs": 5, "size": 224, "seed": 1}
    config = {"section": "nin", "options": options, "device": "gpu(0)", "gpus": ["NVIDIA A10"]}
    training = reproduce.Training.of_run(config)
    assert training.name(1) == "nin-gpu-seed1"
    row = {"epoch": 5.0, "loss": 0.5, "train_acc": 0.8, "test_acc": 0.8, "seconds": 100.0}
    run = {"section": "nin", "title": "NiN", "options": training.options, "seed": 1}
    title, *_, where = cells(reproduce.table_of([{**run, "epochs": [row], "config": config}]))
    assert title == "NiN, `--device gpu`" and where == "NVIDIA A10"

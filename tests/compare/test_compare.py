"""Equal nets compare equal, within the tolerances; a broken net is caught and named."""

from __future__ import annotations

import io
import itertools
import json
import runpy
import sys
import threading

import gluonbook as gb
from gluonbook.compare import __main__ as command
from gluonbook.compare import numbers as compare
from gluonbook.compare import report, speed, text
from gluonbook.compare.comparison import Comparison
from gluonbook.compare.curves import Curves, training
from gluonbook.compare.speed import Speed
from gluonbook.pytorch.architecture import architecture
from gluonbook.pytorch.transfer import TransferError, to_gluon, to_torch
from gluonbook.recipes import RECIPES
from gluonbook.system import contention
from gluonbook.system.ownership import NotOurs, refuse_foreign
import mxnet as mx
import numpy as np
import pytest
import torch
from torch import nn

from ..conftest import CHAPTERS


def differences(ours, theirs, size):
    layers = architecture(ours, theirs, (1, 1, size, size))
    return layers, [
        (layer.torch.name if layer.torch else None, difference)
        for layer in layers
        for difference in layer.differences
    ]


def arrays(batch_size, recipe, limit):
    """The batches of one epoch of the first training images."""
    train_iter, _ = gb.load_data_fashion_mnist(
        batch_size, recipe.size, limit=limit, limit_test=1, seed=1
    )
    return train_iter.arrays()


def two_images(recipe):
    return next(arrays(2, recipe, 2))


#: The largest nets, whose steps in float64 take seconds each: ten of them are a slow test.
LARGE = ("alexnet", "vgg")


@pytest.mark.parametrize(
    ("section", "steps"),
    [(section, 3 if section in LARGE else 10) for section in RECIPES]
    + [pytest.param(section, 10, marks=pytest.mark.slow) for section in LARGE],
)
def test_the_nets_are_the_same(section, steps):
    """One step ≤ 1e-8, the losses of more ≤ 1e-3 in float64, all relative; forward in float32."""
    recipe = RECIPES[section]
    both = compare.build(section, "pytorch", seed=1)
    layers, found = differences(both.gluon, both.torch, recipe.size)
    assert found == [] and both.mismatch is None
    assert all(layer.torch.shape == layer.gluon.shape for layer in layers)

    rows = {row.quantity: row for row in compare.numbers(both, *two_images(recipe))}
    assert list(rows)[:3] == ["outputs", "loss", "gradients"]
    assert all(row.relative <= 1e-8 for row in rows.values())
    normalized = section in ("resnet", "densenet")
    assert ("running mean" in rows) == ("running var" in rows) == normalized
    # Normalising over two images enlarges float32's rounding; by how much depends on the processor.
    limit = 1e-3 if normalized else 1e-5
    assert all(row.gluon_error <= limit for row in rows.values() if row.quantity != "gradients")

    curves = training(both, arrays(2, recipe, 2 * steps), recipe.lr, 2, dtype="float64")
    assert len(curves.gluon_loss) == steps and max(curves.differences()) <= 1e-3


POOLS = ["only in PyTorch: average pool", "only in Gluon: max pool"]


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("lenet", ["padding: PyTorch 2, Gluon 0", *POOLS, *POOLS]),
        ("alexnet", ["padding: PyTorch 1, Gluon 0"]),
        ("vgg", []),
        ("nin", []),
        ("googlenet", ["only in PyTorch: relu", "only in PyTorch: relu"]),
        ("resnet", []),
        (
            "densenet",
            ["channels: PyTorch 112, Gluon 160", "channels: PyTorch 120, Gluon 224"],
        ),
    ],
)
def test_the_gluon_text_differs_exactly_where_it_does(section, expected):
    ours, theirs = RECIPES[section].net("gluon"), compare.torch_net(section)
    ours.initialize()
    found = [text for _, text in differences(ours, theirs, RECIPES[section].size)[1]]
    assert sorted(found) == sorted(expected)


def missing_relu(net):
    net[1][0] = type("Silent", (type(net[1][0]),), {"forward": _forward_without_relu})(64, 64)


def _forward_without_relu(self, x):
    return torch.relu(self.bn2(self.conv2(self.bn1(self.conv1(x)))) + x)


def swapped_branch(net):
    block = net[2][1]

    class Swapped(type(block)):
        def forward(self, x):
            paths = self.p1_1(x), self.p2_2(self.p2_1(x).relu()), self.p3_2(self.p3_1(x).relu())
            p1, p2, p3 = (path.relu() for path in paths)
            return torch.cat((p1, p3, p2, self.p4_2(self.p4_1(x)).relu()), dim=1)

    block.__class__ = Swapped


def set_attribute(path, name, value):
    return lambda net: setattr(net.get_submodule(path), name, value)


@pytest.mark.parametrize(
    ("section", "break_it", "where", "named"),
    [
        ("resnet", set_attribute("2.1.conv1", "padding", (2, 2)), "2.1.conv1", "padding: "),
        ("resnet", missing_relu, None, "only in Gluon: relu"),
        ("googlenet", swapped_branch, "2.1.p2_1", "only in PyTorch: conv"),
        ("resnet", set_attribute("3.0.bn2", "eps", 1e-3), "3.0.bn2", "eps: PyTorch 0.001, Gluon"),
        (
            "densenet",
            set_attribute("0.1", "momentum", 0.01),
            "0.1",
            "update rate: PyTorch 0.01, Gluon 0.1",
        ),
        ("nin", set_attribute("6", "p", 0.3), "6", "rate: PyTorch 0.3, Gluon 0.5"),
        ("vgg", set_attribute("0.2", "stride", 1), "0.2", "stride: PyTorch 1, Gluon 2"),
        (
            "lenet",
            lambda net: net.__setitem__(2, nn.MaxPool2d(2)),
            "2",
            "only in PyTorch: max pool",
        ),
    ],
)
def test_a_broken_net_is_caught_and_named(section, break_it, where, named):
    theirs = compare.torch_net(section)
    ours = RECIPES[section].net("pytorch")
    ours.initialize()
    break_it(theirs)
    # Without shapes, which some of the broken nets do not have.
    layers = architecture(ours, theirs, None)
    found = [(op.torch.name if op.torch else None, d) for op in layers for d in op.differences]
    assert any(place == where and text.startswith(named) for place, text in found), found


@pytest.mark.parametrize(
    ("section", "break_it", "quantity"),
    [
        ("resnet", missing_relu, "outputs"),
        ("resnet", set_attribute("3.0.bn2", "eps", 1e-3), "outputs"),
        ("densenet", set_attribute("0.1", "momentum", 0.01), "running mean"),
        ("lenet", lambda net: net.__setitem__(1, nn.Tanh()), "outputs"),
    ],
)
def test_a_broken_nets_numbers_exceed_the_tolerance(section, break_it, quantity):
    recipe = RECIPES[section]
    both = compare.build(section, "pytorch", seed=1)
    break_it(both.torch)
    to_torch(both.gluon, both.torch)
    rows = compare.numbers(both, *two_images(recipe))
    assert quantity in [row.quantity for row in rows if not row.within]


def test_a_gradient_alone_that_is_off_exceeds_the_tolerance():
    """By a hundred-thousandth, while outputs and loss stay the same."""

    class SlightlySteeper(nn.Sigmoid):
        def forward(self, x):
            y = super().forward(x)
            if y.requires_grad:
                y.register_hook(lambda gradient: gradient * (1 + 1e-5))
            return y

    both = compare.build("lenet", "pytorch", seed=1)
    both.torch[1].__class__ = SlightlySteeper
    rows = compare.numbers(both, *two_images(both.recipe))
    assert [row.quantity for row in rows if not row.within] == ["gradients"]


@pytest.mark.parametrize("hybridized", [False, True])
def test_the_numbers_leave_both_nets_as_they_were(hybridized):
    both = compare.build("resnet", "pytorch", seed=1)
    if hybridized:
        both.gluon.hybridize(static_alloc=True)
        both.gluon(mx.nd.zeros((1, 1, 96, 96)))

    def values():
        ours = {name: p.data().asnumpy() for name, p in both.gluon.collect_params().items()}
        return {**ours, **{name: v.numpy().copy() for name, v in both.torch.state_dict().items()}}

    before = values()
    first = compare.numbers(both, *two_images(both.recipe))
    after = values()
    assert after.keys() == before.keys()
    for name, value in after.items():
        assert value.dtype == before[name].dtype
        np.testing.assert_array_equal(value, before[name], err_msg=name)
    assert all(np.dtype(p.dtype) == np.float32 for p in both.gluon.collect_params().values())
    assert all(p.grad is None for p in both.torch.parameters())
    assert [row.relative <= 1e-8 for row in first] == [True] * 5


def test_numbers_that_are_off_are_named():
    both = compare.build("lenet", "pytorch", seed=1)
    layers = architecture(both.gluon, both.torch, (1, 1, 28, 28))

    def faults(*row):
        one = Comparison("lenet", "LeNet", "pytorch", {}, layers)
        one.numbers = [compare.Difference(*row)]
        assert text.numbers_text(one).count("EXCEEDED") == len(one.faults())
        return one.faults()

    nan = float("nan")
    assert faults("outputs", "", 0.0, 1e-9, 1e-4, 1e-6) == []
    [apart] = faults("gradients", "0 · conv0 bias", 0.0, 1e-7, 1e-4, 1e-6)
    assert apart == "gradients 0 · conv0 bias: relative difference 1.0e-07, allowed 1e-08"
    [rounded] = faults("outputs", "", 0.0, 1e-9, 2e-2, 1e-6)
    assert rounded == "outputs in float32: Gluon's relative error 2.0e-02, allowed 1e-02"
    assert faults("gradients", "", 0.0, 1e-9, 0.2, 0.1) == []  # a ReLU that rounding has flipped
    assert len(faults("loss", "", nan, nan, nan, nan)) == 2


def test_weights_that_do_not_fit_are_reported():
    both = compare.build("densenet", "gluon", seed=1)
    assert "stands where Gluon has" in both.mismatch


def test_own_conventions_part_at_the_smaller_last_batch():
    """Five batches of 4 and one of 2, which Gluon divides by 4."""
    recipe = RECIPES["lenet"]
    images, _ = gb.load_data_fashion_mnist(4, limit=22, seed=0)

    def largest(conventions):
        both = compare.build("lenet", "pytorch", seed=1)
        stream = itertools.chain(images_of(images), images_of(images))
        return training(
            both, stream, recipe.lr, 4, conventions=conventions, dtype="float64"
        ).differences()

    def images_of(batches):
        batches.epoch = 0
        return batches.arrays()

    assert max(largest("shared")) < 1e-9
    own = largest("own")
    assert max(own[:6]) < 1e-9 < own[6]


def test_starting_from_pytorchs_weights_takes_its_biases():
    both = compare.build("lenet", "pytorch", seed=1, start_from="pytorch")
    bias = both.gluon[0].bias.data().asnumpy()
    assert np.abs(bias).min() > 0
    np.testing.assert_array_equal(bias, both.torch[0].bias.detach().numpy())


def test_the_script_prints_writes_and_exits(tmp_path, monkeypatch, capsys):
    def run(*argv):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "excepthook", sys.excepthook)
        monkeypatch.setattr(sys, "argv", ["compare.py", *argv])
        code = 0
        try:
            runpy.run_path(str(CHAPTERS / "compare.py"))
        except SystemExit as exit_:
            code = exit_.code
        return code, capsys.readouterr()

    short = ["--steps", "4", "--exact-steps", "2", "--limit", "64", "--rounds", "1", "--no-compile"]
    code, printed = run("lenet", *short)
    assert code == 0
    assert "11 operations, the same in both nets; 61,706 parameters." in printed.out
    assert "The nets are the same within all tolerances." in printed.out
    [folder] = (tmp_path / "runs").iterdir()
    assert {path.name for path in folder.iterdir()} == {
        *("compare.txt", "compare.json", "compare.png", "layers.csv", "training.csv")
    }
    refuse_foreign([folder / "compare.png"])  # which says that this package wrote it
    result = json.loads((folder / "compare.json").read_text())
    assert result["faults"] == [] and len(result["training"]["gluon_loss"]) == 4
    speeds = {row["form"]: row for row in result["speed"]}
    assert len(speeds) == 3 and all(row["training"] > 0 for row in speeds.values())
    assert all(2**20 < row["peak_memory"] < 2**31 for row in speeds.values())

    code, printed = run("lenet", "--edition", "gluon", "--no-speed", *short)
    assert code == 1
    assert "The nets differ:" in printed.out and "padding: PyTorch 2, Gluon 0" in printed.out

    code, printed = run("--all", "lenet")
    assert code == 2 and printed.err.count("\n") == 1


class Terminal(io.StringIO):
    def isatty(self):
        return True


def options_of(tmp_path, *argv):
    return command._parser().parse_args([*argv, "--out", str(tmp_path)])


def test_by_default_all_steps_are_judged_and_drawn_in_float64(tmp_path, monkeypatch, capsys):
    """At LeNet's rate of 0.9 for batches of 256, divided by 32 for batches of 8."""
    drawn = {}
    draw = report.draw_comparison
    monkeypatch.setattr(
        report,
        "draw_comparison",
        lambda title, **given: drawn.update(given) or draw(title, **given),
    )
    one = command.compare_section(
        "lenet", options_of(tmp_path, "lenet", "--steps", "3", "--no-speed")
    )
    assert one.options["lr"] == 0.9 / 32
    assert len(one.curves.gluon_loss) == len(one.exact.gluon_loss) == 3
    assert one.alike == (400, 400) and one.test_accuracies[0] == one.test_accuracies[1]
    assert one.faults() == []
    assert drawn["training"]["Gluon"] == (one.exact.gluon_loss, one.exact.gluon_acc)
    first = next(iter(drawn["differences"].items()))
    assert first == ("Gluon and PyTorch, float64", one.exact.differences())
    printed = capsys.readouterr()
    assert "learning rate 0.028125" in printed.out
    assert "the nets put 400 of 400 test images into the same class" in printed.out
    assert "In float64, which is judged, the losses of the first 3 steps" in printed.out
    assert "step/s" not in printed.err  # no progress where nobody sees it


def test_a_rate_that_is_given_is_taken(tmp_path):
    argv = ["lenet", "--steps", "1", "--lr", "0.5", "--no-speed"]
    assert command.compare_section("lenet", options_of(tmp_path, *argv)).options["lr"] == 0.5


def test_a_net_that_only_guesses_is_not_praised_for_its_accuracy():
    both = compare.build("lenet", "pytorch", seed=1)
    layers = architecture(both.gluon, both.torch, (1, 1, 28, 28))
    options = {"batch_size": 8, "lr": 0.1, "start_from": "gluon", "conventions": "shared"}
    curves = Curves([2.0], [2.0], [0.1], [0.1])
    one = Comparison("lenet", "LeNet", "pytorch", options, layers, curves=curves, exact=curves)
    one.alike = (400, 400)
    for accuracy, guessed in ((0.08, True), (0.5, False)):
        one.test_accuracies = (accuracy, accuracy)
        assert ("Guessing reaches 0.1" in text.text(one)) == guessed


def test_under_load_the_ratios_are_not_trusted(tmp_path, monkeypatch, capsys):
    """Other processes took two cores for ten seconds more than there are to spare."""
    cores = contention.cores_to_spare() + 2
    usages = iter([contention.Usage(0.0, 0.0, 0.0), contention.Usage(10.0, 10.0 * cores, 0.0)])
    usage = contention.usage

    def of_this_thread(**given):  # another watches what other processes use, and asks too
        here = threading.current_thread() is threading.main_thread()
        return next(usages) if here else usage(**given)

    monkeypatch.setattr(command.contention, "usage", of_this_thread)
    measured = [Speed("Gluon", 2.0, 2.0, 2.0, None), Speed("PyTorch", 1.0, 1.0, 1.0, None)]
    monkeypatch.setattr(command.speed, "measure", lambda *_, **__: measured)
    drawn = []
    draw = report.draw_comparison
    monkeypatch.setattr(
        report,
        "draw_comparison",
        lambda *title, **given: drawn.append(given) or draw(*title, **given),
    )
    command.compare_section("lenet", options_of(tmp_path, "lenet", "--steps", "1"))
    told = next(line for line in capsys.readouterr().out.splitlines() if "cores during" in line)
    assert told.startswith("Other processes used ")
    assert told.endswith("and their ratios cannot be trusted.")
    assert "do not trust the ratios" in drawn[0]["speed_title"]


def test_progress_is_shown_on_a_terminal(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    command.compare_section("lenet", options_of(tmp_path, "lenet", "--steps", "2", "--no-speed"))
    shown = sys.stderr.getvalue()
    assert "training, float32:" in shown and "training, float64:" in shown
    assert "/2 [" in shown  # of two steps


@pytest.mark.parametrize("terminal", [True, False])
def test_the_measurement_of_speed_says_what_it_is_at(terminal, monkeypatch):
    class Worker:
        def __init__(self, form, *_):
            self.form = form

        def ask(self, question):
            if self.form.endswith("compiled"):
                raise RuntimeError("no compiler")
            return 1.0

        def close(self):
            pass

    monkeypatch.setattr(speed, "worker_of", Worker)
    monkeypatch.setattr(sys, "stderr", Terminal() if terminal else io.StringIO())
    rows = speed.measure("lenet", "pytorch", 4, rounds=2)
    assert [row.training for row in rows] == [4.0, 4.0, 4.0, 0.0]
    assert rows[-1].fault == "no compiler"
    shown = sys.stderr.getvalue()
    assert ("PyTorch, as written: infer" in shown) == terminal and bool(shown) == terminal


def test_no_file_of_a_users_is_written_over_by_the_table_of_all(tmp_path, monkeypatch):
    options = {"speed_batch_size": 1, "rounds": 1}
    nothing = Comparison("lenet", "LeNet", "pytorch", options, [])
    monkeypatch.setattr(command, "compare_section", lambda *arguments: nothing)
    monkeypatch.setattr(command, "fashion_mnist", lambda root: None)
    argv = ["--all", "--results", str(tmp_path)]
    assert command.main(argv) == command.main(argv) == 0
    for name in ("compare.md", "compare.json"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(NotOurs, match=f"{name} is there already.* with --results"):
            command.main(argv)
        (tmp_path / name).unlink()


def test_without_torch_one_sentence_says_what_to_install(tmp_path):
    import os
    import subprocess

    (tmp_path / "torch.py").write_text("raise ImportError('no torch here')")
    result = subprocess.run(
        [sys.executable, "-m", "gluonbook.compare", "lenet"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "pip install 'gluonbook[pytorch]'" in result.stderr.splitlines()[-1]


def test_tracing_leaves_each_layers_mode_as_it_was():
    theirs = compare.torch_net("resnet").train()
    theirs[0][1].eval()
    ours = gb.resnet()
    ours.initialize()
    architecture(ours, theirs, (1, 1, 96, 96))
    to_gluon(theirs, ours)
    assert not theirs[0][1].training and theirs[1][0].bn1.training and theirs.training


def test_the_overview_has_a_row_for_each_section():
    both = compare.build("lenet", "pytorch", seed=1)
    layers = architecture(both.gluon, both.torch, (1, 1, 28, 28))
    options = {"speed_batch_size": 32, "rounds": 3}
    one = Comparison("lenet", "LeNet", "pytorch", options, layers)
    lines = text.overview([one, one], "python compare.py").splitlines()
    assert len({line.count("|") for line in lines[:4]}) == 1
    assert lines[2].startswith("| LeNet | 11, same | 61,706 |")
    assert lines[-1].startswith("`python compare.py`, 20") and "batches of 32" in lines[-1]


def test_a_speed_measured_beside_other_processes_says_so():
    both = compare.build("lenet", "pytorch", seed=1)
    layers = architecture(both.gluon, both.torch, (1, 1, 28, 28))
    options = {"speed_batch_size": 32, "rounds": 3}
    speeds = [Speed("Gluon", 1.0, 1.0, 1.0, None), Speed("PyTorch", 1.0, 1.0, 1.0, None)]
    one = Comparison(
        "lenet", "LeNet", "pytorch", options, layers, speeds=speeds, disturbance="others were here"
    )
    assert "\nOthers were here.\n" in text.text(one)
    assert "\nLeNet: others were here.\n" in text.overview([one], "python compare.py")
    one.disturbance = None
    assert "others" not in text.text(one) and "None" not in text.text(one)


def test_a_net_that_cannot_be_traced_is_refused():
    class Plain(mx.gluon.nn.Block):
        def forward(self, x):
            return mx.nd.relu(x)

    with pytest.raises(gb.runtime.Failure, match="cannot be traced .*build it of HybridBlocks"):
        architecture(Plain(), nn.ReLU(), None)
    assert issubclass(TransferError, gb.runtime.Failure)

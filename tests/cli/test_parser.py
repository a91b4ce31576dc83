"""Every number of every command has a range, and what lies outside is refused in one sentence."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import math
from pathlib import Path
import re
import sys

import gluonbook
from gluonbook.cli import exercise
from gluonbook.cli.exercise import Exercise
from gluonbook.cli.parser import Parser
from gluonbook.cli.training_parser import HYPERPARAMETERS, chapter_parser, trainer_parser
from gluonbook.recipes import RECIPES
import numpy as np
import pytest

from ..conftest import NO_TORCH, python

PACKAGE = Path(gluonbook.__file__).parent
#: The files that ``python -m`` runs and that read a command line.
COMMANDS = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if re.search(r"^def main\(.*^if __name__ == ", path.read_text("utf-8"), re.M | re.S)
)


class Read(Exception):
    """A command has made its parser and reads its options."""


def parser_of(make, monkeypatch):
    def parse_known_args(parser, *_, **__):
        raise Read(parser)

    with monkeypatch.context() as patched:
        patched.setattr(argparse.ArgumentParser, "parse_known_args", parse_known_args)
        patched.setattr("sys.excepthook", sys.__excepthook__)
        with pytest.raises(Read) as caught:
            make()
    return caught.value.args[0]


STATED = dict.fromkeys(HYPERPARAMETERS, 1)


@pytest.fixture(params=[*RECIPES, "a chapter", "an exercise", *COMMANDS])
def parser(request, monkeypatch):
    name = request.param
    if name in RECIPES:
        return trainer_parser(name)
    if name == "a chapter":
        return chapter_parser("mine", STATED)
    if name == "an exercise":
        every = dict.fromkeys(exercise._NUMBERS, 1)
        return parser_of(lambda: Exercise("name", "A question.", [], **every), monkeypatch)
    if name == "gluonbook.compare.__main__" and importlib.util.find_spec("torch") is None:
        pytest.skip(NO_TORCH)
    return parser_of(lambda: importlib.import_module(name).main([]), monkeypatch)


def parsed(action, text):
    """What an option makes of a text; None if it refuses it in a sentence."""
    try:
        return action.type(text)
    except argparse.ArgumentTypeError as error:
        assert re.fullmatch(r"must be .+, not '.*'", str(error)), error
        return None


def numbers(parser):
    """The options that take a number."""
    for action in parser._actions:
        if action.type is not None and action.choices is None:
            try:
                value = action.type("7")
            except argparse.ArgumentTypeError:
                continue
            if isinstance(value, (int, float)):
                yield action


NEVER = ["-1", "-0.5", "nan", "inf", "-inf", "1e308", "two", "", "1e", "0x10", "9" * 5000]
LARGE = [str(2**31), str(2**32), str(2**63), str(2**64), str(10**40)]


def test_the_commands_are_found():
    assert {"gluonbook.launch", "gluonbook.predict", "gluonbook.compare.__main__"} <= set(COMMANDS)


def test_every_number_has_a_range(parser):
    for action in numbers(parser):
        told = (action.option_strings, parser.prog)
        assert not any(map(lambda text: parsed(action, text), NEVER)), told
        assert parsed(action, "1") == 1, told
        for text in ["0", str(2**31 - 1), *LARGE]:
            value = parsed(action, text)
            if isinstance(value, int):
                assert 0 <= value == int(text) < 2**31, told
            elif value is not None:
                assert 0 < np.float32(value) < math.inf, told


def test_a_learning_rate_is_a_number_of_float32(parser):
    for action in numbers(parser):
        if "--lr" in action.option_strings:
            for text in ("3.4e38", "1e-37", "0.05"):
                assert parsed(action, text) == float(text)
            for text in ("3.5e38", "1e-46", "1e-300"):
                assert parsed(action, text) is None


def test_a_parser_that_reads_numbers_is_ours(parser):
    assert isinstance(parser, Parser) or not list(numbers(parser))


@pytest.mark.parametrize(
    ("option", "text", "told"),
    [
        ("--limit", 2**63, "must be a whole number of at least 1 and below 2**31, not '9223372036"),
        ("--save-every", 2**64, "must be a whole number of at least 1 and below 2**31, not '18446"),
        ("--size", 4096, "must be a whole number of at least 1 and below 4,096, not '4096'"),
        ("--lr", 1e308, "must be a number that float32 holds, from 1.2e-38 to 3.4e+38, not '1e+3"),
        (
            "--hold-out",
            60_000,
            "must be a whole number of at least 1 and below 60,000, not '60000'",
        ),
    ],
)
def test_the_sentence_says_the_range(option, text, told, capsys, monkeypatch):
    if option == "--hold-out":
        parser = parser_of(lambda: Exercise("name", "?", [], hold_out=9), monkeypatch)
    else:
        parser = chapter_parser("resnet", STATED)
    with pytest.raises(SystemExit) as exit_:
        parser.parse_args([option, str(text)])
    error = capsys.readouterr().err
    assert exit_.value.code == 2
    assert error.startswith(f"error: argument {option}: {told}") and error.count("\n") == 1


@pytest.fixture
def with_files(monkeypatch):
    """The parsers of the commands that take several files."""
    names = ("gluonbook.predict", "gluonbook.history")
    return [
        parser_of(lambda name=name: importlib.import_module(name).main([]), monkeypatch)
        for name in names
    ]


def test_options_may_stand_between_files(with_files):
    predict, history = with_files
    options = predict.parse_args(["RUN", "--int8", "a.jpg", "--limit-test", "7", "b.jpg"])
    assert (options.run, options.images) == ("RUN", ["a.jpg", "b.jpg"])
    assert options.int8 and options.limit_test == 7
    options = predict.parse_args(["--json", "RUN"])
    assert (options.run, options.images, options.json) == ("RUN", [], True)
    options = history.parse_args(["RUN", "--out", "h.png", "RUN2"])
    assert (options.runs, options.out) == (["RUN", "RUN2"], "h.png")


def test_every_command_takes_its_options_before_and_behind_its_names(parser):
    """A command that has places for names reads the same ones, wherever the option stands."""
    places = [action for action in parser._actions if not action.option_strings]
    if not places:
        return
    names = [(action.choices or ["name"])[0] for action in places]
    read = [
        vars(parser.parse_args([*order])) for order in (["--debug", *names], [*names, "--debug"])
    ]
    assert read[0] == read[1] and read[0]["debug"] is True


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("--limt", "there is no option --limt: did you mean --limit?"),
        ("--limt=6000", "there is no option --limt: did you mean --limit?"),
        ("--epoch-s", "there is no option --epoch-s: did you mean --epochs?"),
        ("--save_every", "there is no option --save_every: did you mean --save-every?"),
        ("--depth", "unrecognized arguments: --depth"),
        ("resnet", "unrecognized arguments: resnet"),
    ],
)
def test_a_misspelt_option_is_told_the_right_one(text, told, capsys):
    with pytest.raises(SystemExit) as exit_:
        chapter_parser("resnet", STATED).parse_args([text])
    assert exit_.value.code == 2
    assert capsys.readouterr().err == f"error: {told} (--help lists the options)\n"


def test_the_package_lists_its_commands():
    """And no others: each is a module that ``python -m`` runs and that reads a command line."""
    result = python("import runpy; runpy.run_module('gluonbook', run_name='__main__')")
    lines = [line.strip() for line in result.stdout.splitlines()]
    listed = {line.split()[2] for line in lines if line.startswith("python -m gluonbook.")}
    modules = {name.replace(".__main__", "") for name in COMMANDS} - {"gluonbook"}
    assert listed == modules | {"gluonbook.train"} and result.returncode == 0, result.stderr
    assert all(len(line) <= 100 for line in lines)


@pytest.mark.parametrize(
    ("argv", "named"),
    [(["predict", "RUN", "--int8"], "predict"), (["predicts"], "COMMAND")],
)
def test_a_command_without_its_dot_is_told_how_it_is_written(argv, named, capsys):
    with pytest.raises(SystemExit) as exit_:
        importlib.import_module("gluonbook.__main__").main(argv)
    told = f"error: a command is written with a dot: python -m gluonbook.{named} ("
    assert exit_.value.code == 2 and capsys.readouterr().err.startswith(told)

"""Code in two tabs: Gluon's as the chapter has it, and PyTorch's beside it."""

from __future__ import annotations

import ast

from gluonbook.recipes import RECIPES

from .repository import read

PYTORCH_IMPORTS = """\
import gluonbook.pytorch as d2l
import torch
from torch import nn
from torch.nn import functional as F
"""


def tabs(gluon: str, pytorch: str) -> str:
    """The two tabs, which all switch together, on the next page too."""
    return (
        "::::{tab-set}\n:sync-group: framework\n\n"
        f":::{{tab-item}} Gluon\n:sync: gluon\n\n{gluon}:::\n\n"
        f":::{{tab-item}} PyTorch\n:sync: pytorch\n\n{pytorch}:::\n::::\n"
    )


def in_pytorch(section: str, source: str, is_first: bool) -> str | None:
    """What stands beside a cell of a chapter in the other tab; None where it has no tabs.

    Parameters
    ----------
    section
        The chapter's name.
    source
        The cell's code.
    is_first
        Whether it is the chapter's first code cell, which has the imports.
    """
    if is_first:
        return f"```python\n{PYTORCH_IMPORTS}```\n"
    if trains(source):
        return f"```python\n{pytorch_training(section)}```\n"
    if "for layer in net:" in source:
        return f"```python\n{pytorch_layers(section)}```\n"
    return pytorch_definitions(section, source)


def trains(source: str) -> bool:
    """Whether a cell is the one that trains."""
    return "gb.train_ch5(" in source


def pytorch_training(section: str) -> str:
    """The training of the PyTorch text, which has ten epochs in each of these sections."""
    recipe = RECIPES[section]
    resize = "" if recipe.size == 28 else f", resize={recipe.size}"
    return (
        f"net = d2l.{section}()\n"
        f"train_iter, test_iter = d2l.load_data_fashion_mnist({recipe.batch_size}{resize})\n"
        "d2l.train_ch6(\n"
        f"    net, train_iter, test_iter, num_epochs=10, lr={recipe.lr}, device=d2l.try_gpu()\n)\n"
    )


def pytorch_layers(section: str) -> str:
    """The table of layers, as the PyTorch text prints it."""
    size = RECIPES[section].size
    return (
        f"X = torch.rand(1, 1, {size}, {size})\n"
        f"for layer in d2l.{section}():\n"
        "    X = layer(X)\n"
        '    print(layer.__class__.__name__, "output shape:\\t", X.shape)\n'
    )


def pytorch_definitions(section: str, source: str) -> str | None:
    """The PyTorch edition's blocks of the names that a cell defines, and its net beside the net.

    None where the edition has nothing to show beside the cell.
    """
    place = f"gluonbook/pytorch/nets/{section}.py"
    names = [node.name for node in ast.parse(read(place)).body if hasattr(node, "name")]
    wanted = saved_names(source)
    if assigns_net(source):
        wanted += [section, *(name for name in names if name.startswith("_"))]
    shown = [
        f"```{{literalinclude}} /../{place}\n:pyobject: {name}\n```\n"
        for name in names
        if name in wanted
    ]
    return "\n".join(shown) or None


def saved_names(source: str) -> list[str]:
    """The blocks of a cell that the package has too, which the cell marks as the book does."""
    lines = source.splitlines()
    return [
        node.name
        for node in ast.parse(source).body
        if isinstance(node, (ast.ClassDef, ast.FunctionDef))
        and lines[node.lineno - 1].endswith("# saved in gluonbook")
    ]


def assigns_net(source: str) -> bool:
    """Whether a cell assembles the section's net."""
    return any(
        isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "net"
        for node in ast.parse(source).body
    )

"""The floors of the house: who may import whom."""

from __future__ import annotations

import ast
from pathlib import Path
import re

from gluonbook.recipes import RECIPES
import pytest

PACKAGE = Path(__file__).parents[1] / "gluonbook"

#: Each floor may import from the floors before it. A room is a folder, or a file beside them.
FLOORS = [
    {"_version"},
    {"system"},
    {"gpu"},
    {"data", "distributed", "from_scratch", "nets"},
    {"operations", "plots", "summary"},
    {"zoo"},
    {"recipes"},
    {"training"},
    {"predictions", "export"},
    {"runs"},
    {"book"},
    {"measure"},
    {"cli", "doctor", "pytorch"},
    {"compare", "history", "launch", "predict", "train"},
    {"__main__"},
]
FLOOR = {room: i for i, floor in enumerate(FLOORS) for room in floor}


def room_of(path: Path) -> str:
    """The folder, or the file beside them. What ``python -m`` runs of a folder is above all."""
    if path.stem == "__main__":
        return path.stem
    return path.relative_to(PACKAGE).parts[0].replace(".py", "")


def imports(path: Path) -> set[str]:
    """Absolute names of the modules that a file imports, as far as ``package.room``."""
    depth = len(path.relative_to(PACKAGE).parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module)
        elif isinstance(node, ast.ImportFrom) and node.level == depth:
            names = [node.module] if node.module else [alias.name for alias in node.names]
            found.update(f"gluonbook.{name.split('.')[0]}" for name in names)
    return found


FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if path.name != "__init__.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_to_lower_floors(path):
    room = room_of(path)
    for name in imports(path):
        if name.startswith("gluonbook."):
            other = name.split(".")[1]
            assert other == room or FLOOR[other] < FLOOR[room], f"{room} imports {other}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_pytorch_rooms_import_torch(path):
    if any(name.split(".")[0] == "torch" or name == "safetensors.torch" for name in imports(path)):
        assert room_of(path) in ("pytorch", "compare")


def test_nets_holds_the_sections_and_what_they_import_alone():
    nets = PACKAGE / "nets"
    shared = {
        node.module
        for section in RECIPES
        for node in ast.walk(ast.parse((nets / f"{section}.py").read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level == 1
    }
    assert {path.stem for path in nets.glob("*.py")} == {"__init__", *RECIPES, *shared}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_pictures_are_drawn_in_one_room(path):
    """An exercise's script draws its own: `cli` imports matplotlib where Ctrl-C is one line."""
    if any(name.split(".")[0] == "matplotlib" for name in imports(path)):
        assert room_of(path) == "plots" or path == PACKAGE / "cli" / "exercise.py"


#: Not MXNet's: methods of named tuples, and the end of a process, which Python documents.
DOCUMENTED = {"_asdict", "_exit", "_fields", "_replace"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_private_names_of_mxnet_stand_in_two_modules(path):
    private = {
        node.attr
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and re.match("_[a-z]", node.attr)
        and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
        and not isinstance(node.value, ast.Call)  # super()._method()
    }
    assert path.name in ("mxnet_private.py", "old_names.py") or private <= DOCUMENTED


def modules_of(path: Path) -> set[Path]:
    """The modules of the package that a file imports anywhere, for types alone too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            place = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            found.update(_file_of(place / alias.name) or _file_of(place) for alias in node.names)
    return found - {path, None}


def _file_of(module: Path) -> Path | None:
    """The file of a module or of a package; None if the path is that of neither."""
    files = (module.with_suffix(".py"), module / "__init__.py")
    return next(filter(Path.is_file, files), None)


def test_no_module_leads_back_to_itself():
    known: set[Path] = set()

    def visit(path: Path, way: tuple[Path, ...]) -> None:
        assert path not in way, " imports ".join(map(str, (*way[way.index(path) :], path)))
        if path not in known:
            for other in modules_of(path):
                visit(other, (*way, path))
            known.add(path)

    for path in sorted(PACKAGE.rglob("*.py")):
        visit(path, ())
    assert len(known) > 100


def test_the_way_from_a_batch_to_its_epochs_line_is_short():
    """What most readers and most changes walk through: ten modules, 1,500 lines."""
    reached: set[Path] = set()
    waiting = {PACKAGE / "training" / "loop.py"}
    while waiting:
        path = waiting.pop()
        reached.add(path)
        waiting |= modules_of(path) - reached
    walked = [path for path in reached if room_of(path) not in ("system", "nets")]
    assert len(walked) <= 10, sorted(walked)
    assert sum(path.read_text(encoding="utf-8").count("\n") for path in walked) <= 1500

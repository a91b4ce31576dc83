"""Modules that are imported when something of theirs is first used."""

from __future__ import annotations

from contextlib import contextmanager
import importlib
import importlib.util
import sys
import types
from typing import Any, Iterator


class _StandIn(types.ModuleType):
    """A module of this name, which imports the real one when it is asked for anything."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        module = importlib.import_module(self.__name__)
        self.__dict__.update(vars(module))
        return getattr(module, name)


@contextmanager
def lazy_import(package: str, *names: str) -> Iterator[None]:
    """Let imports of ``package.name`` inside the ``with`` block cost nothing until they are used.

    Whoever imports such a module in the block keeps a stand-in, which answers as the module does.
    Afterwards it is imported as ever. If the package is not installed, or the module is there
    already, nothing is changed.
    """
    stand_ins: dict[str, types.ModuleType] = {}
    if importlib.util.find_spec(package) is not None:
        paths = [f"{package}.{name}" for name in names]
        stand_ins = {path: _StandIn(path) for path in paths if path not in sys.modules}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for path, module in stand_ins.items():
            if sys.modules.get(path) is module:
                del sys.modules[path]

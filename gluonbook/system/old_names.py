"""What MXNet 1.9.1 takes from NumPy, Python and onnx, and their releases of today no longer have.

MXNet was released for the NumPy of early 2022. As each of its modules is imported, NumPy has the
names of then; afterwards the module keeps a NumPy of its own with these names, and all other code
sees NumPy as it is. Where today's NumPy would change a number or stop with an error, the module is
put right as soon as it has been imported.
"""

from __future__ import annotations

import builtins
from contextlib import contextmanager
from functools import lru_cache
import importlib.abc
import importlib.machinery
import importlib.util
import multiprocessing
import re
import sys
import types
from typing import Any, Callable, Iterator
import warnings

import numpy as np

NUMPY = tuple(map(int, re.findall(r"\d+", np.__version__)[:2]))
#: Packages whose modules get the old names. GluonCV is of the same age.
PACKAGES = ("mxnet", "gluoncv")


# --- names ------------------------------------------------------------------------------------


def _raising(name: str) -> Callable[..., Any]:
    """A stand-in for a function that has only raised an error since NumPy 1.20."""

    def gone(*_: Any, **__: Any) -> Any:
        raise RuntimeError(f"NumPy has no {name} any more: it is in the package numpy-financial")

    return gone


def _in1d(a: Any, b: Any, assume_unique: bool = False, invert: bool = False) -> Any:
    return np.isin(np.ravel(a), b, assume_unique=assume_unique, invert=invert)


def _newer(name: str) -> Callable[..., Any]:
    """NumPy's function of this name, found when it is called."""
    return lambda *args, **kwargs: getattr(np, name)(*args, **kwargs)


#: Every name that MXNet 1.9.1 asks NumPy for and that a later NumPy has not.
OLD_NAMES: dict[str, Any] = {
    # Aliases of Python's own types, gone in 1.24. In 2.0 `bool` came back, as NumPy's own.
    **{
        name: getattr(builtins, name)
        for name in ("bool", "int", "float", "complex", "object", "str")
    },
    # Gone in 2.0.
    **{"PZERO": 0.0, "NZERO": -0.0, "PINF": np.inf, "NINF": -np.inf, "Inf": np.inf},
    **{"NAN": np.nan, "NaN": np.nan},
    **{"alltrue": _newer("all"), "sometrue": _newer("any"), "product": _newer("prod")},
    **{"round_": _newer("round"), "msort": lambda a: np.sort(a, axis=0)},
    "compat": types.SimpleNamespace(basestring=str),
    **{name: _raising(name) for name in ("mirr", "npv", "pmt", "ppmt", "pv", "rate")},
    # Gone in 2.4.
    **{"in1d": _in1d, "trapz": _newer("trapezoid")},
}


@lru_cache(maxsize=None)
def missing_names() -> dict[str, Any]:
    """Those of `OLD_NAMES` that this NumPy has not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy 1.20 to 1.23 has some, and warns of them
        return {name: value for name, value in OLD_NAMES.items() if not hasattr(np, name)}


@contextmanager
def _names_in_numpy() -> Iterator[None]:
    """Within the block, NumPy has the names that it misses."""
    added = {name: value for name, value in missing_names().items() if name not in vars(np)}
    vars(np).update(added)
    try:
        yield
    finally:
        for name in added:
            delattr(np, name)


@lru_cache(maxsize=None)
def _numpy_with_old_names() -> types.ModuleType:
    own = types.ModuleType("numpy", np.__doc__)
    vars(own).update({**vars(np), **missing_names()})
    own.__getattr__ = lambda name: getattr(np, name)  # type: ignore[method-assign]
    return own


def _keep_old_names(module: types.ModuleType) -> None:
    """Let a module that has imported NumPy go on with one that has the old names."""
    for alias, value in list(vars(module).items()):
        if value is np:
            setattr(module, alias, _numpy_with_old_names())


# --- what is put right in a module -------------------------------------------------------------

_FIXES: dict[str, Callable[[Any], None]] = {}


def _fixes(name: str, *, since: tuple[int, int] = (0, 0)) -> Callable[[Any], Any]:
    """Marks what puts a module right, where NumPy is as new as `since`."""

    def mark(fix: Callable[[Any], None]) -> Callable[[Any], None]:
        if since <= NUMPY:
            _FIXES[name] = fix
        return fix

    return mark


_SCALAR = re.compile(r"np\.(?:u?int(?:\d+|c|p)|u?longlong|float\d+|longdouble|bool_?)\(([^()]*)\)")


@_fixes("mxnet.base", since=(2, 0))
def _plain_numbers(base: Any) -> None:
    """NumPy 2 writes ``(np.int64(3),)`` where MXNet's library reads ``(3,)``."""
    one, several = base.c_str, base.c_str_array

    def plain(text: str) -> str:
        return _SCALAR.sub(r"\1", text) if "np." in text else text

    base.c_str = lambda text: one(plain(text))
    base.c_str_array = lambda texts: several([plain(text) for text in texts])


@_fixes("mxnet.metric", since=(2, 0))
def _sums_in_float64(metric: Any) -> None:
    """A sum of Python's 0.0 and NumPy's float32 is float64 before NumPy 2, and float32 since."""

    def beginning_at(zero: Any, reset: Callable[[Any], None], names: tuple[str, ...]) -> Any:
        def begin(self: Any) -> None:
            reset(self)
            for name in names:
                setattr(self, name, zero)

        return begin

    both, zero = metric.EvalMetric, np.float64(0)
    both.reset = beginning_at(zero, both.reset, ("sum_metric", "global_sum_metric"))
    both.reset_local = beginning_at(zero, both.reset_local, ("sum_metric",))


def _floats_as_attributes(kind: Any) -> None:
    """Python's floats in place of NumPy's: a float32 has made all numbers float32 since NumPy 2."""

    def set_attribute(self: Any, name: str, value: Any) -> None:
        object.__setattr__(self, name, float(value) if isinstance(value, np.floating) else value)

    kind.__setattr__ = set_attribute


@_fixes("mxnet.lr_scheduler", since=(2, 0))
def _rates_in_float64(lr_scheduler: Any) -> None:
    _floats_as_attributes(lr_scheduler.LRScheduler)


@_fixes("mxnet.optimizer.optimizer", since=(2, 0))
def _settings_in_float64(optimizer: Any) -> None:
    _floats_as_attributes(optimizer.Optimizer)


@_fixes("mxnet.gluon.parameter", since=(2, 0))
def _multiples_in_float64(parameter: Any) -> None:
    """``lr_mult`` and ``wd_mult``, by which an optimizer multiplies its own."""
    _floats_as_attributes(parameter.Parameter)


@_fixes("mxnet.recordio")
def _bytes_of_labels(recordio: Any) -> None:
    """``pack`` calls an array's ``tostring``, of which NumPy warns, and which 2.3 has no more."""
    pack = recordio.pack

    def pack_by_tobytes(header: Any, s: bytes) -> bytes:
        header = recordio.IRHeader(*header)
        if isinstance(header.label, recordio.numbers.Number):
            return pack(header, s)
        label = np.asarray(header.label, dtype=np.float32)
        header = header._replace(flag=label.size, label=0)
        return recordio.struct.pack(recordio._IR_FORMAT, *header) + label.tobytes() + s

    recordio.pack = pack_by_tobytes


@_fixes("mxnet.numpy.multiarray", since=(1, 25))
def _plain_tuples(multiarray: Any) -> None:
    """``qr`` and others give named tuples, which MXNet would make anew from a list."""
    convert = multiarray._as_mx_np_array

    def of_plain_tuples(object: Any, ctx: Any = None) -> Any:
        return convert(tuple(object) if hasattr(object, "_fields") else object, ctx)

    multiarray._as_mx_np_array = of_plain_tuples


@_fixes("mxnet.contrib.quantization", since=(2, 0))
def _thresholds_in_float64(quantization: Any) -> None:
    """Thresholds of int8: with float32 in place of Python's floats their last bits would differ.

    An array of one number is no float any more since NumPy 2.4.
    """
    c_array, combine = quantization.c_array, quantization.combine_histogram

    def array_of_numbers(kind: Any, values: Any) -> Any:
        return c_array(kind, [v.item() if isinstance(v, np.ndarray) else v for v in values])

    def combine_floats(old: Any, arr: Any, new_min: Any, new_max: Any, new_th: Any) -> Any:
        hist, edges, *numbers = old
        return combine((hist, edges, *map(float, numbers)), arr, new_min, new_max, float(new_th))

    def histogram(a: Any, bins: int, range: tuple[Any, Any]) -> Any:
        return np.histogram(a, bins, (float(range[0]), float(range[1])))

    own = types.ModuleType("numpy")
    vars(own).update({**vars(quantization.np), "histogram": histogram})
    quantization.c_array, quantization.combine_histogram = array_of_numbers, combine_floats
    quantization.np = own


@_fixes("mxnet.gluon.data.dataloader")
def _forked_workers(dataloader: Any) -> None:
    """Workers are forked, as Python did before 3.14, since MXNet's arrays reach them only so."""
    if "fork" not in multiprocessing.get_all_start_methods():
        return
    own = types.ModuleType("multiprocessing")
    forking = multiprocessing.get_context("fork")
    vars(own).update({**vars(multiprocessing), "Pool": forking.Pool})
    own.get_context = lambda method=None: multiprocessing.get_context(  # type: ignore[attr-defined]
        method or "fork"
    )
    dataloader.multiprocessing = own


# --- the hook ---------------------------------------------------------------------------------


class _Finder(importlib.abc.MetaPathFinder):
    """Finds modules of `PACKAGES` as Python does, to be loaded by a `_Loader`."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name.partition(".")[0] not in PACKAGES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(importlib.abc.Loader):
    """Loads a module with the old names, and puts it right."""

    def __init__(self, loader: importlib.abc.Loader) -> None:
        self._loader = loader

    def create_module(self, spec: Any) -> types.ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        # For whatever asks for a module's source.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        with _names_in_numpy():
            self._loader.exec_module(module)
        _settle(module)


def _settle(module: types.ModuleType) -> None:
    if missing_names():
        _keep_old_names(module)
    fix = _FIXES.get(module.__name__)
    if fix is not None:
        fix(module)


class _OnnxMapping(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Makes ``onnx.mapping``, which MXNet's exporter reads, and which is gone after onnx 1.17."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        return importlib.machinery.ModuleSpec(name, self) if name == "onnx.mapping" else None

    def create_module(self, spec: Any) -> None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        from onnx import TensorProto, helper

        types_of: dict[int, np.dtype] = {}
        for number in TensorProto.DataType.values():
            try:
                types_of[number] = np.dtype(helper.tensor_dtype_to_np_dtype(number))
            except (KeyError, ValueError, TypeError):  # a type that NumPy has not
                continue
        numbers: dict[np.dtype, int] = {}
        for number, dtype in types_of.items():
            numbers.setdefault(dtype, number)
        for name in ("float", "uint8", "int8"):  # other types of onnx are kept in the same
            dtype = np.dtype("float32" if name == "float" else name)
            numbers[dtype] = getattr(TensorProto, name.upper())
        numbers[np.dtype("O")] = TensorProto.STRING
        vars(module).update(TENSOR_TYPE_TO_NP_TYPE=types_of, NP_TYPE_TO_TENSOR_TYPE=numbers)


def provide() -> None:
    """Let MXNet be imported, and put right what of it is imported already."""
    _provide_distutils()
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in PACKAGES and module is not None:
            _settle(module)
    # Just before Python's own, so that those of others come first as they did.
    own = importlib.machinery.PathFinder
    place = sys.meta_path.index(own) if own in sys.meta_path else len(sys.meta_path)
    sys.meta_path.insert(place, _Finder())
    sys.meta_path.append(_OnnxMapping())  # asked only where onnx has none


def _provide_distutils() -> None:
    """Python 3.12 has no ``distutils``, of which MXNet takes the class of versions."""
    if "distutils" not in sys.modules and importlib.util.find_spec("distutils") is None:
        version = types.ModuleType("distutils.version")
        version.LooseVersion = version.StrictVersion = _Version  # type: ignore[attr-defined]
        package = types.ModuleType("distutils")
        package.__path__ = []
        package.__spec__ = importlib.machinery.ModuleSpec("distutils", None, is_package=True)
        package.version = version  # type: ignore[attr-defined]
        sys.modules.update({"distutils": package, "distutils.version": version})


class _Version(tuple):
    """The numbers of a version such as ``1.26.4``, in order: all that MXNet compares."""

    def __new__(cls, text: str) -> _Version:
        return super().__new__(cls, map(int, re.findall(r"\d+", text)))

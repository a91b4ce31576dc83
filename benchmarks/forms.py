"""Forms of a net that only benchmarks measure, besides those of the comparison.

One runs as the book does. The others only infer: in int8, ours and PyTorch's, and as an ONNX file
in onnxruntime.

The weights of those that only infer are the ones that the net begins with, and their int8 ranges
those of a few of the images that are measured. The speed does not depend on either.
"""

from __future__ import annotations

import os
from pathlib import Path
import tempfile
from typing import Any, Callable, cast
import warnings

from gluonbook.compare import speed
from gluonbook.compare.numbers import torch_net
from gluonbook.export import onnxruntime_session, quantize, to_onnx
from gluonbook.measure import contenders
from gluonbook.measure.contenders import serve, untrained
from gluonbook.measure.subprocess_worker import SubprocessWorker
from gluonbook.recipes import recipe_of
from gluonbook.system import old_names
from mxnet import nd
import numpy as np
import torch

#: Operator by operator, the loss apart, on the threads that MXNet takes by itself.
AS_THE_BOOK = "Gluon, as the book runs it"
INT8 = "gluonbook, int8"
ONNXRUNTIME = "onnxruntime"
TORCH_INT8 = "PyTorch, int8"
_CALIBRATING = 32

#: What takes X, float32 (N, 1, H, W), and returns the logits once they are computed.
Infer = Callable[[np.ndarray], Any]


def _gluon_int8(section: str, edition: str, X: np.ndarray) -> Infer:
    quantized = quantize(untrained(recipe_of(section), edition), X[:_CALIBRATING])

    def infer(X: np.ndarray) -> nd.NDArray:
        logits = quantized(nd.from_numpy(X, zero_copy=False))
        logits.wait_to_read()
        return logits

    return infer


def _onnxruntime(section: str, edition: str, X: np.ndarray) -> Infer:
    """In float32, on as many threads as MXNet has."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.onnx")
        to_onnx(untrained(recipe_of(section), edition), path, X.shape)
        session = onnxruntime_session(path.read_bytes(), int(os.environ["OMP_NUM_THREADS"]))
    return lambda X: session.run(["logits"], {"images": X})


def _torch_int8(section: str, edition: str, X: np.ndarray) -> Infer:
    """PyTorch's net by ``torch.ao`` in its FX mode for x86, calibrated, with channels last."""
    from torch.ao.quantization import get_default_qconfig_mapping, quantize_fx

    torch.backends.quantized.engine = "x86"
    images = torch.from_numpy(X[:_CALIBRATING])
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # PyTorch is about to move it to a package of its own
        net = cast(Any, torch_net(section)).eval().to(memory_format=torch.channels_last)
        observed = quantize_fx.prepare_fx(net, get_default_qconfig_mapping("x86"), (images,))
        observed(images)
        quantized = quantize_fx.convert_fx(observed)

    def infer(X: np.ndarray) -> torch.Tensor:
        with torch.no_grad():
            return quantized(torch.from_numpy(X).to(memory_format=torch.channels_last))

    return infer


FORMS = {INT8: _gluon_int8, ONNXRUNTIME: _onnxruntime, TORCH_INT8: _torch_int8}


class InferenceForm:
    """One of `FORMS`, measured as `GluonForm` is; it is made when it is first asked."""

    def __init__(self, form: str, section: str, edition: str) -> None:
        self._arguments = (form, section, edition)
        self._infer: Infer | None = None

    def train(self, X: np.ndarray, y: np.ndarray) -> None:
        raise NotImplementedError("this form does not train")

    def infer(self, X: np.ndarray, y: np.ndarray) -> None:
        if self._infer is None:
            form, section, edition = self._arguments
            self._infer = FORMS[form](section, edition, X)
        self._infer(X)


def worker_of(form: str, section: str, edition: str, batch_size: int) -> SubprocessWorker:
    """A process for a form of these or of the comparison's."""
    arguments = (form, section, edition, batch_size)
    if form in FORMS:
        return SubprocessWorker(__file__, *arguments, recipe_of(section).size)
    if form != AS_THE_BOOK:
        return speed.worker_of(*arguments)
    # Without what importing gluonbook first would do for MXNet, but for the names that it misses.
    names = f"from runpy import run_path; run_path({old_names.__file__!r})['provide']()"
    code = f"{names}; import mxnet; from {contenders.__name__} import main; main()"
    environment = {**os.environ, "MXNET_CPU_PARALLEL_SIZE": "200000", "MXNET_CPU_TEMP_COPY": "4"}
    environment.pop("OMP_NUM_THREADS", None)
    return SubprocessWorker("-c", code, *arguments, recipe_of(section).size, env=environment)


def main() -> None:
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    serve(lambda form, section, edition, lr: InferenceForm(form, section, edition))


if __name__ == "__main__":
    main()

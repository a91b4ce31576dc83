"""A net saved as files for other programs, and loaded again."""

from .int8 import (
    CALIBRATIONS,
    QuantizationError,
    Quantized,
    load_quantized,
    quantizable_layers,
    quantize,
    quantize_within,
)
from .onnx import fashion_mnist_to_onnx, onnxruntime_session, to_onnx
from .symbol import (
    ParametersError,
    export_symbol,
    import_symbol,
    load_parameters,
    read_parameters,
    save_parameters,
    write_arrays,
)

__all__ = [
    "CALIBRATIONS",
    "ParametersError",
    "QuantizationError",
    "Quantized",
    "export_symbol",
    "fashion_mnist_to_onnx",
    "import_symbol",
    "load_parameters",
    "load_quantized",
    "onnxruntime_session",
    "quantizable_layers",
    "quantize",
    "quantize_within",
    "read_parameters",
    "save_parameters",
    "to_onnx",
    "write_arrays",
]

"""A net saved as files for other programs, and loaded again."""

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
    "ParametersError",
    "export_symbol",
    "import_symbol",
    "load_parameters",
    "read_parameters",
    "save_parameters",
    "write_arrays",
]

"""A trained net outside of this package: its parameters and its symbol as files."""

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

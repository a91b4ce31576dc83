"""``python chapters/parameters.py``: another name for ``chapters/exercises/net_sizes.py``."""

from pathlib import Path
import runpy

runpy.run_path(str(Path(__file__).parent / "exercises" / "net_sizes.py"), run_name="__main__")

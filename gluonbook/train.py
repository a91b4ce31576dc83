"""``python -m gluonbook.train NAME``: train any net of this package by a recipe.

``gluonbook.train`` is the book's function too. So this module, where it is imported, gives its
place to the function: ``gb.train(...)`` stays what it is.
"""

import sys

from .system.errors import one_line_if_interrupted

with one_line_if_interrupted():
    from .book import train
    from .cli.trainer import main

if __name__ == "__main__":
    sys.exit(main())
else:
    sys.modules[__name__] = train  # type: ignore[assignment]

"""Another name for ``python -m gluonbook.compare``, which earlier READMEs gave."""

import sys

from gluonbook.compare.__main__ import main

sys.exit(main())

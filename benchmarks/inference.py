"""Images a second of inference: gluonbook and PyTorch's forms, interleaved."""

from __future__ import annotations

from gluonbook.compare.speed import FORMS
from training import main

if __name__ == "__main__":
    main("infer", "inference", "Inference in float32", list(FORMS))

"""Run the READMEs' first training, and keep what it leaves as results/quickstart.

The READMEs print its lines and show its curve: where they differ from the new ones,
`python -m pytest tests/test_readme.py` says so.
"""

from __future__ import annotations

import argparse
from pathlib import Path
import shutil
import subprocess
import sys

import results

ROOT = Path(__file__).parents[1]
#: What the READMEs give to Python, in the folder of the clone.
COMMAND = ("chapters/resnet.py", "--limit", "6000", "--epochs", "3", "--seed", "1")
KEPT = ("config.json", "curve.png", "history.csv", "layers.txt", "predictions.png")


def train() -> Path:
    """Run the command in the clone; the folder of its run."""
    runs = ROOT / "runs"
    before = set(runs.glob("resnet-*"))
    code = subprocess.run(
        [sys.executable, *COMMAND], cwd=ROOT, env=results.environment()
    ).returncode
    if code:
        sys.exit(f"the training ended with exit code {code}")
    [folder] = set(runs.glob("resnet-*")) - before
    return folder


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=results.Help)
    told = "folder for the results"
    options.add_argument("--out", type=Path, default=results.RESULTS / "quickstart", help=told)
    out = options.parse_args().out
    results.refuse_foreign(out / name for name in KEPT)
    folder = train()
    out.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        shutil.copy(folder / name, out)
    print(f"written to {out}", file=sys.stderr)


if __name__ == "__main__":
    main()

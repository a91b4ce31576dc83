"""How far each section's quick look gets, and how long it takes.

The options are those at the end of ``python -m gluonbook.train SECTION --help``. A training is
timed as a user would time it: the command from start to end, loading and pictures included.
"""

from __future__ import annotations

import csv
from pathlib import Path
import shlex
import subprocess
import sys
import tempfile
import time

from gluonbook.recipes import QUICK_LOOKS, RECIPES

import results


def train(section: str, seed: int, out: str | Path) -> Path:
    """Run the quick look of a section from one seed; the folder of the run, which is in `out`."""
    command = [sys.executable, "-m", "gluonbook.train", section]
    options = [*shlex.split(QUICK_LOOKS[section]), "--seed", str(seed), "--out", str(out)]
    subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL)
    [folder] = Path(out).glob(f"{section}-*")
    return folder


def look(section: str, seed: int) -> dict:
    """Run a section's quick look from one seed; returns its last epoch's figures and the time."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        run = train(section, seed, folder)
        seconds = time.perf_counter() - start
        with open(run / "history.csv", newline="", encoding="utf-8") as file:
            last = list(csv.DictReader(file))[-1]
    return {
        "section": section,
        "seed": seed,
        "seconds": seconds,
        **{name: float(last[name]) for name in ("loss", "train_acc", "test_acc")},
    }


def main() -> None:
    options = results.parser(__doc__, sections=True)
    options.add_argument("--seeds", nargs="+", type=int, default=[1, 2], help="one run from each")
    options = options.parse_args()
    rows = [look(section, seed) for section in options.sections for seed in options.seeds]

    def listed(section: str, name: str, form: str) -> str:
        return ", ".join(format(row[name], form) for row in rows if row["section"] == section)

    table = results.markdown(
        ["section", "options", "seconds", "loss", "test accuracy"],
        [
            [
                RECIPES[section].title,
                f"`{QUICK_LOOKS[section]}`",
                listed(section, "seconds", ".0f"),
                listed(section, "loss", ".3f"),
                listed(section, "test_acc", ".3f"),
            ]
            for section in options.sections
        ],
    )
    seeds = ", ".join(map(str, options.seeds))
    results.write(
        "quick_looks", options.out, f"The quick looks of `--help`, from seeds {seeds}", table, rows
    )


if __name__ == "__main__":
    main()

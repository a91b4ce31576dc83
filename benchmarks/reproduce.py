"""Train sections in full, as the book does, and compare with the figures that it prints.

A training of hours can be done in pieces: after `--minutes` it is saved, and the next call goes
on with it. Finished runs are kept under results/reproduce/, and the table shows all of them.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
import shutil
from statistics import mean, median, stdev
import subprocess
import sys
from typing import NamedTuple

from gluonbook.recipes import NAMED, RECIPES
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

import results

HOW_TO_STOP_S = 120
#: What the results have of each run.
KEPT = ("history.csv", "config.json", "curve.png")
#: Of the curves of a section with other options than the book's.
OTHER_FORMS = ("s--", "^:", "v-.", "D--")


class Published(NamedTuple):
    """What the book prints for the last epoch, trained on a GPU."""

    loss: float
    train_acc: float
    test_acc: float


#: Dive into Deep Learning, Gluon text, the output printed in each section.
PUBLISHED = {
    "lenet": Published(0.6704, 0.733, 0.754),
    "alexnet": Published(0.4256, 0.845, 0.867),
    "vgg": Published(0.2649, 0.902, 0.909),
    "nin": Published(0.5713, 0.791, 0.812),
    "googlenet": Published(0.3376, 0.872, 0.883),
    "resnet": Published(0.1030, 0.963, 0.909),
    "densenet": Published(0.2100, 0.923, 0.879),
}


class Training(NamedTuple):
    """A section and how it is trained."""

    section: str
    recipe: str
    amp: bool
    num_epochs: int | None = None
    size: int | None = None
    """These where they differ from the recipe's."""
    on_gpu: bool = False

    @classmethod
    def of(cls, section: str, options: dict, on_gpu: bool) -> Training:
        """That of a run with these options, of which the oldest runs lack some."""
        recipe = options.get("recipe", "book")
        num_epochs, size = (
            None if options[name] == getattr(NAMED[recipe][section], name) else options[name]
            for name in ("num_epochs", "size")
        )
        return cls(section, recipe, options.get("amp", False), num_epochs, size, on_gpu)

    @classmethod
    def of_run(cls, config: dict) -> Training:
        """That of a run with this configuration."""
        return cls.of(config["section"], config["options"], config["device"].startswith("gpu"))

    @property
    def title(self) -> str:
        """The name of the net."""
        return NAMED[self.recipe][self.section].title

    @property
    def options(self) -> list[str]:
        """The options that differ from the book."""
        recipe = [] if self.recipe == "book" else ["--recipe", self.recipe]
        numbers = []
        for option, value in (("--epochs", self.num_epochs), ("--size", self.size)):
            numbers += [] if value is None else [option, str(value)]
        return recipe + ["--amp"] * self.amp + numbers + ["--device", "gpu"] * self.on_gpu

    def name(self, seed: int) -> str:
        named = [option for option in self.options if option not in ("--recipe", "--device")]
        words = [option.lstrip("-") for option in named]
        return "-".join([self.section, *words, f"seed{seed}"])


def train(training: Training, seed: int, runs: Path, minutes: float | None) -> Path | None:
    """Begin the run, or go on with it; returns its folder if it has ended, else None."""
    section = training.section
    parent = runs / training.name(seed)
    folders = sorted(
        path for path in parent.glob(f"{section}-*") if (path / "config.json").exists()
    )
    where = ["--resume", str(folders[0])] if folders else ["--out", str(parent)]
    command = [sys.executable, "-m", "gluonbook.train", section]
    command += ["--device", "cpu", *training.options]  # the last one counts
    process = subprocess.Popen([*command, *where, "--seed", str(seed), "--save-every", "50"])
    try:
        code = process.wait(None if minutes is None else 60 * minutes)
    except subprocess.TimeoutExpired:
        process.terminate()
        code = process.wait(HOW_TO_STOP_S)
    except KeyboardInterrupt:
        # The terminal has told the training too, and a second signal would end it unsaved.
        try:
            process.wait(HOW_TO_STOP_S)
        except subprocess.TimeoutExpired:
            process.terminate()
            process.wait(HOW_TO_STOP_S)
        sys.exit("interrupted; the same command goes on")
    if code not in (0, 130, 143):
        sys.exit(f"{section}, seed {seed}: the training ended with exit code {code}")
    if code != 0:
        return None
    [folder] = parent.glob(f"{section}-*")
    return folder


def keep(folder: Path, kept: Path) -> None:
    """Copy what a run measured, and its options, to the results."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    name = Training.of_run(config).name(config["options"]["seed"])
    kept.mkdir(parents=True, exist_ok=True)
    for file in KEPT:
        shutil.copy(folder / file, kept / f"{name}-{file}")


def read(kept: Path) -> list[dict]:
    """All runs that have ended, section by section."""
    runs = []
    for path in sorted(kept.glob("*-history.csv")):
        with open(path, newline="") as file:
            epochs = [
                {name: float(value) for name, value in row.items()} for row in csv.DictReader(file)
            ]
        config = json.loads(Path(str(path).replace("history.csv", "config.json")).read_text())
        training = Training.of_run(config)
        runs.append(
            {
                "section": training.section,
                "title": training.title,
                "options": training.options,
                "seed": config["options"]["seed"],
                "name": path.name[: -len("-history.csv")],
                "epochs": epochs,
                "config": config,
            }
        )
    order = list(RECIPES)
    return sorted(runs, key=lambda run: (order.index(run["section"]), run["options"], run["seed"]))


def _how(run: dict) -> tuple[str, ...]:
    """The section and the options that its training gets."""
    return run["section"], *run["options"]


def table_of(runs: list[dict]) -> str:
    """The last epoch of each section, over its seeds, beside the book's.

    The seconds are the median over all epochs, since a training of hours is disturbed now and then.
    """
    lines = []
    for way in dict.fromkeys(map(_how, runs)):
        chosen = [run for run in runs if _how(run) == way]
        last = [run["epochs"][-1] for run in chosen]
        section, *options = way
        published = PUBLISHED[section]
        title, how = chosen[0]["title"], " ".join(options)
        lines.append(
            [
                f"{title}, `{how}`" if how else title,
                f"{last[0]['epoch']:.0f}",
                ", ".join(str(run["seed"]) for run in chosen),
                *(
                    cell
                    for name, digits in (("loss", 4), ("train_acc", 3), ("test_acc", 3))
                    for cell in (
                        _spread([row[name] for row in last], digits),
                        f"{getattr(published, name):.{digits}f}",
                    )
                ),
                f"{median(row['seconds'] for run in chosen for row in run['epochs']):,.0f}",
                ", ".join(dict.fromkeys(map(_trained_on, chosen))),
            ]
        )
    return results.markdown(
        ["section", "epochs", "seeds", "loss", "book", "train acc", "book", "test acc", "book"]
        + ["s per epoch, median", "trained on"],
        lines,
    )


def _trained_on(run: dict) -> str:
    config = run["config"]
    return ", ".join(config["gpus"] if "gpus" in config else [config["machine"]["processor"]])


def _spread(values: list[float], digits: int) -> str:
    """The mean, with the standard deviation where there are several."""
    text = f"{mean(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ± {stdev(values):.{digits}f}"


def commands_of(runs: list[dict]) -> list[list[str]]:
    """The commands that made the table."""
    return [
        [*way, "--seeds", *(str(run["seed"]) for run in runs if _how(run) == way)]
        for way in dict.fromkeys(map(_how, runs))
    ]


def picture_of(runs: list[dict]) -> Figure:
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.subplots()
    colors = {section: f"C{i}" for i, section in enumerate(RECIPES)}
    ways = list(dict.fromkeys(map(_how, runs)))
    for run in runs:
        x = [row["epoch"] for row in run["epochs"]]
        y = [row["test_acc"] for row in run["epochs"]]
        others = [way for way in ways if way[0] == run["section"] and len(way) > 1]
        axes.plot(
            x,
            y,
            OTHER_FORMS[others.index(_how(run))] if run["options"] else "o-",
            markersize=4,
            color=colors[run["section"]],
            label=" ".join(_how(run)),
        )
    for section in {run["section"] for run in runs}:
        axes.axhline(PUBLISHED[section].test_acc, color=colors[section], linestyle=":", linewidth=1)
    axes.set_xscale("log")  # from 5 epochs to 50
    axes.xaxis.set_major_locator(LogLocator(10, (1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("epoch")
    axes.set_ylabel("test accuracy (dotted: the book's)")
    axes.grid(alpha=0.3)
    unique = dict(zip(*reversed(axes.get_legend_handles_labels())))
    axes.legend(unique.values(), unique.keys(), fontsize="small")
    return figure


def main() -> None:
    options = results.parser(__doc__)
    options.add_argument("sections", nargs="*", choices=[*RECIPES, []], metavar="SECTION")
    options.add_argument("--recipe", default="book", choices=list(NAMED))
    options.add_argument("--amp", action="store_true", help="in bfloat16")
    options.add_argument("--epochs", dest="num_epochs", type=int, help="if not the recipe's")
    options.add_argument("--size", type=int, help="of the images, if not the recipe's")
    options.add_argument("--device", default="cpu", choices=["cpu", "gpu"])
    options.add_argument("--seeds", nargs="+", type=int, default=[1], metavar="N")
    options.add_argument("--minutes", type=float, help="for each training, then save and stop")
    options.add_argument("--runs", type=Path, default=Path("runs/reproduce"))
    options = options.parse_intermixed_args()
    kept = options.out / "reproduce"
    trainings = []
    for section in options.sections:
        if section not in NAMED[options.recipe]:
            sys.exit(f"{section} has no recipe {options.recipe!r}: leave it out, or --recipe")
        recipe = NAMED[options.recipe][section]
        numbers = {"num_epochs": options.num_epochs or recipe.num_epochs}
        numbers["size"] = options.size or recipe.size
        training = Training.of(section, {**vars(options), **numbers}, options.device == "gpu")
        trainings += [(training, seed) for seed in options.seeds]
    names = [training.name(seed) for training, seed in trainings]
    results.refuse_foreign(kept / f"{name}-{file}" for name in names for file in KEPT)
    for training, seed in trainings:
        folder = train(training, seed, options.runs, options.minutes)
        if folder is not None:
            keep(folder, kept)
    runs = read(kept)
    if runs:
        title = "Full runs on Fashion-MNIST, as the book does them"
        results.write(
            *("reproduce", options.out, title, table_of(runs), runs, picture_of(runs)),
            commands=commands_of(runs),
            measured_here=False,
        )


if __name__ == "__main__":
    main()

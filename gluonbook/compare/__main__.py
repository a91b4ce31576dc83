"""``python -m gluonbook.compare resnet``: a section's net beside the PyTorch edition's.

``python -m gluonbook.compare resnet50_v1b`` does the same with a net that torchvision has.

Both nets get the same weights, and are compared layer by layer, in the numbers of one training
step, in the losses of a training over the same batches, and in speed and memory. The exit code is 1
where a tolerance is exceeded. ``--all`` does every section and prints one table.

What is judged is float64. In float32 the losses of nets with batch normalisation part within a few
steps of any rate, in PyTorch from its own float64 as well; they are shown for that.
"""

from __future__ import annotations

import argparse
from functools import partial
import itertools
import json
from pathlib import Path
import shlex
import sys
from typing import Callable, Sequence

import numpy as np
from tqdm import tqdm

from ..cli.parser import Parser, add_shared, learning_rate, seed_number, whole_number
from ..data.fashion_mnist import fashion_mnist, load_data_fashion_mnist
from ..data.image_batches import ImageBatches
from ..nets.edition import EDITIONS
from ..recipes import RECIPES, recipe_of
from ..runs.folder import new_folder
from ..system import contention
from ..system.errors import print_sentences, printable
from ..system.messages import describe
from ..system.ownership import refuse_foreign

print_sentences(partial(describe, options=["--batch-size"]))

from ..pytorch import architecture, torchvision  # noqa: E402  # isort: skip  (needs PyTorch)
from . import curves, numbers, report, speed, text  # noqa: E402  # isort: skip
from .comparison import Comparison  # noqa: E402  # isort: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Compare what `argv` names, by default the command line; the exit code."""
    parser = _parser()
    options = parser.parse_args(argv)
    if bool(options.section) == options.all:
        parser.error(f"name one section ({', '.join(RECIPES)}), or --all")
    results = Path(options.results)
    table_file, figures_file = results / "compare.md", results / "compare.json"
    if options.all:
        refuse_foreign([table_file, figures_file], "--results")
    fashion_mnist(options.data)  # so that a damaged file is told before anything is computed
    names = RECIPES if options.all else [options.section]
    comparisons = [compare_section(name, options) for name in names]
    if options.all:
        given = sys.argv[1:] if argv is None else argv
        table = text.overview(
            comparisons, shlex.join(["python", "-m", "gluonbook.compare", *given])
        )
        print(table)
        results.mkdir(parents=True, exist_ok=True)
        table_file.write_text(table, encoding="utf-8")
        figures_file.write_text(
            json.dumps([one.as_json() for one in comparisons], indent=1) + "\n", encoding="utf-8"
        )
    return int(any(one.faults() for one in comparisons))


def compare_section(section: str, options: argparse.Namespace) -> Comparison:
    """Build both nets anew for each part, since training changes them."""
    recipe = recipe_of(section)
    # A rate suits a size of batches: the recipe's, with batches of 8, lets the losses jump.
    lr = options.lr or recipe.lr * options.batch_size / recipe.batch_size

    def nets() -> numbers.Nets:
        return numbers.build(section, options.edition, options.seed, options.start_from)

    def load(batch_size: int, limit: int, limit_test: int = 1) -> tuple[ImageBatches, ImageBatches]:
        chosen = {"limit": limit, "limit_test": limit_test, "seed": options.seed}
        return load_data_fashion_mnist(batch_size, recipe.size, options.data, **chosen)

    def train(num_steps: int | None, dtype: str) -> tuple[numbers.Nets, curves.Curves]:
        both = nets()
        images, _ = load(options.batch_size, options.limit)
        passes = range(options.epochs) if num_steps is None else itertools.count()
        stream = itertools.chain.from_iterable(images.arrays() for _ in passes)
        batches = tqdm(
            itertools.islice(stream, num_steps),
            desc=f"training, {dtype}",
            total=num_steps or options.epochs * len(images),
            unit="step",
            leave=False,
            disable=None,  # only on a terminal
        )
        return both, curves.training(
            both, batches, lr, options.batch_size, conventions=options.conventions, dtype=dtype
        )

    note(f"{recipe.title}: architecture and numbers")
    both = nets()
    result = Comparison(
        section,
        recipe.title,
        options.edition,
        {**vars(options), "lr": lr},
        architecture.architecture(both.gluon, both.torch, (1, 1, recipe.size, recipe.size)),
        both.mismatch,
    )
    if both.mismatch is None:
        two_images, _ = load(2, limit=2)
        result.numbers = numbers.numbers(both, *next(two_images.arrays()))
        note(f"{recipe.title}: training, float32")
        _, result.curves = train(None if options.epochs else options.steps, "float32")
        note(f"{recipe.title}: training, float64")
        exact_steps = options.exact_steps or min(options.steps, len(result.curves.gluon_loss))
        both, result.exact = train(exact_steps, "float64")
        _, test_iter = load(100, limit=1, limit_test=400)
        _classify(result, both, test_iter)
    if not options.no_speed:
        note(f"{recipe.title}: speed and memory")
        before = contention.usage(family=True)
        result.speeds = speed.measure(
            section,
            options.edition,
            options.speed_batch_size,
            options.rounds,
            compiled=not options.no_compile,
        )
        others = contention.usage(family=True).others_since(before)
        result.disturbance = contention.remark(
            others,
            "the measurement of speed",
            "the speeds are lower than on a free machine, and their ratios cannot be trusted",
        )
    folder = new_folder(Path(options.out), f"compare-{section}")
    report.write(result, folder)
    print(text.text(result))
    note(f"written to {folder}")
    return result


def _classify(result: Comparison, both: numbers.Nets, test_iter: ImageBatches) -> None:
    """Classify the test images with both nets, which have been trained in float64."""
    right, alike, total = np.zeros(2), 0, 0
    for X, y in test_iter.arrays():
        ours, theirs = curves.predictions(both, X, "float64")
        right += (ours == y).sum(), (theirs == y).sum()
        alike += int((ours == theirs).sum())
        total += len(y)
    result.test_accuracies = float(right[0] / total), float(right[1] / total)
    result.alike = alike, total


def note(text: str) -> None:
    """Say on the error stream what is going on."""
    print(printable(text), file=sys.stderr, flush=True)


def _parser() -> Parser:
    parser = Parser("Hold a section's Gluon net against the PyTorch edition, or torchvision.")
    parser.add_argument(
        "section",
        nargs="?",
        choices=[*RECIPES, *torchvision.NAMES],
        metavar="SECTION",
        help=f"{', '.join(RECIPES)}, or a net of torchvision's: {', '.join(torchvision.NAMES)}",
    )
    parser.add_argument("--all", action="store_true", help="every section, and one table of all")
    what = parser.add_argument_group("what is compared")
    what.add_argument(
        "--edition",
        choices=EDITIONS,
        default="pytorch",
        help="text that the Gluon net follows; the other net is the PyTorch edition's",
    )
    _add_number(what, "--steps", 20, "training steps, in float32 and in float64")
    _add_number(what, "--epochs", None, "whole epochs over --limit images instead of --steps")
    _add_number(what, "--exact-steps", None, "steps in float64; --steps if not given")
    _add_number(what, "--limit", 4000, "take the first N training images")
    _add_number(what, "--batch-size", 8, "images in a batch of training")
    what.add_argument(
        "--lr",
        type=learning_rate,
        metavar="RATE",
        help="learning rate; if not given the recipe's, in proportion to the batch size",
    )
    _add_number(what, "--seed", 1, "of weights and shuffling", seed_number)
    how = parser.add_argument_group("differences of convention")
    how.add_argument(
        "--start-from",
        choices=list(numbers.START_FROM),
        default="gluon",
        help="whose initial weights both nets start from",
    )
    how.add_argument(
        "--conventions",
        choices=list(curves.CONVENTIONS),
        default="shared",
        help="shared: last batch and running variance reconciled; own: as each edition",
    )
    timing = parser.add_argument_group("speed")
    _add_number(timing, "--rounds", 3, "interleaved rounds")
    _add_number(timing, "--speed-batch-size", 32, "images in a batch when speed is measured")
    timing.add_argument("--no-speed", action="store_true", help="leave speed and memory out")
    timing.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    output = parser.add_argument_group("data and output")
    add_shared(output, "--data")
    told = "folder that the comparison's folder is made in"
    output.add_argument("--out", default="runs", metavar="DIR", help=told)
    told = "folder that --all writes compare.md and compare.json into"
    output.add_argument("--results", default="results", metavar="DIR", help=told)
    add_shared(output, "--debug")
    return parser


def _add_number(
    options: argparse._ArgumentGroup,
    name: str,
    default: int | None,
    told: str,
    kind: Callable[[str], int] = whole_number,
) -> None:
    options.add_argument(name, type=kind, default=default, metavar="N", help=told)


if __name__ == "__main__":
    sys.exit(main())

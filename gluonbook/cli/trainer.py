"""``python -m gluonbook.train NAME``: train a section's net, or any other, by a recipe."""

from __future__ import annotations

import sys
from typing import Sequence

import mxnet as mx
from mxnet import gluon, nd

from .. import book
from ..data.fashion_mnist import load_data_fashion_mnist
from ..distributed.environment import is_first
from ..distributed.workers import workers
from ..recipes import RECIPES, Recipe, Tuning, recipe_of
from ..summary import format_table, layer_table
from ..system.errors import print_sentences
from ..system.messages import describe
from ..system.output import say
from ..training.tuned import tuned
from .arguments import Arguments, begun
from .options import Options, of_trainer
from .parser import Parser
from .training_parser import TRAINER

_SECTIONS = "\n".join(
    f"  {name:<10} {of.num_epochs} epochs, {of.batch_size} images of {of.size} pixels in a batch"
    for name, of in RECIPES.items()
)
_EPILOG = f"""\
NAME is a section of the book, trained as it says,
{_SECTIONS}
or any net that gluonbook.list_models() lists. `{TRAINER} NAME --help` lists its
options.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Train as `argv` says, by default the command line; the exit code."""
    print_sentences(describe)
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0].startswith("-"):
        parser = Parser(
            "Train a net of the book, or any other, on Fashion-MNIST.",
            prog=TRAINER,
            usage="%(prog)s NAME [options]",
            epilog=_EPILOG,
        )
        parser.parse_args([text for text in argv if text in ("-h", "--help")])
        parser.error("name the net first, such as resnet")
    name, *rest = argv
    options = of_trainer(name, rest) if is_first() else Options()
    options = options.from_first(workers())
    recipe = recipe_of(name, options.recipe)
    command = f"-m gluonbook.train {name} --resume"
    _train(recipe, options, begun(name, options, command, recipe))
    return 0


def _train(recipe: Recipe, options: Options, args: Arguments) -> None:
    """Train as a chapter does, but by a recipe."""
    net, shape = recipe.net(options.edition), (1, 1, args.size, args.size)
    table = format_table(layer_table(net, shape))
    if workers().is_first:
        say(table)
    net.infer_shape(nd.zeros(shape))
    mx.random.seed(args.seed)
    net.initialize(mx.init.create(recipe.initializer), ctx=args.ctx)
    if options.hybridize:
        net.hybridize(static_alloc=True, static_shape=True)
    train_iter, test_iter = load_data_fashion_mnist(
        args.batch_size, args.size, augment=recipe.tuning.augment, **args.data
    )
    if recipe.tuning == Tuning():
        rate = {"learning_rate": args.lr}
        trainer = gluon.Trainer(net.collect_params(), recipe.optimizer, rate)
        book.train_ch5(
            *(net, train_iter, test_iter, args.batch_size, trainer, args.ctx, args.num_epochs),
            run=args.run,
        )
    else:
        steps = args.num_epochs * len(train_iter)
        trainer, loss = tuned(net, args.lr, recipe.tuning, steps)
        book.train(
            *(train_iter, test_iter, net, loss, trainer, args.ctx, args.num_epochs), run=args.run
        )

"""What a chapter is run with: its hyperparameters, its options, and its run's folder."""

from __future__ import annotations

from functools import partial
import shlex
import sys
from typing import Any, NamedTuple, Sequence

import mxnet as mx
from mxnet import gluon

from ..data.image_batches import refuse_uneven_parts
from ..distributed.environment import is_first
from ..distributed.workers import workers
from ..gpu.device import be_deterministic, devices
from ..operations import fingerprint
from ..recipes import RECIPES, Recipe
from ..runs.folder import RunFolder
from ..system.errors import Failure, print_sentences
from ..system.messages import describe, shorter
from ..system.output import in_notebook
from ..training import precision
from .options import Options, of_chapter


class Arguments(NamedTuple):
    """What a training is run with."""

    lr: float
    num_epochs: int
    batch_size: int
    size: int
    """Height and width of the images, in pixels."""
    seed: int
    """Of the initial weights and of dropout; the order of the images follows from it too."""
    ctx: mx.Context | list[mx.Context]
    """The device to train on, or several."""
    data: dict[str, Any]
    """What else `load_data_fashion_mnist` takes."""
    run: RunFolder
    """What keeps the training, as ``run=`` of `train_ch5`."""


def arguments(
    name: str,
    *,
    lr: float,
    num_epochs: int,
    batch_size: int,
    size: int,
    argv: Sequence[str] | None = None,
) -> Arguments:
    """A chapter's hyperparameters, and what the options of the command line make of them.

    From here on, an error that a user can fix ends the script with one sentence, without a
    traceback (with ``--debug`` it has one). In a notebook nothing is changed; there, options are
    the list `argv`, such as ``["--limit", "2000"]``.

    Parameters
    ----------
    name
        Of the chapter; its runs and their files begin with it.
    lr, num_epochs, batch_size, size
        What the chapter states. Options override it: ``--help`` lists them.

    Raises
    ------
    SystemExit
        With code 2, after one sentence, if an option is wrong; with 0 after ``--help``.
    Failure
        If the run to resume is missing, damaged, or contradicts the options; if the device is not
        there; if the workers cannot share a batch; if no file can begin with `name`, or a number
        that the chapter states is none that the option for it takes.
    """
    stated = {"lr": lr, "num_epochs": num_epochs, "batch_size": batch_size, "size": size}
    notebook = in_notebook()
    if not notebook:
        print_sentences(describe)
    if argv is None:
        argv = [] if notebook else sys.argv[1:]
    options = of_chapter(name, argv, stated) if is_first() else Options()
    command = None if notebook else f"{shlex.quote(shorter(sys.argv[0]))} --resume"
    return begun(name, options.from_first(workers()), command)


def begun(
    name: str,
    options: Options,
    command: str | None,
    recipe: Recipe | None = None,
) -> Arguments:
    """What these options mean on this machine.

    Parameters
    ----------
    command
        What Python is given to resume the run, but for the folder.
    recipe
        That of the trainer; a chapter states its own numbers.
    """
    company = workers()
    refuse_uneven_parts(company.count, options.batch_size)
    if options.deterministic:
        be_deterministic()
    ctxs, known = devices(options.device), recipe or RECIPES.get(name)
    precision.use(*(options.amp, name, options.recipe, ctxs), alone=company.alone)
    return Arguments(
        *(options.lr, options.num_epochs, options.batch_size, options.size, options.seed),
        ctxs[0] if len(ctxs) == 1 else ctxs,
        {
            "root": options.data,
            "limit": options.limit,
            "limit_test": options.limit_test,
            "seed": options.seed,
            "part": company.part,
        },
        RunFolder(
            options.resume,
            parent=options.out,
            name=name,
            title=f"{name if known is None else known.title} on Fashion-MNIST",
            options=vars(options),
            training=None if recipe is None else recipe.training(),
            command=command,
            facts={"the section": name, "the text": options.edition},
            save_every=options.save_every,
            seed=options.seed,
            export_onnx=options.export == "onnx",
            tensorboard=options.tensorboard,
            check_net=partial(_refuse_untested, known, options.edition) if options.amp else None,
        ),
    )


def _refuse_untested(recipe: Recipe | None, edition: str, net: gluon.Block) -> None:
    """Raise a `Failure` if `net` is not the one that was tested in 16 bits under this name."""
    if recipe is None or fingerprint(net) != fingerprint(recipe.net(edition)):
        raise Failure(
            "--amp: this net is not the section's, and is untested in 16 bits: train without --amp"
        )

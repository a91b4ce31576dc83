"""``python -m gluonbook.predict RUN [IMAGE ...]``: classify with a trained net.

RUN is the folder of a run, or the name of a net that comes trained.

Without images, the test images of Fashion-MNIST are classified, and pictures show what the net gets
right and wrong.
"""

from __future__ import annotations

import argparse
from contextlib import suppress
from functools import partial
import json
import os
from pathlib import Path
import sys
from typing import Any, NamedTuple, Sequence

import numpy as np

from .cli.parser import Parser, add_shared, out_folder, whole_number
from .data import fashion_mnist
from .data.fashion_mnist import CLASSES
from .gpu.device import devices
from .plots.figure import save_picture
from .plots.predictions import draw_confusion, draw_filters, draw_images
from .predictions import measures
from .predictions.classifier import Classifier
from .predictions.images import GROUNDS, read_image
from .runs.trained import check_classes, folder_of, load_run, load_run_in_int8, pretrained_of
from .system.errors import Failure, print_sentences, printable
from .system.messages import describe
from .system.ownership import refuse_foreign

__all__ = ["Answer", "classify", "load_run", "load_run_in_int8", "main"]

#: Images on a page of predictions or mistakes.
_PAGE = 45


class Answer(NamedTuple):
    """What a classifier says of one image."""

    image: str
    predicted: str
    probability: float
    probabilities: dict[str, float]


def classify(
    classifier: Classifier, paths: Sequence[str | os.PathLike[str]], ground: str = "auto"
) -> tuple[list[Answer], np.ndarray]:
    """The answers for image files, and the images as the net sees them, uint8 (N, 1, 28, 28).

    Raises
    ------
    FileFailure, ImageError
        As `read_image` does.
    """
    images = np.stack([read_image(path, ground) for path in paths])[:, np.newaxis]
    answers = []
    for path, row in zip(paths, classifier.probabilities(images)):
        named = dict(zip(CLASSES, map(float, row)))
        best = CLASSES[int(row.argmax())]
        answers.append(Answer(os.fspath(path), best, named[best], named))
    return answers, images


def main(argv: Sequence[str] | None = None) -> int:
    """Classify what `argv` names, by default the command line; the exit code."""
    print_sentences(partial(describe, options=()))
    options = _parser().parse_args(argv)
    folder = Path(options.out or folder_of(options.run) / "predictions")
    _refuse_outputs(options, folder)
    classifier = _classifier_of(options)
    out_folder(folder)
    if options.images:
        result = _of_files(classifier, options.images, options.ground, folder)
    else:
        result = _of_test_images(classifier, options.data, options.limit_test, folder)
    with suppress(ValueError):  # a net may have no convolution to draw
        save_picture(draw_filters(classifier.net), folder / "filters.png")
    print(json.dumps(result, indent=2) if options.json else _text(result))
    if not options.images and (comes_trained := pretrained_of(options.run)):
        print(
            f"the card of {comes_trained.name} says {comes_trained.card()['accuracy']:.4f}",
            file=sys.stderr,
        )
    print(printable(f"pictures are in {folder}"), file=sys.stderr)
    return 0


def _refuse_outputs(options: argparse.Namespace, folder: Path) -> None:
    """Refuse to write over what is the user's: in RUN itself, only the images that are named."""
    names = ("images",) if options.images else ("predictions", "mistakes", "confusion")
    images = set(map(os.path.realpath, options.images))
    outputs = (folder / f"{name}.png" for name in (*names, "filters"))
    refuse_foreign(path for path in outputs if options.out or os.path.realpath(path) in images)


def _classifier_of(options: argparse.Namespace) -> Classifier:
    if not options.int8:
        classifier = load_run(options.run, devices(options.device)[0])
        check_classes(classifier, options.run)
        return classifier
    if not options.device.startswith(("auto", "cpu")):
        raise Failure(f"--int8 computes on the CPU: leave --device {options.device} out")
    return load_run_in_int8(options.run, options.data)


def _of_files(
    classifier: Classifier, paths: Sequence[str], ground: str, folder: Path
) -> dict[str, Any]:
    answers, images = classify(classifier, paths, ground)
    probabilities = np.array([list(answer.probabilities.values()) for answer in answers])
    page = draw_images(images[:_PAGE], probabilities[:_PAGE], CLASSES)
    save_picture(page, folder / "images.png")
    return {"images": [answer._asdict() for answer in answers]}


def _of_test_images(
    classifier: Classifier, data: str | None, limit: int | None, folder: Path
) -> dict[str, Any]:
    images, labels = (array[:limit] for array in fashion_mnist.fashion_mnist(data).test)
    probabilities = classifier.probabilities(images)
    predicted = probabilities.argmax(axis=1)
    matrix = measures.confusion(labels, predicted, len(CLASSES))
    worst = measures.worst_mistakes(labels, probabilities, _PAGE)
    for name, chosen in (("predictions", np.arange(len(labels))[:_PAGE]), ("mistakes", worst)):
        if len(chosen):
            page = draw_images(images[chosen], probabilities[chosen], CLASSES, labels[chosen])
            save_picture(page, folder / f"{name}.png")
    figures = (measures.precision(matrix), measures.recall(matrix))
    save_picture(draw_confusion(matrix, CLASSES, *figures), folder / "confusion.png")
    return measures.report(matrix)


def _text(result: dict[str, Any]) -> str:
    if "images" in result:
        lines = []
        for answer in result["images"]:
            ranked = sorted(answer["probabilities"].items(), key=lambda item: -item[1])[:3]
            told = ", ".join(f"{name} {probability:.1%}" for name, probability in ranked)
            lines.append(printable(f"{answer['image']}: {told}"))
        return "\n".join(lines)
    lines = [f"{result['test_images']:,} test images, accuracy {result['accuracy']:.4f}", ""]
    lines.append(f"{'class':<12}{'precision':>10}{'recall':>10}")
    for name, figures in result["classes"].items():
        values = (figures["precision"], figures["recall"])
        cells = ("-" if value is None else f"{value:.3f}" for value in values)
        lines.append(f"{name:<12}" + "".join(f"{cell:>10}" for cell in cells))
    return "\n".join(lines)


def _parser() -> Parser:
    parser = Parser(
        "Classify image files, or the test images of Fashion-MNIST, with a trained net.",
        prog="python -m gluonbook.predict",
    )
    add_shared(parser, "run")
    parser.add_argument(
        "images", nargs="*", metavar="IMAGE", help="PNG or JPEG file; without any, the test images"
    )
    parser.add_argument(
        "--ground",
        choices=GROUNDS,
        default="auto",
        help="what is behind the thing in the files; the data set's images are light on dark",
    )
    parser.add_argument(
        "--limit-test", type=whole_number, metavar="N", help="classify the first N test images"
    )
    parser.add_argument(
        "--int8",
        action="store_true",
        help="compute in 8-bit integers on the CPU; the first time, the net is quantized with "
        "training images and kept in RUN, or in runs/NAME",
    )
    add_shared(parser, "--data", "--device")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="folder for the pictures (default: predictions in RUN, or in runs/NAME)",
    )
    add_shared(parser, "--debug")
    return parser


if __name__ == "__main__":
    sys.exit(main())

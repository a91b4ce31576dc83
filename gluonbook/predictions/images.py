"""Image files of a user's own, made like the images of Fashion-MNIST.

Source: Xiao, Rasul and Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine
learning algorithms", 2017, section 2, describes how photos became the images of the data set.
"""

from __future__ import annotations

import io
import os
import warnings

import numpy as np
from PIL import Image, ImageFile, ImageOps

from ..system import files
from ..system.errors import Failure

SIZE = 28
#: What is behind the thing: found out, light as in a photo, or dark as in the data set.
GROUNDS = ("auto", "light", "dark")
_LARGEST_FILE, _MOST_PIXELS = 2**26, 50_000_000
#: Gray levels by which a pixel may differ from the ground and still be a part of it: 5 % of white.
_GROUND_TOLERANCE = 13


class ImageError(Failure, ValueError):
    """A file is not an image that can be classified."""


def read_image(path: str | os.PathLike[str], ground: str = "auto") -> np.ndarray:
    """The image in a PNG or JPEG file as uint8 (28, 28), light on dark.

    An image of 28×28 pixels on a dark ground stays as it is. Any other is made gray, inverted if
    its ground is light, and trimmed of the ground around the thing. What is left is scaled until
    its longer side has 28 pixels, and centred on black. Transparent parts count as white. The data
    set's authors did the same, and also sharpened the result a little.

    Parameters
    ----------
    ground
        One of `GROUNDS`. With ``"auto"`` the ground is light if most of the border is.

    Raises
    ------
    FileFailure
        If the file is missing, unreadable, or larger than 64 MiB.
    ImageError
        If it is not a whole PNG or JPEG image, or has more than 50 million pixels.
    """
    gray = _gray(path, files.read(path, _LARGEST_FILE))
    if ground == "light" or (ground == "auto" and np.median(_border(gray)) > 127):
        gray = 255 - gray
    return gray if gray.shape == (SIZE, SIZE) else _centred(_trimmed(gray))


def _gray(path: str | os.PathLike[str], content: bytes) -> np.ndarray:
    """The pixels (H, W) from 0, black, to 255."""
    takes_truncated = ImageFile.LOAD_TRUNCATED_IMAGES  # which other packages switch on, for all
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own, of images that are large
            with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as image:
                if image.width * image.height > _MOST_PIXELS:
                    raise Image.DecompressionBombError
                if image.mode.startswith("I"):  # 16 bits for each pixel
                    return (np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)
                colors = ImageOps.exif_transpose(image).convert("RGBA")  # as the camera was held
                white = Image.new("RGBA", colors.size, "white")
                return np.asarray(Image.alpha_composite(white, colors).convert("L"))
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"{path} has more than {_MOST_PIXELS:,} pixels: reduce it first"
        ) from error
    except Exception as error:  # Pillow's readers raise many kinds for damaged files
        raise ImageError(f"{path} is not a PNG or JPEG image, or is damaged") from error
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = takes_truncated


def _border(gray: np.ndarray) -> np.ndarray:
    return np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])


def _trimmed(gray: np.ndarray) -> np.ndarray:
    """The smallest part that holds every pixel lighter than the ground, less the ground's gray.

    All of it if no pixel is lighter.
    """
    lighter = np.maximum(0, gray.astype(int) - int(np.median(_border(gray))))
    thing = lighter > _GROUND_TOLERANCE
    rows, columns = np.flatnonzero(thing.any(axis=1)), np.flatnonzero(thing.any(axis=0))
    if len(rows):
        lighter = lighter[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return lighter.astype(np.uint8)


def _centred(gray: np.ndarray) -> np.ndarray:
    """`gray`, scaled until its longer side has 28 pixels, in the middle of 28×28 black ones."""
    height, width = (max(1, round(SIZE * side / max(gray.shape))) for side in gray.shape)
    scaled = Image.fromarray(gray).resize((width, height), Image.Resampling.LANCZOS)
    centred = np.zeros((SIZE, SIZE), np.uint8)
    top, left = (SIZE - height) // 2, (SIZE - width) // 2
    centred[top : top + height, left : left + width] = np.asarray(scaled)
    return centred

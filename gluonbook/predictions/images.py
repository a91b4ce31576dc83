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
#: The longest side that a JPEG can have. Scaling takes 48 bytes for each pixel of it.
_LONGEST_SIDE = 65_535
#: Gray levels by which a pixel may differ from the ground and still be a part of it: 5 % of white.
_GROUND_TOLERANCE = 13


class ImageError(Failure, ValueError):
    """A file is not an image that can be classified."""


def read_image(path: str | os.PathLike[str], ground: str = "auto") -> np.ndarray:
    """The image in a PNG or JPEG file as uint8 (28, 28), light on dark.

    The data set's authors made their images of photos in about these steps, and also sharpened the
    result a little. ``chapters/classify_onnx.py`` takes the same steps, to the same pixels.

    1. The image is turned as the camera was held, which EXIF tells.
    2. It is made gray, in whole levels from 0, black, to 255. Of 16 bits the upper 8 stay.
       Transparent parts are laid on white.
    3. Its ground is the median level in its corners, each of H // 28 × W // 28 pixels of the H×W,
       but at least one. If the ground is light, more than 127, the image is inverted.
    4. An image of 28×28 pixels is left so. It is one of the data set's or was made like them, and
       to scale it again would blur it.
    5. Of any other the ground is subtracted. Then it is trimmed to the smallest part with every
       pixel of more than 13 levels.
    6. What is left is scaled by Lanczos's filter until its longer side has 28 pixels, and centred
       on black.

    Parameters
    ----------
    ground
        One of `GROUNDS`; ``"light"`` and ``"dark"`` say whether step 3 inverts the image.

    Raises
    ------
    FileFailure
        If the file is missing, unreadable, or larger than 64 MiB.
    ImageError
        If it is not a whole PNG or JPEG image, has more than 50 million pixels, or more than 65,535
        along one side, or if there is nothing in it but ground.
    """
    gray = _gray(path, files.read(path, _LARGEST_FILE))
    if ground == "light" or (ground == "auto" and _ground(gray) > 127):
        gray = 255 - gray
    if gray.shape == (SIZE, SIZE) and gray.min() < gray.max():
        return gray
    thing = _trimmed(gray)
    if not thing.size:
        raise ImageError(
            f"there is nothing in {path} but ground: name another image, or say what its ground is"
        )
    return _centred(thing)


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
                if max(image.size) > _LONGEST_SIDE:
                    raise ImageError(
                        f"{path} has more than {_LONGEST_SIDE:,} pixels along one side: reduce it "
                        "first"
                    )
                upright = ImageOps.exif_transpose(image)
                if upright.mode.startswith("I"):  # 16 bits, which Pillow's "L" would cut off at 255
                    levels = np.asarray(upright)
                    gray = (levels >> 8).astype(np.uint8)
                    if "transparency" in upright.info:
                        gray[levels == upright.info["transparency"]] = 255
                    return gray
                upright = upright.convert("RGBA")
                white = Image.new("RGBA", upright.size, "white")
                return np.asarray(Image.alpha_composite(white, upright).convert("L"))
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"{path} has more than {_MOST_PIXELS:,} pixels: reduce it first"
        ) from error
    except ImageError:
        raise
    except Exception as error:  # Pillow's readers raise many kinds for damaged files
        raise ImageError(f"{path} is not a PNG or JPEG image, or is damaged") from error
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = takes_truncated


def _ground(gray: np.ndarray) -> int:
    """The gray level in the corners. All of the border would not do: a large thing is on it."""
    height, width = (max(1, side // SIZE) for side in gray.shape)
    rows = np.concatenate([gray[:height], gray[-height:]])
    return int(np.median(np.concatenate([rows[:, :width], rows[:, -width:]])))


def _trimmed(gray: np.ndarray) -> np.ndarray:
    """The smallest part that holds every pixel lighter than the ground, less the ground's gray.

    Empty if no pixel is lighter.
    """
    ground = _ground(gray)
    lighter = np.maximum(gray, ground) - ground
    thing = lighter > _GROUND_TOLERANCE
    rows, columns = np.flatnonzero(thing.any(axis=1)), np.flatnonzero(thing.any(axis=0))
    if not len(rows):
        return lighter[:0]
    return lighter[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _centred(gray: np.ndarray) -> np.ndarray:
    """`gray`, scaled until its longer side has 28 pixels, in the middle of 28×28 black ones."""
    height, width = (max(1, round(SIZE * side / max(gray.shape))) for side in gray.shape)
    scaled = Image.fromarray(gray).resize((width, height), Image.Resampling.LANCZOS)
    centred = np.zeros((SIZE, SIZE), np.uint8)
    top, left = (SIZE - height) // 2, (SIZE - width) // 2
    centred[top : top + height, left : left + width] = np.asarray(scaled)
    return centred

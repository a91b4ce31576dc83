# %% [markdown]
# # A trained net without MXNet
#
# What training leaves is a graph of operations and their weights. ONNX is a file format for such
# graphs. Many programs run it or compile it: onnxruntime here, others on phones and in web pages.
# So the program that uses a net need not have the framework that trained it.
#
# This script classifies with the file that `chapters/resnet.py --export onnx` leaves in the folder
# of the run, or `python -m gluonbook.export RUN` writes later. It needs neither MXNet nor this
# package, only `pip install onnxruntime pillow`:
#
#     python classify_onnx.py resnet.onnx            # the test images of Fashion-MNIST
#     python classify_onnx.py resnet.onnx shoe.png   # image files

# %%
import argparse
import gzip
import hashlib
import json
import os
from pathlib import Path
import warnings

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # else onnxruntime reports its use by the web
import numpy as np
import onnxruntime
from PIL import Image, ImageOps

# What is wrong is told below, in one sentence each.
onnxruntime.set_default_logger_severity(4)
warnings.simplefilter("ignore")


def shown(text):
    """`text` without the characters that a terminal obeys; a file's text may hold any."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


class Parser(argparse.ArgumentParser):
    """What ends the script in one sentence, wherever something is wrong."""

    def error(self, message):
        self.exit(2, shown(f"error: {message}") + "\n")


parser = Parser(description="Classify images with a net in an ONNX file.")
parser.add_argument("net", metavar="NET.onnx")
parser.add_argument("images", nargs="*", metavar="IMAGE", help="image file; else the test images")
parser.add_argument("--data", default="/usr/share/datasets/fashion-mnist", metavar="DIR")
argv = None  # the command line; in a notebook a list, such as ["resnet.onnx", "shoe.png"]
options = parser.parse_intermixed_args(argv)
folder = Path(options.data)
archives = [folder / "t10k-images-idx3-ubyte.gz", folder / "t10k-labels-idx1-ubyte.gz"]
for path in (options.net, *(options.images or archives)):
    if not Path(path).is_file():
        parser.error(f"there is no file {path}")

# %% [markdown]
# ## The net
#
# A session holds the net, ready to run. The graph has one input, `images`, of shape (N, C, H, W)
# with any N, and one output, `logits`. A graph of numbers does not know what they mean, so the file
# has that beside it: the names of the classes, and how an image becomes the input. This script can
# do that in one way. It takes no file that asks for another, or that is damaged: where training has
# left the file, `SHA256SUMS` has its digest.

# %%
content, sums = Path(options.net).read_bytes(), Path(options.net).with_name("SHA256SUMS")
lines = sums.read_text(errors="replace").splitlines() if sums.is_file() else []
listed = {line[66:]: line[:64] for line in lines}.get(Path(options.net).name)
if listed not in (None, hashlib.sha256(content).hexdigest()):
    parser.error(f"{options.net} is damaged, or was changed: it is not the one in {sums}")
try:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    shape = session.get_inputs()[0].shape
except Exception as error:  # onnxruntime has a class of error for each kind of damage
    parser.error(f"{options.net} is not an ONNX file that onnxruntime reads ({error})")
metadata = session.get_modelmeta().custom_metadata_map
known = {"image": "gray, light on dark", "from": [28, 28], "resize": "bilinear", "divide_by": 255}
try:
    classes = [str(name) for name in json.loads(metadata["classes"])]
    transform = json.loads(metadata["transform"])
except (KeyError, ValueError, TypeError, RecursionError):
    parser.error(f"{options.net} does not say what its classes and its inputs are")
if transform != {**known, "to": shape[2:]} or not all(side in range(1025) for side in shape[2:]):
    parser.error(f"{options.net} takes other inputs than this script makes")
print(shown(f"{metadata.get('name')}: images {shape}, {len(classes)} classes"))
print(transform)

# %% [markdown]
# ## From pixels to the input
#
# The net saw enlarged images in its training, so it must see them now. In bilinear resizing each
# new pixel lies between two old ones, in each direction, and is their mean, weighted by how near
# they are. The weights of all new pixels in one direction form a matrix. So the image is multiplied
# by one matrix from the left, for the rows, and by one from the right, for the columns. The result
# is rounded to whole gray levels and divided, as in the training. MXNet rounds on the way too, so
# that some of its pixels are one level brighter or darker.


# %%
def weights(new, old):
    """The share (new, old) of each old pixel in each new one."""
    places = (np.arange(new) + 0.5) * old / new - 0.5
    return np.stack([np.interp(places, np.arange(old), share) for share in np.eye(old)], axis=1)


def inputs(images):
    """What the net takes for images (N, H, W) from 0, black, to 255."""
    (old_height, old_width), (height, width) = transform["from"], transform["to"]
    rows, columns = weights(height, old_height), weights(width, old_width)
    resized = np.rint(rows @ images @ columns.T)
    return (resized[:, np.newaxis] / transform["divide_by"]).astype(np.float32)


# %% [markdown]
# ## Probabilities
#
# The net gives a number for each class, the logit. Softmax makes probabilities of them. The largest
# logit is taken off first, which changes no probability and keeps the exponential from overflowing.


# %%
def probabilities(images):
    """For images (N, H, W), the probability of each class, (N, classes)."""
    try:
        [logits] = session.run(["logits"], {"images": inputs(images)})
        sound = logits.shape == (len(images), len(classes)) and np.isfinite(logits).all()
    except Exception as error:
        parser.error(f"onnxruntime cannot run {options.net} ({error})")
    if not sound:
        parser.error(f"{options.net} is damaged: it does not give a number for each class")
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


# %% [markdown]
# ## Image files
#
# The images of the data set are gray, 28×28 and light on dark. `python -m gluonbook.predict` makes
# photos like them in these steps, and so does this script, to the same pixels:
#
# 1. The image is turned as the camera was held.
# 2. It is made gray, in 256 levels. Of 16 bits the upper 8 stay. Transparent parts are laid on
#    white.
# 3. Its ground is what its corners show. If that is light, the image is inverted.
# 4. An image of 28×28 pixels stays so.
# 5. Of any other the ground is subtracted, and it is trimmed to what is more than 13 levels
#    lighter.
# 6. That is scaled until its longer side has 28 pixels, and centred on black.


# %%
def gray(path):
    """The image in a file as gray levels (H, W), after steps 1 and 2."""
    with Image.open(path, formats=("PNG", "JPEG")) as image:
        if image.width * image.height > 50_000_000 or max(image.size) > 65_535:
            raise ValueError("it has too many pixels: reduce it first")
        upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):  # 16 bits
        levels = np.asarray(upright)
        pixels = (levels >> 8).astype(np.uint8)
        if "transparency" in upright.info:
            pixels[levels == upright.info["transparency"]] = 255
        return pixels
    upright = upright.convert("RGBA")
    white = Image.new("RGBA", upright.size, "white")
    return np.asarray(Image.alpha_composite(white, upright).convert("L"))


def ground(pixels):
    """The gray level in the corners."""
    height, width = (max(1, side // 28) for side in pixels.shape)
    rows = np.concatenate([pixels[:height], pixels[-height:]])
    return int(np.median([rows[:, :width], rows[:, -width:]]))


def read(path):
    """The image in a file, (28, 28), as the data set would have it; None if there is nothing."""
    pixels = gray(path)
    if ground(pixels) > 127:
        pixels = 255 - pixels
    if pixels.shape == (28, 28) and pixels.min() < pixels.max():
        return pixels
    lighter = np.maximum(pixels, ground(pixels)) - ground(pixels)
    rows, columns = (np.flatnonzero((lighter > 13).any(axis)) for axis in (1, 0))
    if not len(rows):
        return None
    thing = Image.fromarray(lighter).crop((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    width, height = (max(1, round(28 * side / max(thing.size))) for side in thing.size)
    image = Image.new("L", (28, 28))
    thing = thing.resize((width, height), Image.Resampling.LANCZOS)
    image.paste(thing, ((28 - width) // 2, (28 - height) // 2))
    return np.asarray(image)


for path in options.images:
    try:
        image = read(path)
    except Exception as error:  # Pillow has many for damaged files
        parser.error(f"{path} cannot be read as a PNG or JPEG image ({error})")
    if image is None:
        parser.error(f"there is nothing in {path} but ground")
    [answer] = probabilities(image[np.newaxis])
    best = np.argsort(-answer)[:3]
    print(shown(f"{path}: " + ", ".join(f"{classes[i]} {answer[i]:.1%}" for i in best)))

# %% [markdown]
# ## The test images
#
# Without image files, the test set is classified, a batch at a time. Its files are arrays of bytes
# after a header of 16 bytes, or of 8 for the labels. Precision is the share of the images called by
# a class's name that are of it, and recall the share of its images that are called so.

# %%
if not options.images:
    try:
        images, labels = (
            np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header)
            for path, header in zip(archives, (16, 8))
        )
        images = images.reshape(len(labels), 28, 28)
        names = [classes[label] for label in range(labels.max() + 1)]
    except Exception as error:  # of gzip, zlib and NumPy
        parser.error(f"{folder} does not hold the test images of Fashion-MNIST ({error})")
    batches = np.array_split(images, 100)
    predicted = np.concatenate([probabilities(batch).argmax(axis=1) for batch in batches])
    print(f"{len(labels):,} test images, accuracy {(predicted == labels).mean():.4f}\n")
    print(f"{'class':<12}{'precision':>10}{'recall':>10}")
    for i, name in enumerate(names):
        right = ((predicted == i) & (labels == i)).sum()
        counts = ((predicted == i).sum(), (labels == i).sum())
        shares = (f"{right / count:.3f}" if count else "-" for count in counts)
        print(shown(f"{name:<12}" + "".join(f"{share:>10}" for share in shares)))

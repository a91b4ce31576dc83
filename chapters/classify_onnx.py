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
import json
import os
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # else onnxruntime reports its use by the web
import numpy as np
import onnxruntime
from PIL import Image, ImageOps

parser = argparse.ArgumentParser(description="Classify images with a net in an ONNX file.")
parser.add_argument("net", metavar="NET.onnx")
parser.add_argument("images", nargs="*", metavar="IMAGE", help="image file; else the test images")
parser.add_argument("--data", default="/usr/share/datasets/fashion-mnist", metavar="DIR")
argv = None  # the command line; in a notebook a list, such as ["resnet.onnx", "shoe.png"]
options = parser.parse_args(argv)
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
# has that beside it: the names of the classes, and how an image becomes the input.

# %%
try:
    session = onnxruntime.InferenceSession(options.net, providers=["CPUExecutionProvider"])
except Exception as error:  # onnxruntime has a class of error for each kind of damage
    parser.error(f"{options.net} is not an ONNX file that onnxruntime reads ({error})")
metadata = session.get_modelmeta().custom_metadata_map
if not {"classes", "transform"} <= metadata.keys():
    parser.error(f"{options.net} does not say what its classes and its inputs are")
classes, transform = json.loads(metadata["classes"]), json.loads(metadata["transform"])
print(f"{metadata['name']}: images {session.get_inputs()[0].shape}, {len(classes)} classes")
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
    [logits] = session.run(["logits"], {"images": inputs(images)})
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


# %% [markdown]
# ## Image files
#
# The images of the data set are gray, 28×28 and light on dark. A photo is made so: gray, inverted
# if most of its border is light, cut down to what is lighter than the ground, and reduced.


# %%
def read(path):
    """The image in a file, (H, W), as the data set would have it."""
    image = Image.open(path).convert("L")
    pixels = np.asarray(image)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    if np.median(border) > 127:
        image, border = ImageOps.invert(image), 255 - border
    height, width = transform["from"]
    if image.size != (width, height):
        lighter = image.point(lambda level: 255 * (level > np.median(border) + 13))
        image = ImageOps.pad(image.crop(lighter.getbbox()), (width, height))
    return np.asarray(image)


for path in options.images:
    try:
        [answer] = probabilities(read(path)[np.newaxis])
    except (OSError, Image.DecompressionBombError) as error:
        parser.error(f"{path} is not an image that Pillow reads ({error})")
    best = np.argsort(-answer)[:3]
    print(f"{path}: " + ", ".join(f"{classes[i]} {answer[i]:.1%}" for i in best))

# %% [markdown]
# ## The test images
#
# Without image files, the test set is classified, a batch at a time. Its files are arrays of bytes
# after a header of 16 bytes, or of 8 for the labels.

# %%
if not options.images:
    images, labels = (
        np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header)
        for path, header in zip(archives, (16, 8))
    )
    images = images.reshape(-1, *transform["from"])
    batches = np.array_split(images, 100)
    predicted = np.concatenate([probabilities(batch).argmax(axis=1) for batch in batches])
    print(f"{len(labels):,} test images, accuracy {(predicted == labels).mean():.4f}")
    for i, name in enumerate(classes):
        print(f"{name:<12}{(predicted[labels == i] == i).mean():.3f}")

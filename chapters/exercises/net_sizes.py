# %% [markdown]
# # The sizes of the nets
#
# How many parameters do AlexNet, VGG, NiN and GoogLeNet have, and why do the last two need so few?
# The answer is in where the parameters are. So here they are counted by the kind of layer, beside
# the work of one image and the memory of a training step.

# %%
from math import prod

from gluonbook.cli.exercise import Exercise
from gluonbook.operations import gluon_ops
from gluonbook.recipes import RECIPES
from gluonbook.summary import planned_memory
from matplotlib.figure import Figure
from mxnet import nd

exercise = Exercise(
    "net_sizes",
    "Parameters by kind of layer, work and memory of the seven nets.",
    batch_size=32,
)
batch_size = exercise.options.batch_size

# %% [markdown]
# ## Counting
#
# A parameter is a number that training changes: a weight, a bias, or the scale and the shift of a
# batch normalisation. The work is the number of multiply-adds of convolutions and dense layers for
# one image: each number of an output is a sum over all weights of one filter. The memory is what
# MXNet plans for the results of all layers and their gradients, without the parameters themselves.

# %%
KINDS = ("conv", "dense", "batch norm")


def measured(recipe):
    """Parameters and multiply-adds by kind of layer, and planned bytes for a batch."""
    net = recipe.net()
    net.initialize()
    net(nd.zeros((1, 1, recipe.size, recipe.size)))
    parameters, work = dict.fromkeys(KINDS, 0), dict.fromkeys(KINDS, 0)
    for op in gluon_ops(net, (1, 1, recipe.size, recipe.size)):
        for role in ("weight", "bias"):
            if role in op.weights:
                parameters[op.kind] += prod(op.weights[role].shape)
        if op.kind in ("conv", "dense"):
            work[op.kind] += prod(op.shape) * prod(op.weights["weight"].shape[1:])
    return parameters, work, planned_memory(net, (batch_size, 1, recipe.size, recipe.size))


results = {recipe.title: measured(recipe) for recipe in RECIPES.values()}

# %% [markdown]
# ## The answer
#
# A dense layer after the last feature map has a weight for each pixel of each channel and each of
# its outputs. In AlexNet and VGG these weights are nearly all there are: the first dense layer
# alone has 256 · 5 · 5 · 4096, or 26 million, in AlexNet. NiN and GoogLeNet average each channel
# over all pixels first, so that their classifier has no weights or one for each channel and class.
# GoogLeNet's 1×1 convolutions also reduce the channels before each larger convolution.
#
# Fewer parameters are not less work. A convolution uses its weights once for each pixel, a dense
# layer once for each image. So NiN has less than a twentieth of AlexNet's parameters and does four
# fifths of its work, 762 of 938 million multiply-adds. ResNet-18 and DenseNet average first too.

# %%
rows = []
for (title, (parameters, work, memory)), recipe in zip(results.items(), RECIPES.values()):
    total = sum(parameters.values())
    rows.append(
        [
            title,
            recipe.size,
            total,
            *(f"{parameters[kind] / total:.1%}" for kind in KINDS),
            sum(work.values()) / 10**6,
            memory // 2**20,
        ]
    )
figure = Figure(figsize=(9, 3.6), layout="constrained")
parameter_axes, work_axes = figure.subplots(1, 2)
for axes, column, unit in ((parameter_axes, 0, "parameters"), (work_axes, 1, "multiply-adds")):
    left = [0] * len(results)
    for kind in KINDS:
        values = [result[column][kind] / 10**6 for result in results.values()]
        axes.barh(list(results), values, left=left, label=kind)
        left = [a + b for a, b in zip(left, values)]
    axes.invert_yaxis()
    axes.set_xlabel(f"millions of {unit}")
work_axes.set_yticklabels([])
parameter_axes.legend()
exercise.answer(
    f"The sizes of the nets, memory for batches of {batch_size}",
    ["net", "image", "parameters", "in convolutions", "in dense layers", "in batch norm"]
    + ["multiply-adds, millions", "memory, MiB"],
    rows,
    figure,
)

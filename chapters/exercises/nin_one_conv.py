# %% [markdown]
# # NiN with fewer 1×1 convolutions
#
# A NiN block is a convolution and two 1×1 convolutions. Why two? Take one of them away, or both,
# and see what becomes of the net's size and of its training.
#
# The section's own recipe trains NiN from some seeds only, so a comparison by it would tell more
# about seeds than about blocks. This script uses Adam and weights made for ReLU, and several seeds.

# %%
from functools import partial

import gluonbook as gb
from gluonbook.cli.exercise import Exercise
from gluonbook.plots.curves import draw_runs
from gluonbook.summary import num_parameters
from gluonbook.training.epochs import mean_last
from mxnet import nd
from trial import trial

exercise = Exercise(
    "nin_one_conv",
    "NiN with 0, 1 and 2 of the 1×1 convolutions of each block.",
    **{"limit": 4000, "epochs": 4, "batch_size": 32, "size": 96, "seeds": 3},
)

# %% [markdown]
# ## Three nets
#
# `num_1x1_convs` is how many 1×1 convolutions follow the first one of each block. Without any, NiN
# is AlexNet's convolutions with global average pooling in place of the dense layers.

# %%
nets = {num_convs: partial(gb.nin, num_1x1_convs=num_convs) for num_convs in (0, 1, 2)}
sizes = {}
for num_convs, build in nets.items():
    net = build()
    net.initialize()
    net(nd.zeros((1, 1, 96, 96)))
    sizes[num_convs] = num_parameters(net)
    print(f"{num_convs} of the 1×1 convolutions: {sizes[num_convs]:,} parameters")

# %% [markdown]
# ## Training
#
# Each form trains from the same seeds on the same batches.

# %%
recipe = {"optimizer": "adam", "lr": 0.0005, "initializer": "MSRAPrelu"}
histories = {}
for num_convs, build in nets.items():
    print(f"{num_convs} of the 1×1 convolutions")
    histories[num_convs] = [
        trial(build, seed, **recipe, **exercise.training) for seed in exercise.seeds
    ]

# %% [markdown]
# ## What came out

# %%
exercise.answer(
    f"NiN with 0, 1 and 2 of the 1×1 convolutions, from {len(exercise.seeds)} seeds",
    ["1×1 convolutions", "parameters", "loss", "test accuracy", "least", "greatest"]
    + ["seconds per epoch"],
    [
        [
            num_convs,
            sizes[num_convs],
            mean_last(runs).loss,
            mean_last(runs).test_acc,
            min(history[-1].test_acc for history in runs),
            max(history[-1].test_acc for history in runs),
            mean_last(runs).seconds,
        ]
        for num_convs, runs in histories.items()
    ],
    draw_runs({f"{num_convs} of 1×1": runs for num_convs, runs in histories.items()}),
)

# %% [markdown]
# ## The answer
#
# One more 1×1 layer in each block costs 223,054 parameters, an eighth of the net, and a fifth or
# a tenth more time. In 500 steps it brings nothing that shows beside the seeds. Without the
# layers the nets end at test accuracies from 0.456 to 0.833, with one from 0.636 to 0.802, and
# with two at 0.698 and 0.749, while the third seed has not left the loss of guessing, ln 10. The
# curves say why: a deeper net without batch normalisation begins to learn later. All end in a
# ReLU before the last pooling, so a class whose scores are all negative gets no gradient and is
# lost, which would fit the accuracies that stop at 0.456 and 0.64. A full training (`--limit
# 60000 --size 224 --batch-size 128`) would have to tell what the layers bring in the end.

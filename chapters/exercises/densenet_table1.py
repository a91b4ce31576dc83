# %% [markdown]
# # DenseNet's Table 1
#
# Table 1 of the paper lists DenseNet-121, 169, 201 and 264; the authors also published 161, which
# is wider. They are DenseNet-BC: each layer of a dense block first reduces what it reads to four
# times the growth rate by a 1×1 convolution (B), and each transition halves the channels (C). The
# section's own net has neither. What do the two save?

# %%
from functools import partial

import gluonbook as gb
from gluonbook.cli.exercise import Exercise
from gluonbook.plots.curves import draw_runs
from gluonbook.summary import layer_table, totals
from gluonbook.zoo.densenet_family import TABLE_1, bottleneck_block
from mxnet import nd
from trial import trial

exercise = Exercise(
    "densenet_table1",
    "DenseNet-121 to DenseNet-264: parameters and work; DenseNet-121 beside the section's net.",
    **{"limit": 3000, "epochs": 4, "batch_size": 32, "size": 64, "seeds": 1},
)

# %% [markdown]
# ## The bottleneck
#
# Without it, a layer that reads 480 channels and adds 32 has 9 · 480 · 32 or 138 thousand weights.
# With it, it has 480 · 128 for the 1×1 convolution and 9 · 128 · 32 for the 3×3, together 98
# thousand. The gain grows with the channels that are read: for 960 it is 277 against 160 thousand.

# %%
block = bottleneck_block(32)
block.initialize()
print("bottleneck_block(32):", block(nd.zeros((1, 480, 8, 8))).shape)

# %% [markdown]
# ## Sizes
#
# Parameters and multiply-adds with 1,000 classes, for one colour image of 224×224.

# %%
rows = []
for depth, (growth_rate, num_convs) in TABLE_1.items():
    net = gb.get_model(f"densenet{depth}")
    net.initialize()
    parameters, multiply_adds = totals(layer_table(net, (1, 3, 224, 224)))
    rows.append(
        [
            f"DenseNet-{depth}",
            growth_rate,
            " ".join(map(str, num_convs)),
            parameters,
            multiply_adds / 1e9,
        ]
    )

# %% [markdown]
# ## Training
#
# DenseNet-121 beside the section's net, in both of its editions, on the same batches.

# %%
nets = {
    "the section's net": gb.densenet,
    "the section's net, PyTorch edition": partial(gb.densenet, edition="pytorch"),
    "DenseNet-121": partial(gb.get_model, "densenet121", num_classes=10),
}
histories = {}
for title, build in nets.items():
    print(title)
    histories[title] = [trial(build, seed, lr=0.1, **exercise.training) for seed in exercise.seeds]

# %% [markdown]
# ## What came out

# %%
exercise.answer(
    "DenseNet's Table 1",
    ["net", "growth rate", "layers of the blocks", "parameters"]
    + ["multiply-adds at 224, billions"],
    rows,
    draw_runs(histories),
)

# %% [markdown]
# ## The answer
#
# With bottlenecks and compression depth is cheap: DenseNet-264 has 4.2 times the parameters of
# DenseNet-121 and twice its work. Width is not: DenseNet-161, with a growth rate of 48, has 28.7
# million parameters where the deeper DenseNet-201 has 20.0, and the most work of all, 7.7 billion
# multiply-adds. DenseNet-121 has less than a third of the 25.6 million of ResNet-50.
#
# On 3,000 images the three nets end close together after four epochs: the section's at 0.800, that
# of the PyTorch edition, whose transitions do halve the channels, at 0.831, and DenseNet-121 at
# 0.823. One seed each tells no more than that 121 layers train as readily as the section's net.

# %% [markdown]
# # ResNet's Table 1
#
# Table 1 of the paper lists five nets, of 18 to 152 layers. From 50 layers on they are made of
# bottlenecks: a 1×1 convolution reduces the channels to a quarter, a 3×3 convolution works on
# these, and a 1×1 convolution restores them. What do depth and bottlenecks cost, and what do they
# bring on Fashion-MNIST?

# %%
from functools import partial

import gluonbook as gb
from gluonbook.cli.exercise import Exercise
from gluonbook.plots.curves import draw_runs
from gluonbook.summary import layer_table, totals
from gluonbook.training.epochs import mean_last
from gluonbook.zoo.resnet_family import TABLE_1, bottleneck
from mxnet import nd
from trial import trial

exercise = Exercise(
    "resnet_table1",
    "ResNet-18 to ResNet-152: parameters, work, speed and accuracy.",
    **{"limit": 3000, "epochs": 3, "batch_size": 32, "size": 48, "seeds": 1},
)

# %% [markdown]
# ## The bottleneck
#
# A basic block of 256 channels has two 3×3 convolutions, with 2 · 9 · 256 · 256 or 1.2 million
# weights. A bottleneck with 256 channels outside has 64 inside, and 256 · 64 + 9 · 64 · 64 + 64 ·
# 256 or 70 thousand weights. So for the same cost a net of bottlenecks is deeper and wider.

# %%
block = bottleneck(256, strides=1)
block.initialize()
print("bottleneck(256, strides=1):", block(nd.zeros((1, 256, 14, 14))).shape)

# %% [markdown]
# ## Sizes
#
# Parameters and multiply-adds with 1,000 classes, for one colour image of 224×224, as the paper
# counts them. A bottleneck that halves the image does so in its 3×3 convolution here. The paper has
# that in the first 1×1, with less work: 3.8 billion multiply-adds, not 4.1, for ResNet-50.

# %%
sizes = {}
for depth in TABLE_1:
    net = gb.get_model(f"resnet{depth}_v1b")
    net.initialize()
    parameters, multiply_adds = totals(layer_table(net, (1, 3, 224, 224)))
    billions = multiply_adds / 1e9
    sizes[f"ResNet-{depth}"] = [parameters, billions]
    print(f"ResNet-{depth}: {parameters:,} parameters, {billions:.1f} billion multiply-adds")

# %% [markdown]
# ## Training
#
# All nets see the same images in the same order, with the learning rate of the section.

# %%
histories = {}
for depth in TABLE_1:
    print(f"ResNet-{depth}")
    build = partial(gb.get_model, f"resnet{depth}_v1b", num_classes=10)
    histories[f"ResNet-{depth}"] = [
        trial(build, seed, lr=0.05, **exercise.training) for seed in exercise.seeds
    ]

# %% [markdown]
# ## What came out

# %%
exercise.answer(
    f"ResNet's Table 1, trained at {exercise.options.size} pixels",
    ["net", "parameters", "multiply-adds at 224, billions", "loss", "test accuracy"]
    + ["seconds per epoch"],
    [
        [title, *sizes[title], last.loss, last.test_acc, last.seconds]
        for title, last in ((title, mean_last(runs)) for title, runs in histories.items())
    ],
    draw_runs(histories),
)

# %% [markdown]
# ## The answer
#
# Bottlenecks make depth cheap: from 34 to 50 layers the parameters grow by a sixth and the work by
# a ninth, and ResNet-152 has 6.3 times the work of ResNet-18 with 8.4 times its layers. An epoch
# takes 6.9 times as long, 89 seconds instead of 13.
#
# For 3,000 images that are seen three times, depth brings nothing. The deeper the net, the lower
# its test accuracy, from 0.822 to 0.722; only ResNet-50 and ResNet-101 end alike, at 0.759 and
# 0.760. This is no overfitting: the training loss is higher too, 0.888 to 1.030 with bottlenecks
# and 0.385 in ResNet-18. The paper trains on 1.28 million images for some 120 epochs, and there
# each net is better than the one before it. One seed each does not tell neighbours apart.

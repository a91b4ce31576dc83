# %% [markdown]
# # Do small images have to be enlarged?
#
# The section on ResNet enlarges images of 28×28 pixels to 96×96. That adds nothing to see, so what
# is it good for? The net is made for large images: before its first block, the stem has reduced the
# image to a quarter.
#
# The paper has another net for small images, which it trains on CIFAR-10 (section 4.2). It begins
# with a 3×3 convolution that leaves the image its size. What is lost, and what is won?

# %%
from functools import partial

import gluonbook as gb
from gluonbook.cli.exercise import Exercise
from gluonbook.plots.curves import draw_runs
from gluonbook.recipes import LONG
from gluonbook.summary import layer_table, totals
from gluonbook.training.epochs import mean_last
from trial import trial

exercise = Exercise(
    "small_images",
    "ResNet-18 on images as they are and enlarged, and the paper's ResNet-20 for small images.",
    **{"limit": 5000, "hold_out": 5000, "epochs": 3, "batch_size": 64, "size": 96, "seeds": 1},
)

# %% [markdown]
# ## The nets
#
# ResNet-20 has 19 convolutions of 16, 32 and 64 channels and a dense layer. What the stem makes of
# an image, the blocks see: of 96 pixels 24 are left, of 28 pixels 7, and ResNet-20 keeps all 28.

# %%
resnet20 = partial(gb.get_model, "cifar_resnet20_v1", num_classes=10)
enlarged, epochs = exercise.options.size, exercise.options.epochs
ways = {
    f"ResNet-18, {enlarged} pixels": (gb.resnet, enlarged, epochs),
    "ResNet-18, 28 pixels": (gb.resnet, 28, epochs),
    "ResNet-20, 28 pixels": (resnet20, 28, epochs),
    "ResNet-20, 28 pixels, ten times the epochs": (resnet20, 28, 10 * epochs),
}
sizes = {}
for title, (build, size, _) in ways.items():
    net = build()
    net.initialize()
    parameters, multiply_adds = totals(layer_table(net, (1, 1, size, size)))
    sizes[title] = [parameters, multiply_adds / 1e6]
    print(f"{title}: {parameters:,} parameters, {multiply_adds / 1e6:.0f} million multiply-adds")

# %% [markdown]
# ## Training
#
# As the recipe `long` of ResNet-18 does it, with images that are mirrored and shifted, and the same
# images in the same order. So few images are taken in batches of 64 instead of 128, with half the
# learning rate. Last, ResNet-20 is given ten times the epochs, which is the work of ResNet-18 on
# enlarged images.

# %%
tuning = LONG["resnet"].tuning
histories = {}
for title, (build, size, num_epochs) in ways.items():
    print(title)
    training = {**exercise.training, "size": size, "num_epochs": num_epochs}
    histories[title] = [
        trial(build, seed, lr=0.05, tuning=tuning, **training) for seed in exercise.seeds
    ]

# %% [markdown]
# ## What came out

# %%
exercise.answer(
    f"ResNet for small images, trained on {exercise.options.limit:,} images and tested on "
    f"{exercise.options.hold_out:,} training images that were held out",
    ["net", "parameters", "multiply-adds, millions", "epochs", "loss", "accuracy"]
    + ["seconds per epoch"],
    [
        [title, *sizes[title], last.epoch, last.loss, last.test_acc, last.seconds]
        for title, last in ((title, mean_last(runs)) for title, runs in histories.items())
    ],
    draw_runs(histories),
)

# %% [markdown]
# ## The answer
#
# Enlarging does help ResNet-18. Three epochs of 5,000 images end at an accuracy of 0.834 on the
# held-out images with 96 pixels, and at 0.777 with 28. Nothing more is to be seen in the larger
# image, but less of it is lost: the stem leaves 24×24 places of it, and 7×7 of the small one. That
# takes ten times the multiply-adds and four times the seconds.
#
# The net that is made for small images does not need it. ResNet-20 ends at 0.822 with 28 pixels, a
# little below ResNet-18 with 96, by a tenth of its work and a fortieth of its parameters.
#
# The work that is saved can go into more epochs. After thirty of them, about the work of
# ResNet-18's three, ResNet-20 is at 0.903. More epochs of ResNet-18 would bring more too, but they
# have to be paid for.
#
# All this is one seed on few images. On all of them, `python -m gluonbook.train resnet --recipe
# small` trains ResNet-20 for fifty epochs, in batches of 128, and reaches 0.948 on the test images.

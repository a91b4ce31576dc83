# %% [markdown]
# # Residual networks (ResNet)
#
# A deeper net can represent all that a shallower one can: its extra layers need only pass their
# input on. Plain layers find that hard to learn: beyond some depth even the training error rises. A
# residual block makes it easy. It adds its input to what its two convolutions compute, so with
# weights near zero it passes the input on, and gradients flow back around the convolutions.
#
# He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2016.

# %%
import gluonbook as gb
from gluonbook.cli import Chapter
from gluonbook.training.tuned import tuned
import mxnet as mx
from mxnet import gluon, init, nd
from mxnet.gluon import nn

chapter = Chapter("resnet")

# %% [markdown]
# ## The residual block
#
# Two 3×3 convolutions, each followed by batch normalisation, and the input added before the last
# ReLU. To be added, the input must have the shape of the output. Where a block changes the number
# of channels or the size of the image, a 1×1 convolution brings the input to the new shape.

# %%
X = nd.random.uniform(shape=(4, 3, 6, 6))
block = gb.Residual(3)
block.initialize()
print("Residual(3):", block(X).shape)

block = gb.Residual(6, use_1x1conv=True, strides=2)
block.initialize()
print("Residual(6, use_1x1conv=True, strides=2):", block(X).shape)

# %% [markdown]
# ## The net
#
# The stem is GoogLeNet's, with batch normalisation: a 7×7 convolution and a pooling, each of stride
# 2. Four stages of two residual blocks follow. Each but the first halves the image and doubles the
# channels. The stem, 16 convolutions and the dense layer are 18 layers. `gb.resnet()` is this net.

# %%
net = nn.HybridSequential(prefix="")
net.add(
    nn.Conv2D(64, kernel_size=7, strides=2, padding=3),
    nn.BatchNorm(),
    nn.Activation("relu"),
    nn.MaxPool2D(pool_size=3, strides=2, padding=1),
    gb.resnet_block(64, 2, first_block=True),
    gb.resnet_block(128, 2),
    gb.resnet_block(256, 2),
    gb.resnet_block(512, 2),
    nn.GlobalAvgPool2D(),
    nn.Dense(10),
)

# %% [markdown]
# The paper has a net for small images too (section 4.2): no stem but a 3×3 convolution, and three
# stages of 16, 32 and 64 channels. It takes images as they are, at a tenth of the work for each,
# with a fortieth of the parameters. `--recipe small` trains it in place of the one above.

# %%
if chapter.options.recipe == "small":
    net = gb.get_model("cifar_resnet20_v1", num_classes=10)

# %% [markdown]
# ## Shapes
#
# What each layer makes of one image. The section trains on images of 96×96 pixels, enlarged from
# 28×28; its other numbers stand here too. The command line goes before them: `--help` lists its
# options. `--recipe tuned`, `long` and `small` are for a better accuracy; `exercises/tuning.py` and
# `exercises/moved_images.py` tell what is in them.

# %%
numbers = {
    "book": (0.05, 5, 256, 96),
    "tuned": (0.1, 10, 128, 96),
    "long": (0.1, 20, 128, 96),
    "small": (0.1, 50, 128, 28),
}
lr, num_epochs, batch_size, size = chapter.choose(*numbers[chapter.options.recipe])

X = nd.random.uniform(shape=(1, 1, size, size))
net.initialize(force_reinit=True)
for layer in net:
    X = layer(X)
    print(layer.name, "output shape:\t", X.shape)

# %% [markdown]
# ## Training
#
# `hybridize` turns the net from Python calls into one graph, whose memory is planned once; the
# numbers stay the same. With several devices, each gets a part of every batch. `keep` saves the run
# in a folder under `runs`, from which it can be resumed.

# %%
ctxs = chapter.ctxs  # gb.try_gpu(), or what --device names
with chapter.keep(net) as kept:
    mx.random.seed(chapter.seed)
    net.initialize(init.Xavier(), ctx=ctxs, force_reinit=True)
    net.hybridize(chapter.options.hybridize, static_alloc=True, static_shape=True)
    train_iter, test_iter = gb.load_data_fashion_mnist(batch_size, resize=size, **chapter.data)
    is_tuned = chapter.options.recipe != "book"
    if is_tuned:
        steps = num_epochs * len(train_iter)
        trainer, loss = tuned(net, lr, chapter.recipe.tuning, steps, chapter.kvstore)
    else:
        settings = {"learning_rate": lr}
        trainer = gluon.Trainer(net.collect_params(), "sgd", settings, chapter.kvstore)
        loss = gluon.loss.SoftmaxCrossEntropyLoss()
    if is_tuned or len(ctxs) > 1:
        gb.train(train_iter, test_iter, net, loss, trainer, ctxs, num_epochs, **kept)
    else:
        gb.train_ch5(net, train_iter, test_iter, batch_size, trainer, ctxs[0], num_epochs, **kept)

# %% [markdown]
# ## What came out
#
# The learning curve, and what the net sees in the first test images.

# %%
chapter.show()

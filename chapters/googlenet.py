# %% [markdown]
# # Networks with parallel paths (GoogLeNet)
#
# Which window is the right one: 1×1, 3×3, 5×5? An Inception block takes all three side by side, and
# a pooling, and joins their outputs along the channels. Convolutions of 1×1 before the larger
# windows keep the cost down. The channels of each path were found by trying on ImageNet.
#
# Szegedy et al., "Going deeper with convolutions", 2015.

# %%
import gluonbook as gb
from gluonbook.cli import Chapter
import mxnet as mx
from mxnet import gluon, init, nd
from mxnet.gluon import nn

chapter = Chapter("googlenet")

# %% [markdown]
# ## The Inception block
#
# Four paths that keep the size of the image: a 1×1 convolution; a 1×1 and a 3×3; a 1×1 and a 5×5;
# a 3×3 pooling and a 1×1. The first block of the net gives 64 + 128 + 32 + 32 channels.

# %%
X = nd.random.uniform(shape=(1, 192, 12, 12))
block = gb.Inception(64, (96, 128), (16, 32), 32)
block.initialize()
print("Inception(64, (96, 128), (16, 32), 32):", block(X).shape)

# %% [markdown]
# ## The net
#
# Five modules and a dense layer. A module is some layers and a pooling, which halves the image, or
# at the end takes the mean over it. The PyTorch edition (`--edition pytorch`) has a ReLU after both
# convolutions of the second module. This text has none there, which makes the two one linear map,
# so the editions' figures differ a little. `gb.googlenet()` builds the same net.


# %%
def module(*layers, pooling=None):
    module = nn.HybridSequential()
    module.add(*layers, pooling or nn.MaxPool2D(pool_size=3, strides=2, padding=1))
    return module


relu = "relu" if chapter.options.edition == "pytorch" else None
net = nn.HybridSequential(prefix="")
net.add(
    module(nn.Conv2D(64, kernel_size=7, strides=2, padding=3, activation="relu")),
    module(
        nn.Conv2D(64, kernel_size=1, activation=relu),
        nn.Conv2D(192, kernel_size=3, padding=1, activation=relu),
    ),
    module(gb.Inception(64, (96, 128), (16, 32), 32), gb.Inception(128, (128, 192), (32, 96), 64)),
    module(
        gb.Inception(192, (96, 208), (16, 48), 64),
        gb.Inception(160, (112, 224), (24, 64), 64),
        gb.Inception(128, (128, 256), (24, 64), 64),
        gb.Inception(112, (144, 288), (32, 64), 64),
        gb.Inception(256, (160, 320), (32, 128), 128),
    ),
    module(
        gb.Inception(256, (160, 320), (32, 128), 128),
        gb.Inception(384, (192, 384), (48, 128), 128),
        pooling=nn.GlobalAvgPool2D(),
    ),
    nn.Dense(10),
)

# %% [markdown]
# ## Shapes
#
# What each module makes of one image, here of 96×96 pixels where the paper has 224×224. The command
# line goes before the section's numbers; `--help` lists its options.

# %%
lr, num_epochs, batch_size, size = chapter.choose(0.1, 5, 128, 96)

X = nd.random.uniform(shape=(1, 1, size, size))
net.initialize(force_reinit=True)
for layer in net:
    X = layer(X)
    print(layer.name, "output shape:\t", X.shape)

# %% [markdown]
# ## Training
#
# `hybridize` turns the net from Python calls into one graph, whose memory is planned once; the
# numbers stay the same. `keep` saves the run in a folder under `runs`, from which it can be
# resumed.

# %%
ctxs = chapter.ctxs  # gb.try_gpu(), or what --device names
with chapter.keep(net) as kept:
    mx.random.seed(chapter.seed)
    net.initialize(init.Xavier(), ctx=ctxs, force_reinit=True)
    net.hybridize(chapter.options.hybridize, static_alloc=True, static_shape=True)
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": lr}, chapter.kvstore)
    train_iter, test_iter = gb.load_data_fashion_mnist(batch_size, resize=size, **chapter.data)
    if len(ctxs) == 1:
        gb.train_ch5(net, train_iter, test_iter, batch_size, trainer, ctxs[0], num_epochs, **kept)
    else:
        loss = gluon.loss.SoftmaxCrossEntropyLoss()
        gb.train(train_iter, test_iter, net, loss, trainer, ctxs, num_epochs, **kept)

# %% [markdown]
# ## What came out
#
# The learning curve, and what the net sees in the first test images.

# %%
chapter.show()

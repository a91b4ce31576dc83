# %% [markdown]
# # Networks of blocks (VGG)
#
# VGG builds a net out of one kind of block: some 3×3 convolutions, then a pooling that halves the
# image. Two 3×3 convolutions see as much as one of 5×5 and have fewer weights, so depth is bought
# with small windows.
#
# Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition",
# 2015.

# %%
import gluonbook as gb
from gluonbook.cli import Chapter
import mxnet as mx
from mxnet import gluon, init, nd
from mxnet.gluon import nn

chapter = Chapter("vgg")

# %% [markdown]
# ## The VGG block
#
# A 3×3 convolution with a padding of 1 keeps the size of the image, so a block may hold any number
# of them. The pooling at its end halves height and width.

# %%
X = nd.random.uniform(shape=(1, 3, 32, 32))
block = gb.vgg_block(num_convs=2, num_channels=16)
block.initialize()
print("vgg_block(2, 16):", block(X).shape)

# %% [markdown]
# Between the same number of channels, two 3×3 convolutions have 18 weights where one 5×5
# convolution has 25, and a ReLU more.

# %%
for kernel_sizes in ((3, 3), (5,)):
    layers = nn.HybridSequential()
    for kernel_size in kernel_sizes:
        layers.add(nn.Conv2D(64, kernel_size, padding=kernel_size // 2, in_channels=64))
    weights = sum(layer.weight.shape[2] * layer.weight.shape[3] for layer in layers)
    print(f"windows {kernel_sizes}: {weights} weights for each pair of channels")

# %% [markdown]
# ## The net
#
# VGG-11 has five blocks with 1, 1, 2, 2 and 2 convolutions, and AlexNet's three dense layers, which
# makes eleven layers with weights. Fashion-MNIST does not need the paper's width, so the section
# trains a quarter of it. `gb.vgg()` builds the same net; `gb.vgg(depth=16, ratio=1)` is the paper's
# VGG-16.

# %%
conv_arch = ((1, 64), (1, 128), (2, 256), (2, 512), (2, 512))
ratio = 4

net = nn.HybridSequential(prefix="")
for num_convs, num_channels in conv_arch:
    net.add(gb.vgg_block(num_convs, num_channels // ratio))
net.add(
    nn.Dense(4096, activation="relu"),
    nn.Dropout(0.5),
    nn.Dense(4096, activation="relu"),
    nn.Dropout(0.5),
    nn.Dense(10),
)

# %% [markdown]
# ## Shapes
#
# What each block and layer makes of one image: each block halves height and width, and the channels
# double until the fourth. The section's numbers stand here; the command line goes before them, and
# `--help` lists its options.

# %%
lr, num_epochs, batch_size, size = chapter.choose(0.05, 5, 128, 224)

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

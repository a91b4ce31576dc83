# %% [markdown]
# # Networks of blocks (VGG)
#
# VGG builds a net out of one kind of block: some 3×3 convolutions, then a pooling that halves the
# image. Two 3×3 convolutions see as much as one of 5×5, and $l$ of them as much as one of
# $(2l + 1) \times (2l + 1)$, with fewer weights. Between $c$ channels those numbers are
#
# $$9 \, l \, c^2 \quad \text{and} \quad (2l + 1)^2 c^2.$$
#
# So depth is bought with small windows, and each layer more brings a ReLU more.
#
# Simonyan and Zisserman, [Very deep convolutional networks for large-scale image
# recognition](https://arxiv.org/abs/1409.1556), 2015. [The book's
# section](https://d2l.ai/chapter_convolutional-modern/vgg.html).

# %%
import gluonbook as gb
from gluonbook.cli import arguments
import mxnet as mx
from mxnet import gluon, init, nd
from mxnet.gluon import nn

# The section's hyperparameters; options override them.
args = arguments("vgg", lr=0.05, num_epochs=5, batch_size=128, size=224)

# %% [markdown]
# ## The VGG block
#
# A 3×3 convolution with a padding of 1 keeps the size of the image, so a block may hold any number
# of them. The pooling at its end halves height and width. `name_scope` lets the names of the
# block's parameters begin with the name of the block.


# %%
def vgg_block(num_convs, num_channels):  # saved in gluonbook
    block = nn.HybridSequential()
    with block.name_scope():
        for _ in range(num_convs):
            block.add(nn.Conv2D(num_channels, kernel_size=3, padding=1, activation="relu"))
        block.add(nn.MaxPool2D(pool_size=2, strides=2))
    return block


# %%
X = nd.random.uniform(shape=(1, 3, 32, 32))
block = vgg_block(num_convs=2, num_channels=16)
block.initialize()
print("vgg_block(2, 16):", block(X).shape)

# %% [markdown]
# The weights of two 3×3 convolutions and of one of 5×5, from 64 channels to 64:

# %%
for kernel_sizes in ((3, 3), (5,)):
    layers = [nn.Conv2D(64, kernel_size, in_channels=64) for kernel_size in kernel_sizes]
    shapes = [layer.weight.shape for layer in layers]  # (outputs, inputs, height, width)
    weights = sum(shape[2] * shape[3] for shape in shapes)
    print(f"windows {kernel_sizes}: {weights} weights for each pair of channels")

# %% [markdown]
# ## The net
#
# VGG-11 has five blocks with 1, 1, 2, 2 and 2 convolutions, and AlexNet's three dense layers, which
# makes eleven layers with weights. Fashion-MNIST does not need the paper's width, so the section
# trains a quarter of it. `gb.vgg()` is this net; `gb.vgg(depth=16, ratio=1)` is the paper's VGG-16.

# %%
conv_arch = ((1, 64), (1, 128), (2, 256), (2, 512), (2, 512))
ratio = 4

net = nn.HybridSequential(prefix="")
for num_convs, num_channels in conv_arch:
    net.add(vgg_block(num_convs, num_channels // ratio))
net.add(
    nn.Dense(4096, activation="relu"),
    nn.Dropout(0.5),
    nn.Dense(4096, activation="relu"),
    nn.Dropout(0.5),
    nn.Dense(10),
)

# %% [markdown]
# What each block and layer makes of one image: each block halves height and width, and the channels
# double until the fourth.

# %%
X = nd.random.uniform(shape=(1, 1, args.size, args.size))
net.initialize()
for layer in net:
    X = layer(X)
    print(layer.name, "output shape:\t", X.shape)

# %% [markdown]
# ## Training
#
# `hybridize` turns the net from Python calls into one graph, whose memory is planned once; the
# numbers stay the same. `args.run` keeps the training in a folder under `runs`, from which it can
# be resumed.

# %%
ctx = args.ctx  # gb.try_gpu(), or what --device names
mx.random.seed(args.seed)
net.initialize(init.Xavier(), ctx=ctx, force_reinit=True)
net.hybridize(static_alloc=True, static_shape=True)
trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": args.lr})
train_iter, test_iter = gb.load_data_fashion_mnist(args.batch_size, resize=args.size, **args.data)
gb.train_ch5(
    net, train_iter, test_iter, args.batch_size, trainer, ctx, args.num_epochs, run=args.run
)

# %%
args.run.show()  # the learning curve, and what the net sees in the first test images

# %% [markdown]
# ## Summary
#
# - A block is a function of its depth and width, and a whole net is a short table of blocks.
# - Several small windows see as much as a large one, with fewer weights.
#
# **The two editions.** The nets are the same. The PyTorch text trains for ten epochs instead of
# five. Its biases begin at random; here they begin at zero. The last batch of an epoch has 96
# images instead of 128. It weighs as much as the others there, and three quarters as much here.
#
# ## Exercises
#
# 1. VGG is slower than AlexNet and needs more memory. Why? [Work and memory,
#    counted](exercises/net_sizes.py)
# 2. Train on images of 96×96 with `--size 96`. What changes in time, memory and accuracy?
# 3. Build VGG-16 and VGG-19 from the paper's table 1: what is their `conv_arch`?

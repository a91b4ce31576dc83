# %% [markdown]
# # Network in network (NiN)
#
# The dense layers of AlexNet and VGG hold most of their weights. NiN has none: it follows each
# convolution with two 1×1 convolutions, which are a small dense network applied to every pixel. The
# last block has one channel for each class, whose mean over the image is the class's score:
#
# $$y_{c,i,j} = \operatorname{ReLU}\Big(b_c + \sum_{d} w_{c,d} \, x_{d,i,j}\Big), \qquad
# o_c = \frac{1}{h w} \sum_{i=1}^{h} \sum_{j=1}^{w} y_{c,i,j}.$$
#
# Lin, Chen and Yan, [Network in network](https://arxiv.org/abs/1312.4400), 2014. [The book's
# section](https://d2l.ai/chapter_convolutional-modern/nin.html).

# %%
import gluonbook as gb
from gluonbook.cli import arguments
import mxnet as mx
from mxnet import gluon, init, nd
from mxnet.gluon import nn

# The section's hyperparameters; options override them.
args = arguments("nin", lr=0.1, num_epochs=5, batch_size=128, size=224)

# %% [markdown]
# ## The NiN block
#
# A 1×1 convolution mixes the channels of each pixel, as a dense layer mixes its inputs. It leaves
# the size of the image alone. The block in the package takes the number of 1×1 convolutions too.


# %%
def nin_block(num_channels, kernel_size, strides, padding):  # saved in gluonbook
    block = nn.HybridSequential()
    with block.name_scope():
        block.add(
            nn.Conv2D(num_channels, kernel_size, strides, padding, activation="relu"),
            nn.Conv2D(num_channels, kernel_size=1, activation="relu"),
            nn.Conv2D(num_channels, kernel_size=1, activation="relu"),
        )
    return block


# %%
X = nd.random.uniform(shape=(1, 1, 224, 224))
block = nin_block(96, kernel_size=11, strides=4, padding=0)
block.initialize()
for layer in block:
    X = layer(X)
    print(layer.name, "in a NiN block:", X.shape)

# %% [markdown]
# ## The net
#
# The windows are AlexNet's, and so is the dropout. Instead of dense layers, the last block has a
# channel for each class, and global average pooling turns each into one number. `gb.nin()` is this
# net.

# %%
net = nn.HybridSequential(prefix="")
net.add(
    nin_block(96, kernel_size=11, strides=4, padding=0),
    nn.MaxPool2D(pool_size=3, strides=2),
    nin_block(256, kernel_size=5, strides=1, padding=2),
    nn.MaxPool2D(pool_size=3, strides=2),
    nin_block(384, kernel_size=3, strides=1, padding=1),
    nn.MaxPool2D(pool_size=3, strides=2),
    nn.Dropout(0.5),
    nin_block(10, kernel_size=3, strides=1, padding=1),
    nn.GlobalAvgPool2D(),
    nn.Flatten(),  # (N, 10, 1, 1) to (N, 10)
)

# %% [markdown]
# What each block and layer makes of one image:

# %%
X = nd.random.uniform(shape=(1, 1, args.size, args.size))
net.initialize()
for layer in net:
    X = layer(X)
    print(layer.name, "output shape:\t", X.shape)

# %% [markdown]
# ## Training
#
# From Xavier's weights, twelve convolutions with ReLU let the signal shrink to a twentieth, and the
# gradients with it. The loss lingers at ln 10 = 2.303, that of guessing, and may stay there, which
# the script then says. `python -m gluonbook.train nin --recipe stable` begins with weights made for
# ReLU and trains with Adam instead, which learned from every seed that was tried.
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
# - 1×1 convolutions are dense layers over the channels, with the same weights at each pixel.
# - Global average pooling gives the scores without a weight. The net has two million parameters,
#   where AlexNet has 47 million.
#
# **The two editions.** The nets are the same, and so is the trouble: both begin with Xavier's
# weights and a learning rate of 0.1. The PyTorch text trains for ten epochs instead of five, so a
# run that leaves the loss of guessing late has more time to learn.
#
# ## Exercises
#
# 1. Tune the hyperparameters: which learning rate and which initial weights learn from all seeds?
# 2. Why two 1×1 convolutions in a block? [Without one of them, and without
#    both](exercises/nin_one_conv.py)
# 3. How many parameters, multiply-adds and how much memory does NiN need? [Counted, beside the
#    other nets](exercises/net_sizes.py)
# 4. The last block goes from 384 channels to 10 in one step. What may be lost there?

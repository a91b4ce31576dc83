# %% [markdown]
# # Densely connected networks (DenseNet)
#
# ResNet adds a layer's input to its output; DenseNet puts them side by side. With $H_l$ for what
# layer $l$ computes, and brackets for joining along the channels, the two are
#
# $$x_l = H_l(x_{l-1}) + x_{l-1} \quad \text{and} \quad x_l = H_l([x_0, x_1, \ldots, x_{l-1}]).$$
#
# Each layer of a dense block sees the outputs of all before it and adds a few channels of its own.
# Between the blocks a transition keeps the channels and the image from growing out of hand.
#
# Huang et al., [Densely connected convolutional networks](https://arxiv.org/abs/1608.06993), 2017.
# [The book's section](https://d2l.ai/chapter_convolutional-modern/densenet.html).

# %%
import gluonbook as gb
from gluonbook.cli import arguments
import mxnet as mx
from mxnet import gluon, init, nd
from mxnet.gluon import nn

# The section's hyperparameters; options override them.
args = arguments("densenet", lr=0.1, num_epochs=5, batch_size=256, size=96)

# %% [markdown]
# ## Dense block and transition
#
# $H_l$ is batch normalisation, ReLU and a 3×3 convolution, whose number of channels is called the
# growth rate. Two of them with 10 channels each take 3 channels to 3 + 2 · 10 = 23. A transition
# reduces the channels by a 1×1 convolution and halves the image by average pooling. `F` is `nd`, or
# `sym` when the net is hybridized.


# %%
def conv_block(num_channels):  # saved in gluonbook
    block = nn.HybridSequential()
    with block.name_scope():
        block.add(nn.BatchNorm(), nn.Activation("relu"))
        block.add(nn.Conv2D(num_channels, kernel_size=3, padding=1))
    return block


class DenseBlock(nn.HybridBlock):  # saved in gluonbook
    def __init__(self, num_convs, num_channels, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.net = nn.HybridSequential()
            with self.net.name_scope():
                for _ in range(num_convs):
                    self.net.add(conv_block(num_channels))

    def hybrid_forward(self, F, x):
        for block in self.net:
            x = F.concat(x, block(x), dim=1)
        return x


def transition_block(num_channels):  # saved in gluonbook
    block = nn.HybridSequential()
    with block.name_scope():
        block.add(nn.BatchNorm(), nn.Activation("relu"))
        block.add(nn.Conv2D(num_channels, kernel_size=1), nn.AvgPool2D(pool_size=2, strides=2))
    return block


# %%
X = nd.random.uniform(shape=(4, 3, 8, 8))
block = DenseBlock(2, 10)
block.initialize()
X = block(X)
print("DenseBlock(2, 10):", X.shape)
transition = transition_block(10)
transition.initialize()
print("transition_block(10):", transition(X).shape)

# %% [markdown]
# ## The net
#
# ResNet's first layers, then four dense blocks of four convolutions with a transition between each
# two. `gb.densenet()` is this net.

# %%
num_channels, growth_rate = 64, 32
net = nn.HybridSequential(prefix="")
net.add(nn.Conv2D(num_channels, kernel_size=7, strides=2, padding=3), nn.BatchNorm())
net.add(nn.Activation("relu"), nn.MaxPool2D(pool_size=3, strides=2, padding=1))
for num_convs in (4, 4, 4):
    net.add(DenseBlock(num_convs, growth_rate))
    num_channels += num_convs * growth_rate  # the block's output channels
    net.add(transition_block(num_channels // 2))
net.add(DenseBlock(4, growth_rate), nn.BatchNorm(), nn.Activation("relu"))
net.add(nn.GlobalAvgPool2D(), nn.Dense(10))

# %% [markdown]
# What each layer makes of one image, which is enlarged from 28×28 pixels to 96×96:

# %%
X = nd.random.uniform(shape=(1, 1, args.size, args.size))
net.initialize()
for layer in net:
    X = layer(X)
    print(layer.name, "output shape:\t", X.shape)

# %% [markdown]
# ## Training
#
# `hybridize` turns the net into one graph, whose memory is planned once; the numbers stay the same.
# `args.run` keeps the training in a folder under `runs`, from which it can be resumed.

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
# - A dense block keeps all that it has computed, so each of its layers adds only a few channels.
# - A transition reduces the channels and the image.
#
# **The two editions.** The PyTorch text halves what a transition gets, as the paper does: 96, 112
# and 120 channels, and 248 at the end. This text counts on as if no transition had halved: 96, 160
# and 224, and 352 at the end, which makes a third more parameters.
# `python -m gluonbook.train densenet --edition pytorch` trains the other net.
#
# ## Exercises
#
# 1. Why does DenseNet have fewer parameters than ResNet? Is it true that it needs much memory, for
#    images of 224×224 too? [Both, and the accuracy](exercises/densenet_against_resnet.py)
# 2. Build the nets of the paper's table 1. [What they cost](exercises/densenet_table1.py)
# 3. Why does a transition pool by the average and not by the maximum?

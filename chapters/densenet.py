# %% [markdown]
# # Densely connected networks (DenseNet)
#
# ResNet adds a block's input to its output; DenseNet puts them side by side. Each convolution of a
# dense block sees the outputs of all before it and adds a few channels of its own, 32 here. Between
# the blocks a transition keeps the channels and the image from growing out of hand.
#
# Huang, Liu, van der Maaten and Weinberger, "Densely connected convolutional networks", 2017.

# %%
import gluonbook as gb
from gluonbook.cli import Chapter
import mxnet as mx
from mxnet import gluon, init, nd
from mxnet.gluon import nn

chapter = Chapter("densenet")

# %% [markdown]
# ## Dense block and transition
#
# Two convolutions of 10 channels each take 3 channels to 3 + 2 · 10 = 23: 10 is the growth rate. A
# transition reduces the channels by a 1×1 convolution and halves the image by average pooling.

# %%
X = nd.random.uniform(shape=(4, 3, 8, 8))
block = gb.DenseBlock(2, 10)
block.initialize()
X = block(X)
print("DenseBlock(2, 10):", X.shape)

transition = gb.transition_block(10)
transition.initialize()
print("transition_block(10):", transition(X).shape)

# %% [markdown]
# ## The net
#
# ResNet's stem, then four dense blocks of four convolutions with a transition between each two. The
# two editions of the book differ in what a transition leaves. The PyTorch text halves what it gets,
# as the paper does: 96, 112 and 120 channels, and 248 at the end. This text goes on counting as if
# no transition had halved: 96, 160 and 224, and 352 at the end, a third more parameters.
# `gb.densenet()` builds the same net, `--edition pytorch` takes the other.

# %%
num_channels, growth_rate = 64, 32

net = nn.HybridSequential(prefix="")
net.add(
    nn.Conv2D(num_channels, kernel_size=7, strides=2, padding=3),
    nn.BatchNorm(),
    nn.Activation("relu"),
    nn.MaxPool2D(pool_size=3, strides=2, padding=1),
)
num_convs_in_dense_blocks = [4, 4, 4, 4]
for i, num_convs in enumerate(num_convs_in_dense_blocks):
    net.add(gb.DenseBlock(num_convs, growth_rate))
    num_channels += num_convs * growth_rate
    if i < len(num_convs_in_dense_blocks) - 1:
        net.add(gb.transition_block(num_channels // 2))
        if chapter.options.edition == "pytorch":
            num_channels //= 2
net.add(nn.BatchNorm(), nn.Activation("relu"), nn.GlobalAvgPool2D(), nn.Dense(10))

# %% [markdown]
# ## Shapes
#
# What each layer makes of one image. The section's numbers stand here; the command line goes before
# them, and `--help` lists its options.

# %%
lr, num_epochs, batch_size, size = chapter.choose(0.1, 5, 256, 96)

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

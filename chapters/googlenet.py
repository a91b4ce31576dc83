# %% [markdown]
# # Networks with parallel paths (GoogLeNet)
#
# Which window is the right one: 1×1, 3×3, 5×5? An Inception block takes all three side by side, and
# a pooling, and joins their outputs along the channels:
#
# $$f(\mathbf{x}) = [\,p_1(\mathbf{x}),\ p_2(\mathbf{x}),\ p_3(\mathbf{x}),\ p_4(\mathbf{x})\,].$$
#
# Convolutions of 1×1 before the larger windows keep the cost down. A 5×5 window from 192 channels
# to 32 has 25·192·32 = 153,600 weights; by way of 16 channels, 192·16 + 25·16·32 = 15,872.
#
# Szegedy et al., [Going deeper with convolutions](https://arxiv.org/abs/1409.4842), 2015.
# [The book's section](https://d2l.ai/chapter_convolutional-modern/googlenet.html).

# %%
import gluonbook as gb
from gluonbook.cli import arguments
import mxnet as mx
from mxnet import gluon, init, nd
from mxnet.gluon import nn

# The section's hyperparameters; options override them.
args = arguments("googlenet", lr=0.1, num_epochs=5, batch_size=128, size=96)

# %% [markdown]
# ## The Inception block
#
# Four paths that keep the size of the image: a 1×1 convolution; a 1×1 and a 3×3; a 1×1 and a 5×5;
# a 3×3 pooling and a 1×1. `F` is `nd`, or `sym` when the net is hybridized.


# %%
class Inception(nn.HybridBlock):  # saved in gluonbook
    def __init__(self, c1, c2, c3, c4, **kwargs):  # the channels of each path
        super().__init__(**kwargs)
        with self.name_scope():
            self.p1_1 = nn.Conv2D(c1, kernel_size=1, activation="relu")
            self.p2_1 = nn.Conv2D(c2[0], kernel_size=1, activation="relu")
            self.p2_2 = nn.Conv2D(c2[1], kernel_size=3, padding=1, activation="relu")
            self.p3_1 = nn.Conv2D(c3[0], kernel_size=1, activation="relu")
            self.p3_2 = nn.Conv2D(c3[1], kernel_size=5, padding=2, activation="relu")
            self.p4_1 = nn.MaxPool2D(pool_size=3, strides=1, padding=1)
            self.p4_2 = nn.Conv2D(c4, kernel_size=1, activation="relu")

    def hybrid_forward(self, F, x):
        p1 = self.p1_1(x)
        p2 = self.p2_2(self.p2_1(x))
        p3 = self.p3_2(self.p3_1(x))
        p4 = self.p4_2(self.p4_1(x))
        return F.concat(p1, p2, p3, p4, dim=1)


# %%
X = nd.random.uniform(shape=(1, 192, 12, 12))
block = Inception(64, (96, 128), (16, 32), 32)
block.initialize()
print("Inception(64, (96, 128), (16, 32), 32):", block(X).shape)

# %% [markdown]
# ## The net
#
# Five modules, which each end in a pooling, and a dense layer. The channels of each path were found
# by trying on ImageNet (the paper's table 1). `gb.googlenet()` is this net.

# %%
b1, b2, b3, b4, b5 = (nn.HybridSequential() for _ in range(5))
b1.add(
    nn.Conv2D(64, kernel_size=7, strides=2, padding=3, activation="relu"),
    nn.MaxPool2D(pool_size=3, strides=2, padding=1),
)
b2.add(
    nn.Conv2D(64, kernel_size=1),
    nn.Conv2D(192, kernel_size=3, padding=1),
    nn.MaxPool2D(pool_size=3, strides=2, padding=1),
)
b3.add(
    Inception(64, (96, 128), (16, 32), 32),
    Inception(128, (128, 192), (32, 96), 64),
    nn.MaxPool2D(pool_size=3, strides=2, padding=1),
)
b4.add(
    Inception(192, (96, 208), (16, 48), 64),
    Inception(160, (112, 224), (24, 64), 64),
    Inception(128, (128, 256), (24, 64), 64),
    Inception(112, (144, 288), (32, 64), 64),
    Inception(256, (160, 320), (32, 128), 128),
    nn.MaxPool2D(pool_size=3, strides=2, padding=1),
)
b5.add(
    Inception(256, (160, 320), (32, 128), 128),
    Inception(384, (192, 384), (48, 128), 128),
    nn.GlobalAvgPool2D(),
)
net = nn.HybridSequential(prefix="")
net.add(b1, b2, b3, b4, b5, nn.Dense(10))

# %% [markdown]
# What each module makes of one image, here of 96×96 pixels where the paper has 224×224:

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
# An Inception block looks at several scales at once, and 1×1 convolutions keep its windows cheap.
#
# **The two editions.** The PyTorch text has a ReLU after both convolutions of the second module, as
# the paper has. Without one they are one linear map, and the figures differ a little.
# `python -m gluonbook.train googlenet --edition pytorch` trains the other net.
#
# ## Exercises
#
# 1. Build the nets that followed. [Their cost and training](exercises/inception_successors.py)
# 2. Why are NiN and GoogLeNet smaller than AlexNet and VGG? [Sizes](exercises/net_sizes.py)
# 3. What is left of 96×96 pixels before the last pooling? What is the smallest image that works?

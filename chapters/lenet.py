# %% [markdown]
# # Convolutional networks (LeNet)
#
# A dense layer over a flattened image forgets which pixels are neighbours, and needs a weight for
# each of them. A convolution keeps the image an image and uses the same few weights everywhere.
# With a window of $k \times k$ weights $w$ and a bias $b$, it maps an image $x$ to
#
# $$y_{i,j} = b + \sum_{u=0}^{k-1} \sum_{v=0}^{k-1} w_{u,v} \, x_{i+u,\,j+v}.$$
#
# LeNet alternates convolutions with pooling, so that the image shrinks while the channels grow,
# and ends in three dense layers.
#
# LeCun, Bottou, Bengio and Haffner, [Gradient-based learning applied to document
# recognition](https://doi.org/10.1109/5.726791), 1998. [The book's
# section](https://d2l.ai/chapter_convolutional-neural-networks/lenet.html).

# %%
import gluonbook as gb
from gluonbook.cli import arguments
import mxnet as mx
from mxnet import gluon, init, nd
from mxnet.gluon import nn

# The section's hyperparameters; options override them.
args = arguments("lenet", lr=0.9, num_epochs=5, batch_size=256, size=28)

# %% [markdown]
# ## A convolution and a pooling
#
# In a row of $n$ pixels a window of $k$ has $n - k + 1$ places, or
# $\lfloor (n + 2p - k) / s \rfloor + 1$ with a padding of $p$ pixels on each side and a stride of
# $s$. So a 5×5 convolution turns 28×28 pixels into 24×24. Each of its 6 output channels has 25
# weights and a bias, however large the image is. A pooling of stride 2 halves height and width.

# %%
X = nd.random.uniform(shape=(1, 1, 28, 28))
convolution = nn.Conv2D(6, kernel_size=5, activation="sigmoid")
convolution.initialize()
X = convolution(X)
print("a 5×5 convolution with 6 channels:", X.shape)
print("a pooling of stride 2:", nn.MaxPool2D(pool_size=2, strides=2)(X).shape)

# %% [markdown]
# ## The net
#
# Convolutions with 6 and 16 channels, each followed by a pooling, then dense layers of 120, 84 and
# 10 units. The last has no activation: its outputs are the classes' scores, of which the loss takes
# the softmax. `gb.lenet()` is this net.

# %%
net = nn.HybridSequential(prefix="")
net.add(
    nn.Conv2D(6, kernel_size=5, activation="sigmoid"),
    nn.MaxPool2D(pool_size=2, strides=2),
    nn.Conv2D(16, kernel_size=5, activation="sigmoid"),
    nn.MaxPool2D(pool_size=2, strides=2),
    nn.Dense(120, activation="sigmoid"),
    nn.Dense(84, activation="sigmoid"),
    nn.Dense(10),
)

# %% [markdown]
# What each layer makes of one image. After the second pooling it has 4×4 pixels and 16 channels.
# The first dense layer flattens them to 256 numbers.

# %%
X = nd.random.uniform(shape=(1, 1, args.size, args.size))
net.initialize()
for layer in net:
    X = layer(X)
    print(layer.name, "output shape:\t", X.shape)

# %% [markdown]
# ## Training
#
# The learning rate is large because a sigmoid's gradient is small:
# $\sigma'(x) = \sigma(x) (1 - \sigma(x))$ is a quarter at most, and there are four sigmoids in a
# row. For the first few hundred batches the loss stays near ln 10 = 2.303, that of guessing.
#
# `train_ch5` makes a step for each batch. Without the figures that it prints, an epoch is this:
#
# ```python
# for X, y in train_iter:
#     with autograd.record():
#         loss = softmax_cross_entropy(net(X.as_in_context(ctx)), y.as_in_context(ctx))
#     loss.backward()
#     trainer.step(batch_size)
# ```
#
# `backward` gives the sum of the batch's gradients, and `step` divides it by `batch_size`.
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

# %% [markdown]
# What came out. Shirts, pullovers and coats are mistaken for one another most often.

# %%
args.run.show()  # the learning curve, and what the net sees in the first test images

# %% [markdown]
# ## Summary
#
# - A convolution knows which pixels are neighbours, and its number of weights does not grow with
#   the image.
# - LeNet's convolutions and poolings turn one channel of 28×28 pixels into 16 of 4×4.
# - Its dense layers hold 94% of the parameters all the same.
#
# **The two editions.** The PyTorch text pads the first convolution by 2 pixels, as the paper's
# 32×32 input does, so that the first dense layer reads 400 numbers instead of 256. It pools by the
# average instead of the maximum, and trains for ten epochs. Figures of the two can therefore not be
# compared. `python -m gluonbook.train lenet --edition pytorch` trains the other net.
#
# ## Exercises
#
# 1. Change the net: the windows, the channels, the widths of the dense layers, ReLU in place of
#    the sigmoid. ReLU passes larger gradients on, so it needs a lower learning rate.
# 2. Change the training: the learning rate, the initial weights, the number of epochs. [What
#    momentum, a schedule and more bring to ResNet-18](exercises/tuning.py)
# 3. Pad and pool as the PyTorch text does. Which of the two changes the accuracy?
# 4. Look at what the convolutions make of a pullover and of a shoe: `net[:1](X)`, `net[:3](X)`.

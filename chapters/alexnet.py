# %% [markdown]
# # Deep convolutional networks (AlexNet)
#
# AlexNet is LeNet's plan with a larger budget: five convolutions instead of two, many more
# channels, and images of 224×224. What made that trainable were ReLU, whose gradient does not
# vanish for positive inputs, and dropout in the two large dense layers:
#
# $$\operatorname{ReLU}(x) = \max(x, 0), \qquad
# \operatorname{dropout}_p(x) = \begin{cases} 0 & \text{with probability } p, \\
# x / (1 - p) & \text{otherwise.} \end{cases}$$
#
# Krizhevsky, Sutskever and Hinton, [ImageNet classification with deep convolutional neural
# networks](https://papers.nips.cc/paper/2012/hash/c399862d3b9d6b76c8436e924a68c45b-Abstract.html),
# 2012. [The book's section](https://d2l.ai/chapter_convolutional-modern/alexnet.html).

# %%
import gluonbook as gb
from gluonbook.cli import arguments
import mxnet as mx
from mxnet import autograd, gluon, init, nd
from mxnet.gluon import nn

# The section's hyperparameters; options override them.
args = arguments("alexnet", lr=0.01, num_epochs=5, batch_size=128, size=224)

# %% [markdown]
# ## ReLU and dropout
#
# The gradient of a sigmoid is a quarter at most and fades on both sides; that of ReLU is 1 wherever
# the input is positive. Dropout with $p = 0.5$ sets half of the values to zero while training and
# doubles the rest, so that the next layer cannot rely on any single one, and finds the same mean.
# When predicting it does nothing. `mode="always"` shows it without a training.


# %%
def gradient(activation, x):
    x.attach_grad()
    with autograd.record():
        y = activation(x)
    y.backward()
    return x.grad


x = nd.array([-6, -1, 0.5, 6])
for activation in (nd.sigmoid, nd.relu):
    print(f"gradient of {activation.__name__}:", gradient(activation, x).asnumpy().round(4))
mx.random.seed(1)  # from MXNet's own seed, 0, all eight happen to be dropped
print("dropout of eight ones:", nd.Dropout(nd.ones(8), p=0.5, mode="always").asnumpy())

# %% [markdown]
# ## The net
#
# The first window and its stride are large, because objects in these images are. Three 3×3
# convolutions follow one another without a pooling between them. The paper split the channels
# between two GPUs, which one device does not need. `gb.alexnet()` is this net.

# %%
net = nn.HybridSequential(prefix="")
net.add(
    nn.Conv2D(96, kernel_size=11, strides=4, activation="relu"),
    nn.MaxPool2D(pool_size=3, strides=2),
    nn.Conv2D(256, kernel_size=5, padding=2, activation="relu"),
    nn.MaxPool2D(pool_size=3, strides=2),
    nn.Conv2D(384, kernel_size=3, padding=1, activation="relu"),
    nn.Conv2D(384, kernel_size=3, padding=1, activation="relu"),
    nn.Conv2D(256, kernel_size=3, padding=1, activation="relu"),
    nn.MaxPool2D(pool_size=3, strides=2),
    nn.Dense(4096, activation="relu"),
    nn.Dropout(0.5),
    nn.Dense(4096, activation="relu"),
    nn.Dropout(0.5),
    nn.Dense(10),
)

# %% [markdown]
# What each layer makes of one image, which is enlarged from 28×28 pixels to 224×224. Nine of ten
# parameters are in the first two dense layers; `layers.txt` in the run's folder counts them.

# %%
X = nd.random.uniform(shape=(1, 1, args.size, args.size))
net.initialize()
for layer in net:
    X = layer(X)
    print(layer.name, "output shape:\t", X.shape)

# %% [markdown]
# ## Training
#
# The learning rate is far below LeNet's: ReLU lets large gradients through. `hybridize` turns the
# net from Python calls into one graph, whose memory is planned once; the numbers stay the same.
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
# - AlexNet is built as LeNet is, with more layers, more channels and larger images.
# - ReLU lets gradients pass through many layers. Dropout keeps the dense layers from relying on
#   single values.
#
# **The two editions.** The PyTorch text pads the first convolution by 1 pixel. All shapes stay the
# same, but each window lies a pixel further up and left. It trains for ten epochs instead of five.
# `python -m gluonbook.train alexnet --edition pytorch` trains the other net.
#
# ## Exercises
#
# 1. Train for more epochs. How do the curves differ from LeNet's, and why?
# 2. For Fashion-MNIST this net is too large. Take layers or channels away, so that it trains faster
#    and loses little accuracy. [Where the parameters and the work are](exercises/net_sizes.py)
# 3. Change the batch size. What becomes of the accuracy, and of the memory?
# 4. Give LeNet ReLU and dropout. Does it get better?
# 5. The paper also trains on mirrored and shifted images. [When that pays
#    off](exercises/moved_images.py)

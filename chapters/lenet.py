# %% [markdown]
# # Convolutional networks (LeNet)
#
# A dense layer over a flattened image forgets which pixels are neighbours, and needs a weight for
# each of them. A convolution keeps the image an image and uses the same few weights everywhere.
# LeNet alternates convolutions with pooling, so that the image shrinks while the channels grow,
# and ends in three dense layers.
#
# LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition",
# 1998.

# %%
import gluonbook as gb
from gluonbook.cli import Chapter
import mxnet as mx
from mxnet import gluon, init, nd
from mxnet.gluon import nn

chapter = Chapter("lenet")

# %% [markdown]
# ## A convolution and a pooling
#
# A convolution with a 5×5 window turns 28×28 pixels into 24×24: its window has that many places.
# Each of its 6 output channels has 25 weights and a bias, however large the image is. A pooling of
# stride 2 halves height and width.

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
# `gb.lenet()` builds the same net. The PyTorch edition of the book differs in two ways: it pads the
# first convolution by 2 pixels, as the paper's 32×32 input does, so that the first dense layer
# reads 400 numbers instead of 256; and it pools by the average instead of the maximum. Figures of
# the two editions can therefore not be compared. `--edition pytorch` takes its net.

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
if chapter.options.edition == "pytorch":
    net = gb.lenet(edition="pytorch")

# %% [markdown]
# ## Shapes
#
# What each layer makes of one image. After the second pooling the image has 4×4 pixels and 16
# channels, which the first dense layer reads as 256 numbers. The section's numbers stand here; the
# command line goes before them, and `--help` lists its options.

# %%
lr, num_epochs, batch_size, size = chapter.choose(0.9, 5, 256, 28)

X = nd.random.uniform(shape=(1, 1, size, size))
net.initialize(force_reinit=True)
for layer in net:
    X = layer(X)
    print(layer.name, "output shape:\t", X.shape)

# %% [markdown]
# ## Training
#
# `hybridize` turns the net from Python calls into one graph, whose memory is planned once; the
# numbers stay the same. The learning rate is large because a sigmoid's gradient is small: at most
# a quarter, and there are four in a row. For the first few hundred batches the loss stays near
# ln 10 = 2.303, that of guessing. `keep` saves the run in a folder under `runs`, from which it can
# be resumed.

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
# The learning curve, and what the net sees in the first test images. Shirts, pullovers and coats
# are mistaken for one another most often.

# %%
chapter.show()

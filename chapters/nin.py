# %% [markdown]
# # Network in network (NiN)
#
# The dense layers of AlexNet and VGG hold most of their weights. NiN has none: it follows each
# convolution with two 1×1 convolutions, which are a small dense network applied to every pixel, and
# gives the last block one channel per class, whose mean over the image is the class's score.
#
# Lin, Chen and Yan, "Network in network", 2014.

# %%
import gluonbook as gb
from gluonbook.cli import Chapter
import mxnet as mx
from mxnet import gluon, init, nd
from mxnet.gluon import nn

chapter = Chapter("nin")

# %% [markdown]
# ## The NiN block
#
# A 1×1 convolution mixes the channels of each pixel, as a dense layer mixes its inputs. It leaves
# the size of the image alone.

# %%
X = nd.random.uniform(shape=(1, 1, 224, 224))
block = gb.nin_block(96, kernel_size=11, strides=4, padding=0)
block.initialize()
for layer in block:
    X = layer(X)
    print(layer.name, "in a NiN block:", X.shape)

# %% [markdown]
# ## The net
#
# The windows are AlexNet's, and so is the dropout. Instead of dense layers, the last block has a
# channel for each class, and global average pooling turns each into one number. `gb.nin()` builds
# the same net.

# %%
net = nn.HybridSequential(prefix="")
net.add(
    gb.nin_block(96, kernel_size=11, strides=4, padding=0),
    nn.MaxPool2D(pool_size=3, strides=2),
    gb.nin_block(256, kernel_size=5, strides=1, padding=2),
    nn.MaxPool2D(pool_size=3, strides=2),
    gb.nin_block(384, kernel_size=3, strides=1, padding=1),
    nn.MaxPool2D(pool_size=3, strides=2),
    nn.Dropout(0.5),
    gb.nin_block(10, kernel_size=3, strides=1, padding=1),
    nn.GlobalAvgPool2D(),
    nn.Flatten(),  # (N, 10, 1, 1) to (N, 10)
)

# %% [markdown]
# ## Two recipes
#
# From Xavier's weights, twelve convolutions with ReLU let the signal shrink to a twentieth, and the
# gradients with it. The loss lingers at ln 10 = 2.303, that of guessing, and may stay there, which
# the script then says. `--recipe stable` begins with weights made for ReLU and trains with Adam
# instead, which learned from every seed that was tried.

# %%
if chapter.options.recipe == "stable":
    optimizer, weights, numbers = "adam", init.MSRAPrelu(), (0.0005, 5, 128, 224)
else:
    optimizer, weights, numbers = "sgd", init.Xavier(), (0.1, 5, 128, 224)

# %% [markdown]
# ## Shapes
#
# What each layer makes of one image. The command line goes before the section's numbers.

# %%
lr, num_epochs, batch_size, size = chapter.choose(*numbers)

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
    net.initialize(weights, ctx=ctxs, force_reinit=True)
    net.hybridize(chapter.options.hybridize, static_alloc=True, static_shape=True)
    trainer = gluon.Trainer(net.collect_params(), optimizer, {"learning_rate": lr}, chapter.kvstore)
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

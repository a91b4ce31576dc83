# %% [markdown]
# # Deep convolutional networks (AlexNet)
#
# AlexNet is LeNet's plan with a larger budget: five convolutions instead of two, many more
# channels, and images of 224×224. What made that trainable were ReLU, whose gradient does not
# vanish for positive inputs, and dropout in the two large dense layers.
#
# Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural
# networks", 2012.

# %%
import gluonbook as gb
from gluonbook.cli import Chapter
import mxnet as mx
from mxnet import gluon, init, nd
from mxnet.gluon import nn

chapter = Chapter("alexnet")

# %% [markdown]
# ## ReLU and dropout
#
# The gradient of a sigmoid is a quarter at most and fades on both sides; that of ReLU is 1 wherever
# the input is positive. Dropout sets half of the values to zero while training and doubles the
# rest, so that the next layer cannot rely on any single one. When predicting it does nothing.

# %%
x = nd.array([-6, -1, 0.5, 6])
for activation in (nd.sigmoid, nd.relu):
    x.attach_grad()
    with mx.autograd.record():
        y = activation(x)
    y.backward()
    print(f"gradient of {activation.__name__}:", x.grad.asnumpy().round(4))
with mx.autograd.train_mode():
    print("dropout of eight ones:", nd.Dropout(nd.ones(8), p=0.5).asnumpy())

# %% [markdown]
# ## The net
#
# `gb.alexnet()` builds the same net. The paper split its channels between two GPUs, which one
# device does not need. The PyTorch edition of the book pads the first convolution by 1 pixel:
# the shapes stay the same, the values at the border do not. `--edition pytorch` takes its net.

# %%
net = nn.HybridSequential(prefix="")
net.add(
    # A large window and stride, because objects in these images are large.
    nn.Conv2D(96, kernel_size=11, strides=4, activation="relu"),
    nn.MaxPool2D(pool_size=3, strides=2),
    nn.Conv2D(256, kernel_size=5, padding=2, activation="relu"),
    nn.MaxPool2D(pool_size=3, strides=2),
    # Three convolutions without a pooling between them.
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
if chapter.options.edition == "pytorch":
    net = gb.alexnet(edition="pytorch")

# %% [markdown]
# ## Shapes
#
# What each layer makes of one image. Nine of ten parameters are in the first two dense layers:
# `layers.txt` in the run's folder counts them. The section's numbers stand here; the command line
# goes before them, and `--help` lists its options.

# %%
lr, num_epochs, batch_size, size = chapter.choose(0.01, 5, 128, 224)

X = nd.random.uniform(shape=(1, 1, size, size))
net.initialize(force_reinit=True)
for layer in net:
    X = layer(X)
    print(layer.name, "output shape:\t", X.shape)

# %% [markdown]
# ## Training
#
# `hybridize` turns the net from Python calls into one graph, whose memory is planned once; the
# numbers stay the same. The learning rate is far below LeNet's: ReLU lets large gradients through.
# `keep` saves the run in a folder under `runs`, from which it can be resumed.

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

# %% [markdown]
# # Residual networks (ResNet)
#
# A deeper net can compute all that a shallower one can: its extra layers need only learn the
# identity, $f(\mathbf{x}) = \mathbf{x}$. Plain layers find that hard to learn: beyond some depth
# even the training error rises. A residual block learns what to add to its input instead:
#
# $$f(\mathbf{x}) = \mathbf{x} + g(\mathbf{x}).$$
#
# Now the identity is the easiest mapping of all: with weights of zero, $g(\mathbf{x}) = 0$. And
# gradients have a way around $g$, since $f' = 1 + g'$.
#
# He et al., [Deep residual learning for image recognition](https://arxiv.org/abs/1512.03385), 2016.
# [The book's section](https://d2l.ai/chapter_convolutional-modern/resnet.html).

# %%
import gluonbook as gb
from gluonbook.cli import arguments
import mxnet as mx
from mxnet import gluon, init, nd
from mxnet.gluon import nn

# The section's hyperparameters; options override them.
args = arguments("resnet", lr=0.05, num_epochs=5, batch_size=256, size=96)

# %% [markdown]
# ## The residual block
#
# $g$ is two 3×3 convolutions, each followed by batch normalisation. The input is added before the
# last ReLU, so it must have the shape of $g(\mathbf{x})$. Where a block changes the channels or the
# size of the image, a 1×1 convolution brings the input to the new shape. `F` is `nd`, or `sym` when
# the net is hybridized; on a CPU, `F.Activation` is faster than `F.relu`.


# %%
class Residual(nn.HybridBlock):  # saved in gluonbook
    def __init__(self, num_channels, use_1x1conv=False, strides=1, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.conv1 = nn.Conv2D(num_channels, kernel_size=3, padding=1, strides=strides)
            self.conv2 = nn.Conv2D(num_channels, kernel_size=3, padding=1)
            self.conv3 = (
                nn.Conv2D(num_channels, kernel_size=1, strides=strides) if use_1x1conv else None
            )
            self.bn1 = nn.BatchNorm()
            self.bn2 = nn.BatchNorm()

    def hybrid_forward(self, F, x):
        y = F.Activation(self.bn1(self.conv1(x)), act_type="relu")
        y = self.bn2(self.conv2(y))
        if self.conv3 is not None:
            x = self.conv3(x)
        return F.Activation(y + x, act_type="relu")


# %%
X = nd.random.uniform(shape=(4, 3, 6, 6))
block = Residual(3)
block.initialize()
print("Residual(3):", block(X).shape)
block = Residual(6, use_1x1conv=True, strides=2)
block.initialize()
print("Residual(6, use_1x1conv=True, strides=2):", block(X).shape)

# %% [markdown]
# ## The net
#
# GoogLeNet's first layers with batch normalisation, then four stages of residual blocks. Each stage
# but the first begins with a block that halves the image and doubles the channels. With two blocks
# each there are 1 + 16 + 1 layers, not counting the 1×1 convolutions. `gb.resnet()` is this net.


# %%
def resnet_block(num_channels, num_residuals, first_block=False):  # saved in gluonbook
    block = nn.HybridSequential()
    with block.name_scope():
        for i in range(num_residuals):
            if i == 0 and not first_block:
                block.add(Residual(num_channels, use_1x1conv=True, strides=2))
            else:
                block.add(Residual(num_channels))
    return block


net = nn.HybridSequential(prefix="")
net.add(nn.Conv2D(64, kernel_size=7, strides=2, padding=3), nn.BatchNorm(), nn.Activation("relu"))
net.add(nn.MaxPool2D(pool_size=3, strides=2, padding=1))
net.add(resnet_block(64, 2, first_block=True), resnet_block(128, 2))
net.add(resnet_block(256, 2), resnet_block(512, 2))
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
# A residual block learns what to add to its input. Passing the input on is easy, and so is passing
# gradients back. That makes very deep nets trainable.
#
# **The two editions.** The nets are the same. The PyTorch text trains for ten epochs instead of
# five, and its biases begin at random instead of zero. Both give the 3×3 convolutions biases, which
# the batch normalisation after them takes out again. The paper's convolutions have none.
#
# ## Exercises
#
# 1. Build the nets of the paper's table 1. [What depth brings](exercises/resnet_table1.py)
# 2. Deeper ones have a 3×3 between two 1×1 convolutions. What does that save? The script counts.
# 3. Put batch normalisation and ReLU first. [Is it better?](exercises/resnet_preactivation.py)
# 4. Reach a better accuracy: `python -m gluonbook.train resnet --recipe tuned`, or `long`. [What
#    tuning brings](exercises/tuning.py), and [when moved images do](exercises/moved_images.py)
# 5. Must images be enlarged? [The paper's net for small ones](exercises/small_images.py), of three
#    stages of 16, 32 and 64 channels, has a fortieth of the parameters (`--recipe small`).

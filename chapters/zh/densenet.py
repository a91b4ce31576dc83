# %% [markdown]
# # 稠密连接网络（DenseNet）
#
# ResNet 把一层的输入与输出相加，DenseNet 则把它们连结起来。
# 用 $H_l$ 表示第 $l$ 层的计算，用方括号表示在通道维上的连结，两者分别是
#
# $$x_l = H_l(x_{l-1}) + x_{l-1} \quad \text{和} \quad x_l = H_l([x_0, x_1, \ldots, x_{l-1}]).$$
#
# 在稠密块里，每层都能看到前面所有层的输出，自己只增加几个通道。
# 稠密块之间的过渡层则使通道数和图像不至于太大。
#
# 论文：Huang 等，[Densely connected convolutional
# networks](https://arxiv.org/abs/1608.06993)，2017。书中的这一节：[Gluon
# 版](https://zh-v1.d2l.ai/chapter_convolutional-neural-networks/densenet.html)、[PyTorch
# 版](https://zh.d2l.ai/chapter_convolutional-modern/densenet.html)。

# %%
import gluonbook as gb
from gluonbook.cli import arguments
import mxnet as mx
from mxnet import gluon, init, nd
from mxnet.gluon import nn

# The section's hyperparameters; options override them.
args = arguments("densenet", lr=0.1, num_epochs=5, batch_size=256, size=96)

# %% [markdown]
# ## 稠密块和过渡层
#
# $H_l$ 由批量归一化、ReLU 和 3×3 卷积层组成，卷积层的通道数称为增长率。
# 增长率为 10 时，两个这样的卷积块把 3 个通道变成 3 + 2 · 10 = 23 个。
# 过渡层用 1×1 卷积层减少通道，用平均池化层使高和宽减半。
# `F` 是 `nd`，调用 `hybridize` 之后则是 `sym`。


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
# ## 网络结构
#
# 最前面与 ResNet 相同，然后是四个稠密块，每块有四个卷积层，相邻的两块之间有一个过渡层。
# `gb.densenet()` 就是这个网络。

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
# 输入一张图像，看看每层的输出形状；图像从 28×28 像素放大到 96×96：

# %%
X = nd.random.uniform(shape=(1, 1, args.size, args.size))
net.initialize()
for layer in net:
    X = layer(X)
    print(layer.name, "output shape:\t", X.shape)

# %% [markdown]
# ## 训练模型
#
# `hybridize` 把网络变成一张计算图，内存只需规划一次，算出的数值不变。
# `args.run` 把训练保存在 `runs` 下的一个文件夹里，中断之后可以从那里继续。

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
# ## 小结
#
# - 稠密块保留所有的中间结果，所以每层只需增加几个通道。
# - 过渡层减少通道，并缩小图像。
#
# **两版的差别**：PyTorch 版的过渡层把实际输入的通道数减半，与论文一致：96、112、120，最后是 248。
# 这里沿用 Gluon 版原先的写法，累计通道数时不考虑前面的过渡层已经减半：96、160、224，
# 最后是 352，参数多出三分之一。Gluon 版后来的修订也改成了逐次减半。
# `python -m gluonbook.train densenet --edition pytorch` 训练那一版的网络。
#
# ## 练习
#
# 1. DenseNet 的参数为什么比 ResNet 少？据说它很耗内存，真是这样吗？图像是 224×224 像素时呢？
#    [两个问题的答案，以及准确率](../exercises/densenet_against_resnet.py)
# 2. 构造论文表 1 中的网络。[它们的代价](../exercises/densenet_table1.py)
# 3. 过渡层为什么用平均池化，而不用最大池化？

# %% [markdown]
# # 使用重复元素的网络（VGG）
#
# VGG 用同一种块组成整个网络：先是若干个 3×3 卷积层，再用一个池化层使图像的高和宽减半。
# 两个 3×3 卷积层看到的范围与一个 5×5 卷积层一样大，$l$ 个则与一个
# $(2l + 1) \times (2l + 1)$ 的卷积层一样大，权重却更少。
# 输入和输出都是 $c$ 个通道时，权重的个数分别是
#
# $$9 \, l \, c^2 \quad \text{和} \quad (2l + 1)^2 c^2.$$
#
# 所以窗口取得小，网络就能做得更深，而且每多一层就多一个 ReLU。
#
# 论文：Simonyan、Zisserman，[Very deep convolutional networks for large-scale image
# recognition](https://arxiv.org/abs/1409.1556)，2015。书中的这一节：[Gluon
# 版](https://zh-v1.d2l.ai/chapter_convolutional-neural-networks/vgg.html)、[PyTorch
# 版](https://zh.d2l.ai/chapter_convolutional-modern/vgg.html)。

# %%
import gluonbook as gb
from gluonbook.cli import arguments
import mxnet as mx
from mxnet import gluon, init, nd
from mxnet.gluon import nn

# The section's hyperparameters; options override them.
args = arguments("vgg", lr=0.05, num_epochs=5, batch_size=128, size=224)

# %% [markdown]
# ## VGG 块
#
# 填充为 1 的 3×3 卷积层不改变图像的大小，所以一个块里可以有任意多个。
# 块末尾的池化层使高和宽减半。`name_scope` 使块中参数的名字都以块的名字开头。


# %%
def vgg_block(num_convs, num_channels):  # saved in gluonbook
    block = nn.HybridSequential()
    with block.name_scope():
        for _ in range(num_convs):
            block.add(nn.Conv2D(num_channels, kernel_size=3, padding=1, activation="relu"))
        block.add(nn.MaxPool2D(pool_size=2, strides=2))
    return block


# %%
X = nd.random.uniform(shape=(1, 3, 32, 32))
block = vgg_block(num_convs=2, num_channels=16)
block.initialize()
print("vgg_block(2, 16):", block(X).shape)

# %% [markdown]
# 输入和输出都是 64 个通道时，两个 3×3 卷积层和一个 5×5 卷积层各有多少权重？

# %%
for kernel_sizes in ((3, 3), (5,)):
    layers = [nn.Conv2D(64, kernel_size, in_channels=64) for kernel_size in kernel_sizes]
    shapes = [layer.weight.shape for layer in layers]  # (outputs, inputs, height, width)
    weights = sum(shape[2] * shape[3] for shape in shapes)
    print(f"windows {kernel_sizes}: {weights} weights for each pair of channels")

# %% [markdown]
# ## 网络结构
#
# VGG-11 的五个块分别有 1、1、2、2、2 个卷积层，后面是与 AlexNet 相同的三个全连接层，
# 一共有十一层带权重。Fashion-MNIST 用不着论文中那么多通道，所以本节只用四分之一。
# `gb.vgg()` 就是这个网络；`gb.vgg(depth=16, ratio=1)` 是论文中的 VGG-16。

# %%
conv_arch = ((1, 64), (1, 128), (2, 256), (2, 512), (2, 512))
ratio = 4

net = nn.HybridSequential(prefix="")
for num_convs, num_channels in conv_arch:
    net.add(vgg_block(num_convs, num_channels // ratio))
net.add(
    nn.Dense(4096, activation="relu"),
    nn.Dropout(0.5),
    nn.Dense(4096, activation="relu"),
    nn.Dropout(0.5),
    nn.Dense(10),
)

# %% [markdown]
# 输入一张图像，看看每个块和每层的输出形状：高和宽逐块减半，通道数则逐块加倍，到第四个块为止。

# %%
X = nd.random.uniform(shape=(1, 1, args.size, args.size))
net.initialize()
for layer in net:
    X = layer(X)
    print(layer.name, "output shape:\t", X.shape)

# %% [markdown]
# ## 训练模型
#
# `hybridize` 把逐层的 Python 调用变成一张计算图，内存只需规划一次，算出的数值不变。
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
# - 卷积层数和通道数决定一个块，一张短短的表就决定整个网络。
# - 几个小窗口与一个大窗口看到的范围相同，权重却更少。
#
# **两版的差别**：网络相同。PyTorch 版训练十个迭代周期，而不是五个。
# 它的偏差随机初始化，这里从 0 开始。每个周期的最后一个批量只有 96 张图像，而不是 128 张：
# 在 PyTorch 版中，它的分量与其他批量相同；在这里只有四分之三。
#
# ## 练习
#
# 1. 与 AlexNet 相比，VGG 更慢，需要的内存也更多。为什么？
#    [计算量和内存的统计](../exercises/net_sizes.py)
# 2. 用 `--size 96` 在 96×96 的图像上训练。时间、内存和准确率有什么变化？
# 3. 按照论文的表 1 构造 VGG-16 和 VGG-19：它们的 `conv_arch` 是什么？

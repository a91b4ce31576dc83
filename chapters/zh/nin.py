# %% [markdown]
# # 网络中的网络（NiN）
#
# AlexNet 和 VGG 的权重大多在全连接层里。NiN 没有全连接层：它在每个卷积层之后接两个 1×1 卷积层，
# 相当于对每个像素都使用一个小的全连接网络。
# 最后一个块为每个类别提供一个通道，通道中所有像素的均值就是该类别的得分：
#
# $$y_{c,i,j} = \operatorname{ReLU}\Big(b_c + \sum_{d} w_{c,d} \, x_{d,i,j}\Big), \qquad
# o_c = \frac{1}{h w} \sum_{i=1}^{h} \sum_{j=1}^{w} y_{c,i,j}.$$
#
# 论文：Lin、Chen、Yan，[Network in network](https://arxiv.org/abs/1312.4400)，2014。
# 书中的这一节：[Gluon
# 版](https://zh-v1.d2l.ai/chapter_convolutional-neural-networks/nin.html)、[PyTorch
# 版](https://zh.d2l.ai/chapter_convolutional-modern/nin.html)。

# %%
import gluonbook as gb
from gluonbook.cli import arguments
import mxnet as mx
from mxnet import gluon, init, nd
from mxnet.gluon import nn

# The section's hyperparameters; options override them.
args = arguments("nin", lr=0.1, num_epochs=5, batch_size=128, size=224)

# %% [markdown]
# ## NiN 块
#
# 1×1 卷积层把每个像素的各个通道混合起来，就像全连接层混合它的各个输入，图像的大小不变。
# 包里的同名函数还可以指定 1×1 卷积层的个数。


# %%
def nin_block(num_channels, kernel_size, strides, padding):  # saved in gluonbook
    block = nn.HybridSequential()
    with block.name_scope():
        block.add(
            nn.Conv2D(num_channels, kernel_size, strides, padding, activation="relu"),
            nn.Conv2D(num_channels, kernel_size=1, activation="relu"),
            nn.Conv2D(num_channels, kernel_size=1, activation="relu"),
        )
    return block


# %%
X = nd.random.uniform(shape=(1, 1, 224, 224))
block = nin_block(96, kernel_size=11, strides=4, padding=0)
block.initialize()
for layer in block:
    X = layer(X)
    print(layer.name, "in a NiN block:", X.shape)

# %% [markdown]
# ## 网络结构
#
# 窗口的大小与 AlexNet 相同，丢弃法也是。不同的是没有全连接层：最后一个块为每个类别提供一个通道，
# 全局平均池化层再把每个通道变成一个数。`gb.nin()` 就是这个网络。

# %%
net = nn.HybridSequential(prefix="")
net.add(
    nin_block(96, kernel_size=11, strides=4, padding=0),
    nn.MaxPool2D(pool_size=3, strides=2),
    nin_block(256, kernel_size=5, strides=1, padding=2),
    nn.MaxPool2D(pool_size=3, strides=2),
    nin_block(384, kernel_size=3, strides=1, padding=1),
    nn.MaxPool2D(pool_size=3, strides=2),
    nn.Dropout(0.5),
    nin_block(10, kernel_size=3, strides=1, padding=1),
    nn.GlobalAvgPool2D(),
    nn.Flatten(),  # (N, 10, 1, 1) to (N, 10)
)

# %% [markdown]
# 输入一张图像，看看每个块和每层的输出形状：

# %%
X = nd.random.uniform(shape=(1, 1, args.size, args.size))
net.initialize()
for layer in net:
    X = layer(X)
    print(layer.name, "output shape:\t", X.shape)

# %% [markdown]
# ## 训练模型
#
# 用 Xavier 初始化时，信号经过十二个带 ReLU 的卷积层后缩小到二十分之一，梯度也随之变小。
# 损失会在 ln 10 = 2.303（随机猜测时的损失）附近停留很久，也可能一直停在那里，
# 这时脚本会说明。`python -m gluonbook.train nin --recipe stable` 改用适合 ReLU 的初始化方法和
# Adam，试过的随机种子都能训练成功。
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
# - 1×1 卷积层就是作用在通道上的全连接层，每个像素都用同样的权重。
# - 全局平均池化层不需要权重就能得到各类别的得分。整个网络有两百万个参数，而 AlexNet 有 4,700 万个。
#
# **两版的差别**：网络相同，训练的困难也相同：都用 Xavier 初始化，学习率都是 0.1。
# PyTorch 版训练十个迭代周期，而不是五个，所以即使损失很晚才开始下降，也还有时间学习。
#
# ## 练习
#
# 1. 调节超参数：用怎样的学习率和初始化方法，换任何随机种子都能训练成功？
# 2. NiN 块里为什么有两个 1×1 卷积层？[去掉一个或两个会怎样](../exercises/nin_one_conv.py)
# 3. NiN 有多少参数，要做多少次乘加，需要多少内存？
#    [统计结果，与其他网络对照](../exercises/net_sizes.py)
# 4. 最后一个块一步就从 384 个通道降到 10 个。这一步可能丢掉什么？

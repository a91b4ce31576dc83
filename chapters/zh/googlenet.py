# %% [markdown]
# # 含并行连结的网络（GoogLeNet）
#
# 窗口该取多大：1×1、3×3，还是 5×5？Inception 块三种都用，外加一个池化层：
# 它们并行计算，输出在通道维上连结，即
#
# $$f(\mathbf{x}) = [\,p_1(\mathbf{x}),\ p_2(\mathbf{x}),\ p_3(\mathbf{x}),\ p_4(\mathbf{x})\,].$$
#
# 在较大的窗口之前先用 1×1 卷积层，代价就低得多。从 192 个通道到 32 个通道，5×5 卷积层有
# 25·192·32 = 153,600 个权重；如果先降到 16 个通道，就只有 192·16 + 25·16·32 = 15,872 个。
#
# 论文：Szegedy 等，[Going deeper with convolutions](https://arxiv.org/abs/1409.4842)，2015。
# 书中的这一节：[Gluon
# 版](https://zh-v1.d2l.ai/chapter_convolutional-neural-networks/googlenet.html)、[PyTorch
# 版](https://zh.d2l.ai/chapter_convolutional-modern/googlenet.html)。

# %%
import gluonbook as gb
from gluonbook.cli import arguments
import mxnet as mx
from mxnet import gluon, init, nd
from mxnet.gluon import nn

# The section's hyperparameters; options override them.
args = arguments("googlenet", lr=0.1, num_epochs=5, batch_size=128, size=96)

# %% [markdown]
# ## Inception 块
#
# 四条线路都不改变图像的大小：1×1 卷积层；1×1 后接 3×3 卷积层；1×1 后接 5×5 卷积层；
# 3×3 池化层后接 1×1 卷积层。`F` 是 `nd`，调用 `hybridize` 之后则是 `sym`。


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
# ## 网络结构
#
# 五个模块，每个都以池化层结尾，最后是一个全连接层。
# 各条线路的通道数（论文的表 1）要靠在 ImageNet 上反复试验来确定。`gb.googlenet()` 就是这个网络。

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
# 输入一张图像，看看每个模块的输出形状；这里的图像是 96×96 像素，论文中是 224×224：

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
# Inception 块同时以几种尺度观察图像，1×1 卷积层则使大窗口的代价不至于太高。
#
# **两版的差别**：在 PyTorch 版中，第二个模块的两个卷积层后面都有 ReLU，与论文一致；
# Gluon 版后来的修订也加上了，这里沿用原先的写法。没有 ReLU 时，
# 这两层合起来只是一个线性映射，结果略有不同。
# `python -m gluonbook.train googlenet --edition pytorch` 训练那一版的网络。
#
# ## 练习
#
# 1. 构造 GoogLeNet 的后续版本。[它们的代价和训练结果](../exercises/inception_successors.py)
# 2. 为什么 NiN 和 GoogLeNet 比 AlexNet 和 VGG 小？[各网络的大小](../exercises/net_sizes.py)
# 3. 96×96 像素的图像在最后一个池化层之前还剩多大？网络能处理的最小图像有多大？

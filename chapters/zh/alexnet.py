# %% [markdown]
# # 深度卷积神经网络（AlexNet）
#
# AlexNet 的思路与 LeNet 相同，规模却大得多：卷积层从两个增加到五个，通道数多了许多，
# 图像是 224×224 像素。这样的网络能够训练，靠的是 ReLU 和丢弃法：
# ReLU 在输入为正时梯度不会消失，丢弃法则用于两个庞大的全连接层。
#
# $$\operatorname{ReLU}(x) = \max(x, 0), \qquad
# \operatorname{dropout}_p(x) = \begin{cases} 0 & \text{概率为 } p, \\
# x / (1 - p) & \text{其他情况。} \end{cases}$$
#
# 论文：Krizhevsky、Sutskever、Hinton，[ImageNet classification with deep convolutional neural
# networks](https://papers.nips.cc/paper/2012/hash/c399862d3b9d6b76c8436e924a68c45b-Abstract.html)，
# 2012。书中的这一节：[Gluon
# 版](https://zh-v1.d2l.ai/chapter_convolutional-neural-networks/alexnet.html)、[PyTorch
# 版](https://zh.d2l.ai/chapter_convolutional-modern/alexnet.html)。

# %%
import gluonbook as gb
from gluonbook.cli import arguments
import mxnet as mx
from mxnet import autograd, gluon, init, nd
from mxnet.gluon import nn

# The section's hyperparameters; options override them.
args = arguments("alexnet", lr=0.01, num_epochs=5, batch_size=128, size=224)

# %% [markdown]
# ## ReLU 和丢弃法
#
# sigmoid 的梯度最大也只有四分之一，越往两边越接近 0；ReLU 只要输入为正，梯度就是 1。
# 训练时，$p = 0.5$ 的丢弃法把大约一半的值置零，其余的值加倍，
# 这样下一层就无法依赖其中任何一个值，而看到的均值不变。预测时丢弃法不起作用。
# 这里用 `mode="always"`，不训练也能看到它的效果。


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
# ## 网络结构
#
# 论文所用图像中的物体很大，所以第一层的窗口和步幅也很大。后面有三个 3×3 卷积层相连，
# 中间没有池化层。论文把通道分给两块 GPU，只用一个设备时不必如此。`gb.alexnet()` 就是这个网络。

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
# 输入一张图像，看看每层的输出形状；图像从 28×28 像素放大到 224×224。
# 十分之九的参数在前两个全连接层里，运行文件夹中的 `layers.txt` 列出了各层的参数个数。

# %%
X = nd.random.uniform(shape=(1, 1, args.size, args.size))
net.initialize()
for layer in net:
    X = layer(X)
    print(layer.name, "output shape:\t", X.shape)

# %% [markdown]
# ## 训练模型
#
# 学习率比 LeNet 的低得多，因为较大的梯度也能通过 ReLU。
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
# - AlexNet 的结构与 LeNet 相似，只是层数和通道数更多，图像更大。
# - ReLU 使梯度能够穿过很多层，丢弃法使全连接层不依赖个别的值。
#
# **两版的差别**：PyTorch 版在第一个卷积层的四周填充 1 个像素。各层的输出形状不变，
# 但每个窗口的位置都向左、向上移了一个像素。它训练十个迭代周期，而不是五个。
# `python -m gluonbook.train alexnet --edition pytorch` 训练那一版的网络。
#
# ## 练习
#
# 1. 多训练几个迭代周期。学习曲线与 LeNet 的有什么不同？原因是什么？
# 2. 对 Fashion-MNIST 来说，这个网络太大了。去掉一些层或通道，使训练更快，
#    而准确率降得不多。[参数和计算量在哪些层里](../exercises/net_sizes.py)
# 3. 改变批量大小。准确率和内存会怎样变化？
# 4. 在 LeNet 中使用 ReLU 和丢弃法。效果会更好吗？
# 5. 论文还用左右翻转和平移后的图像训练。[什么时候值得这样做](../exercises/moved_images.py)

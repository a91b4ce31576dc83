# %% [markdown]
# # 卷积神经网络（LeNet）
#
# 图像展平后送进全连接层，就看不出哪些像素相邻了，而且每个输出都要为每个像素准备一个权重。
# 卷积层保留图像的形状，在所有位置上使用同样的几个权重。
# 设窗口为 $k \times k$，权重为 $w$，偏差为 $b$，卷积层把图像 $x$ 变成
#
# $$y_{i,j} = b + \sum_{u=0}^{k-1} \sum_{v=0}^{k-1} w_{u,v} \, x_{i+u,\,j+v}.$$
#
# LeNet 交替使用卷积层和池化层，图像越来越小，通道越来越多，最后接三个全连接层。
#
# 论文：LeCun、Bottou、Bengio、Haffner，[Gradient-based learning applied to document
# recognition](https://doi.org/10.1109/5.726791)，1998。书中的这一节：[Gluon
# 版](https://zh-v1.d2l.ai/chapter_convolutional-neural-networks/lenet.html)、[PyTorch
# 版](https://zh.d2l.ai/chapter_convolutional-neural-networks/lenet.html)。

# %%
import gluonbook as gb
from gluonbook.cli import arguments
import mxnet as mx
from mxnet import gluon, init, nd
from mxnet.gluon import nn

# The section's hyperparameters; options override them.
args = arguments("lenet", lr=0.9, num_epochs=5, batch_size=256, size=28)

# %% [markdown]
# ## 卷积层和池化层
#
# 一行有 $n$ 个像素时，宽为 $k$ 的窗口有 $n - k + 1$ 个位置；如果两侧各填充 $p$ 个像素，步幅为 $s$，
# 就有 $\lfloor (n + 2p - k) / s \rfloor + 1$ 个。所以 5×5 的卷积层把 28×28 像素变成 24×24。
# 它的 6 个输出通道各有 25 个权重和一个偏差，图像再大也是这么多。步幅为 2 的池化层使高和宽减半。

# %%
X = nd.random.uniform(shape=(1, 1, 28, 28))
convolution = nn.Conv2D(6, kernel_size=5, activation="sigmoid")
convolution.initialize()
X = convolution(X)
print("a 5×5 convolution with 6 channels:", X.shape)
print("a pooling of stride 2:", nn.MaxPool2D(pool_size=2, strides=2)(X).shape)

# %% [markdown]
# ## 网络结构
#
# 两个卷积层的通道数是 6 和 16，后面各接一个池化层；再往后是输出个数为 120、84 和 10 的全连接层。
# 最后一层没有激活函数：它输出各类别的得分，softmax 由损失函数来计算。`gb.lenet()` 就是这个网络。

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

# %% [markdown]
# 输入一张图像，看看每层的输出形状。第二个池化层之后剩下 4×4 像素、16 个通道，
# 第一个全连接层把它们展平成 256 个数。

# %%
X = nd.random.uniform(shape=(1, 1, args.size, args.size))
net.initialize()
for layer in net:
    X = layer(X)
    print(layer.name, "output shape:\t", X.shape)

# %% [markdown]
# ## 训练模型
#
# 学习率取得很大，是因为 sigmoid 的梯度很小：
# $\sigma'(x) = \sigma(x) (1 - \sigma(x))$ 最大也只有四分之一，而网络中接连有四个 sigmoid。
# 在最初的几百个批量里，损失停在 ln 10 = 2.303 附近，这正是随机猜测时的损失。
#
# `train_ch5` 每读一个批量就更新一次参数。如果不计算要打印的数值，一个迭代周期就是下面几行：
#
# ```python
# for X, y in train_iter:
#     with autograd.record():
#         loss = softmax_cross_entropy(net(X.as_in_context(ctx)), y.as_in_context(ctx))
#     loss.backward()
#     trainer.step(batch_size)
# ```
#
# `backward` 求出整个批量的梯度之和，`step` 再把它除以 `batch_size`。
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

# %% [markdown]
# 下面是训练的结果。最容易相互混淆的是衬衫、套衫和外套。

# %%
args.run.show()  # the learning curve, and what the net sees in the first test images

# %% [markdown]
# ## 小结
#
# - 卷积层知道哪些像素相邻，而且图像变大时权重不会变多。
# - LeNet 的卷积层和池化层把一个 28×28 的通道变成 16 个 4×4 的通道。
# - 即便如此，仍有 94% 的参数在全连接层里。
#
# **两版的差别**：PyTorch 版在第一个卷积层的四周填充 2 个像素，相当于论文中 32×32 的输入，
# 所以第一个全连接层读取 400 个数，而不是 256 个。它用平均池化代替最大池化，并且训练十个迭代周期。
# 因此两版的结果不能直接比较。`python -m gluonbook.train lenet --edition pytorch` 训练那一版的网络。
#
# ## 练习
#
# 1. 修改网络：窗口大小、通道数、全连接层的输出个数，或者用 ReLU 代替 sigmoid。
#    ReLU 传回的梯度更大，所以学习率要调低。
# 2. 修改训练：学习率、初始化方法、迭代周期数。[动量、学习率调度等方法对 ResNet-18
#    有多大作用](../exercises/tuning.py)
# 3. 像 PyTorch 版那样填充和池化。影响准确率的是哪一个？
# 4. 看看卷积层把一件套衫和一只鞋变成了什么：`net[:1](X)`、`net[:3](X)`。

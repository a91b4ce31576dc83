# %% [markdown]
# # 残差网络（ResNet）
#
# 浅的网络能计算的，深的网络也能计算：多出来的层只要学会恒等映射 $f(\mathbf{x}) = \mathbf{x}$ 就行。
# 可是对普通的层来说，这并不容易：深到一定程度，连训练误差都会上升。
# 残差块换了一个学习目标：不学整个映射，只学要给输入加上的部分 $g(\mathbf{x})$，即
#
# $$f(\mathbf{x}) = \mathbf{x} + g(\mathbf{x}).$$
#
# 这样，恒等映射成了最容易学的映射：权重为 0 时 $g(\mathbf{x}) = 0$。
# 梯度也可以绕过 $g$ 传回去，因为 $f' = 1 + g'$。
#
# 论文：He 等，[Deep residual learning for image
# recognition](https://arxiv.org/abs/1512.03385)，2016。书中的这一节：[Gluon
# 版](https://zh-v1.d2l.ai/chapter_convolutional-neural-networks/resnet.html)、[PyTorch
# 版](https://zh.d2l.ai/chapter_convolutional-modern/resnet.html)。

# %%
import gluonbook as gb
from gluonbook.cli import arguments
import mxnet as mx
from mxnet import gluon, init, nd
from mxnet.gluon import nn

# The section's hyperparameters; options override them.
args = arguments("resnet", lr=0.05, num_epochs=5, batch_size=256, size=96)

# %% [markdown]
# ## 残差块
#
# $g$ 由两个 3×3 卷积层组成，每个后面接一个批量归一化层。最后一个 ReLU 之前加上输入，
# 所以输入的形状必须与 $g(\mathbf{x})$ 相同。如果块要改变通道数或图像的大小，
# 就用 1×1 卷积层把输入变成新的形状。`F` 是 `nd`，调用 `hybridize` 之后则是 `sym`；
# 在 CPU 上，`F.Activation` 比 `F.relu` 快。


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
# ## 网络结构
#
# 最前面与 GoogLeNet 相同，但加上了批量归一化层，然后是四个由残差块组成的模块。
# 从第二个模块开始，每个模块的第一个残差块使高和宽减半，通道数加倍。每个模块有两个残差块，
# 所以一共有 1 + 16 + 1 层，1×1 卷积层不计在内。`gb.resnet()` 就是这个网络。


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
# 残差块只学习要给输入加上的部分。输入容易传到后面，梯度也容易传回前面，
# 所以非常深的网络也能训练。
#
# **两版的差别**：网络相同。PyTorch 版训练十个迭代周期，而不是五个。
# 它的偏差随机初始化，这里从 0 开始。两版的 3×3 卷积层都有偏差，
# 但随后的批量归一化又把它消去了；论文中的卷积层没有偏差。
#
# ## 练习
#
# 1. 构造论文表 1 中的网络。[深度带来了什么](../exercises/resnet_table1.py)
# 2. 更深的网络把一个 3×3 卷积层放在两个 1×1 卷积层之间。这样节省了什么？上题的脚本有统计。
# 3. 把批量归一化和 ReLU 放在卷积层之前。[这样更好吗](../exercises/resnet_preactivation.py)
# 4. 提高准确率：`python -m gluonbook.train resnet --recipe tuned`，或者 `long`。
#    [各种方法的作用](../exercises/tuning.py)；[何时该翻转和平移图像](../exercises/moved_images.py)
# 5. 图像一定要放大吗？[论文中用于小图像的网络](../exercises/small_images.py)有三个模块，通道数是
#    16、32 和 64，参数只有四十分之一（`--recipe small`）。

# %% [markdown]
# # Network in network (NiN)
#
# The dense layers of AlexNet and VGG hold most of their weights. NiN has none: it follows each
# convolution with two 1×1 convolutions, which are a small dense network applied to every pixel, and
# gives the last block one channel per class, whose mean over the image is the class's score.
#
# The last block ends in a ReLU. If all of its outputs become zero, no gradient passes and the loss
# stays at ln 10 = 2.303. Should a run do that, start it again with another `--seed`.
#
# Lin, Chen and Yan, "Network in network", 2014.

# %%
import gluonbook as gb
from gluonbook.chapter import Chapter

chapter = Chapter("nin")
net = gb.nin()

# %% [markdown]
# ## Shapes
#
# The last block has as many channels as there are classes; global average pooling turns each into
# one number.

# %%
chapter.print_shapes(net)

# %% [markdown]
# ## Training
#
# Fashion-MNIST, the book's learning rate, batch size and number of epochs; `--help` lists what can
# be changed. The run's folder, under `runs`, keeps the learning curve and the trained parameters.

# %%
history = chapter.train(net)

# %% [markdown]
# # Networks of blocks (VGG)
#
# VGG builds a net out of one kind of block: some 3×3 convolutions, then a pooling that halves the
# image. Two 3×3 convolutions see as much as one of 5×5 and have fewer weights, so depth is bought
# with small windows. The section trains VGG-11 with a quarter of the paper's channels, because
# Fashion-MNIST needs no more.
#
# Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition",
# 2015.

# %%
import gluonbook as gb
from gluonbook.chapter import Chapter

chapter = Chapter("vgg")
net = gb.vgg()

# %% [markdown]
# ## Shapes
#
# Each block halves height and width, and the channels double until the fourth.

# %%
chapter.print_shapes(net)

# %% [markdown]
# ## Training
#
# Fashion-MNIST, the book's learning rate, batch size and number of epochs; `--help` lists what can
# be changed. The run's folder, under `runs`, keeps the learning curve and the trained parameters.

# %%
history = chapter.train(net)

# %% [markdown]
# # Convolutional networks (LeNet)
#
# A dense layer over a flattened image forgets which pixels are neighbours, and needs a weight for
# each of them. A convolution keeps the image an image and uses the same few weights everywhere.
# LeNet alternates convolutions with pooling, so that the image shrinks while the channels grow,
# and ends in three dense layers.
#
# LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition",
# 1998.

# %%
import gluonbook as gb
from gluonbook.chapter import Chapter

chapter = Chapter("lenet")
net = gb.lenet(edition=chapter.options.edition)

# %% [markdown]
# ## Shapes
#
# Each layer's output for one image. After the second pooling the image is 4×4 pixels with 16
# channels, which the first dense layer reads as 256 numbers.

# %%
chapter.print_shapes(net)

# %% [markdown]
# ## Training
#
# Fashion-MNIST, the book's learning rate, batch size and number of epochs; `--help` lists what can
# be changed. The run's folder, under `runs`, keeps the learning curve and the trained parameters.

# %%
history = chapter.train(net)

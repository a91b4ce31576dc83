# %% [markdown]
# # Deep convolutional networks (AlexNet)
#
# AlexNet is LeNet's plan with a larger budget: five convolutions instead of two, many more
# channels, and images of 224×224. What made that trainable were ReLU, whose gradient does not
# vanish for positive inputs, and dropout in the two large dense layers.
#
# Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural
# networks", 2012.

# %%
import gluonbook as gb
from gluonbook.chapter import Chapter

chapter = Chapter("alexnet")
net = gb.alexnet(edition=chapter.options.edition)

# %% [markdown]
# ## Shapes
#
# Each layer's output for one image. Nearly all parameters sit in the first two dense layers:
# `layers.txt` in the run's folder counts them.

# %%
chapter.print_shapes(net)

# %% [markdown]
# ## Training
#
# Fashion-MNIST, the book's learning rate, batch size and number of epochs; `--help` lists what can
# be changed. The run's folder, under `runs`, keeps the learning curve and the trained parameters.

# %%
history = chapter.train(net)

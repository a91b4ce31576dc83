# %% [markdown]
# # Densely connected networks (DenseNet)
#
# ResNet adds a block's input to its output; DenseNet puts them side by side. Each convolution of a
# dense block sees the outputs of all before it and adds a few channels of its own, 32 here. Between
# the blocks a transition, a 1×1 convolution and a pooling, keeps the channels and the image from
# growing out of hand.
#
# Huang, Liu, van der Maaten and Weinberger, "Densely connected convolutional networks", 2017.

# %%
import gluonbook as gb
from gluonbook.chapter import Chapter

chapter = Chapter("densenet")
net = gb.densenet(edition=chapter.options.edition)

# %% [markdown]
# ## Shapes
#
# Four dense blocks of four convolutions, and a transition between each two of them.

# %%
chapter.print_shapes(net)

# %% [markdown]
# ## Training
#
# Fashion-MNIST, the book's learning rate, batch size and number of epochs; `--help` lists what can
# be changed. The run's folder, under `runs`, keeps the learning curve and the trained parameters.

# %%
history = chapter.train(net)

# %% [markdown]
# # Networks with parallel paths (GoogLeNet)
#
# Which window is the right one: 1×1, 3×3, 5×5? An Inception block takes all of them side by side,
# and a pooling beside them, and joins their outputs along the channels. Convolutions of 1×1 before
# the larger windows keep the cost down. How many channels each path gets was found by trying on
# ImageNet.
#
# Szegedy et al., "Going deeper with convolutions", 2015.

# %%
import gluonbook as gb
from gluonbook.chapter import Chapter

chapter = Chapter("googlenet")
net = gb.googlenet(edition=chapter.options.edition)

# %% [markdown]
# ## Shapes
#
# The net has five modules and a dense layer. The third, fourth and fifth module hold 2, 5 and 2
# Inception blocks.

# %%
chapter.print_shapes(net)

# %% [markdown]
# ## Training
#
# Fashion-MNIST, the book's learning rate, batch size and number of epochs; `--help` lists what can
# be changed. The run's folder, under `runs`, keeps the learning curve and the trained parameters.

# %%
history = chapter.train(net)

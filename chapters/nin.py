# %% [markdown]
# # Network in network (NiN)
#
# The dense layers of AlexNet and VGG hold most of their weights. NiN has none: it follows each
# convolution with two 1×1 convolutions, which are a small dense network applied to every pixel, and
# gives the last block one channel per class, whose mean over the image is the class's score.
#
# Twelve convolutions with ReLU from Xavier's weights let the signal shrink to a twentieth, and the
# gradients with it: the loss lingers at ln 10 = 2.303, that of guessing, and if the ReLUs of the
# last block fall silent meanwhile, it stays there for good. The script says when it sees that.
# `--recipe stable` begins with weights made for ReLU (`MSRAPrelu`) and trains with Adam instead.
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

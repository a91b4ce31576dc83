# %% [markdown]
# # Residual networks (ResNet)
#
# A deeper net can represent all that a shallower one can: its extra layers need only pass their
# input on. Plain layers find that hard to learn. A residual block makes it the easy case: it adds
# its input to what its two convolutions give, so that with weights near zero it passes the input
# on, and gradients flow back around the convolutions unhindered.
#
# He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2016.

# %%
import gluonbook as gb
from gluonbook.chapter import Chapter

chapter = Chapter("resnet")
net = gb.resnet()

# %% [markdown]
# ## Shapes
#
# After the stem (convolution, batch normalisation, ReLU, pooling) come four stages of two residual
# blocks. From the second stage on, the first block doubles the channels and halves the image.

# %%
chapter.print_shapes(net)

# %% [markdown]
# ## Training
#
# Fashion-MNIST, the book's learning rate, batch size and number of epochs; `--help` lists what can
# be changed. The run's folder, under `runs`, keeps the learning curve and the trained parameters.

# %%
history = chapter.train(net)

# %% [markdown]
# # The sizes of the nets beside one another
#
# Parameters are weights and biases, for one channel and ten classes. Multiply-adds are those of the
# convolutions and dense layers, for one image of the size that the section trains on. AlexNet and
# VGG spend most of their parameters on dense layers, which cost few multiply-adds; the later nets
# have hardly any dense layer, and fewer parameters do more work.

# %%
from gluonbook.recipes import RECIPES
from gluonbook.summary import layer_table

print(f"{'net':36}{'image':>8}{'parameters':>14}{'multiply-adds':>16}{'in dense layers':>18}")
for recipe in RECIPES.values():
    net = recipe.net()
    net.initialize()
    layers = layer_table(net, (1, 1, recipe.size, recipe.size))
    parameters = sum(layer.parameters for layer in layers)
    dense = sum(layer.parameters for layer in layers if layer.kind == "Dense")
    print(
        f"{recipe.title:36}{recipe.size:>8}{parameters:>14,}"
        f"{sum(layer.multiply_adds for layer in layers):>16,}{dense / parameters:>17.0%}"
    )

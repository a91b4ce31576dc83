"""How any net of this package is trained on Fashion-MNIST where nets are compared."""

from __future__ import annotations

from functools import partial

from ..recipes import RECIPES, Recipe
from .models import get_model


def recipe_of(name: str) -> Recipe:
    """The book's recipe of a section; for any other model numbers that serve to compare it.

    The other models have the ten classes of Fashion-MNIST and images of 96×96, as the section on
    ResNet has; VGG has 224×224, which its dense layers are made for.

    Raises
    ------
    UnknownModel
        If no net has that name, when the net is made.
    """
    if name in RECIPES:
        return RECIPES[name]
    size = 224 if name.startswith("vgg") else 96
    build = partial(get_model, name, num_classes=10)
    return RECIPES["resnet"]._replace(section=name, title=name, build=build, size=size)

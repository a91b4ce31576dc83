"""The recipes are the book's, and no other place states their numbers."""

from __future__ import annotations

from gluonbook.recipes import RECIPES, recipe_of, recipes_of
from gluonbook.summary import num_parameters
import pytest

from .conftest import initialized

#: Learning rate, batch size, image size and epochs of the Gluon text.
BOOK = {
    "lenet": (0.9, 256, 28, 5),
    "alexnet": (0.01, 128, 224, 5),
    "vgg": (0.05, 128, 224, 5),
    "nin": (0.1, 128, 224, 5),
    "googlenet": (0.1, 128, 96, 5),
    "resnet": (0.05, 256, 96, 5),
    "densenet": (0.1, 256, 96, 5),
}


def test_recipes_are_the_books():
    found = {
        name: (recipe.lr, recipe.batch_size, recipe.size, recipe.num_epochs)
        for name, recipe in RECIPES.items()
    }
    assert found == BOOK


def test_the_books_optimizer_and_weights():
    """Plain SGD from Xavier's uniform weights, in every section; a second recipe has its own."""
    for section, recipe in RECIPES.items():
        assert (recipe.optimizer, recipe.initializer) == ("sgd", "Xavier")
        first, *others = recipes_of(section).values()
        assert first == recipe
        for other in others:
            if other.title == recipe.title:  # the section's net, not one beside it
                assert other.size == recipe.size


@pytest.mark.parametrize(
    ("section", "gluon", "pytorch"),
    [("densenet", 982_506, 758_226), ("resnet", 11_178_378, 11_178_378)],
)
def test_editions(section, gluon, pytorch):
    for edition, parameters in ("gluon", gluon), ("pytorch", pytorch):
        assert num_parameters(initialized(RECIPES[section].net(edition), 96)) == parameters


@pytest.mark.parametrize("section", RECIPES)
def test_a_wrong_edition_is_refused_in_every_section(section):
    with pytest.raises(ValueError, match="edition must be"):
        RECIPES[section].net("tensorflow")


def test_a_section_is_compared_by_its_own_recipe_and_others_by_resnets():
    assert all(recipe_of(section) is recipe for section, recipe in RECIPES.items())
    other = recipe_of("densenet121")
    assert (other.title, other.size, other.lr) == ("densenet121", 96, RECIPES["resnet"].lr)
    assert other.net("pytorch")[-1].weight.shape[0] == 10
    assert recipe_of("vgg16_bn").size == 224  # of its dense layers
    with pytest.raises(ValueError, match="there is no model 'dense121'"):
        recipe_of("dense121").net()

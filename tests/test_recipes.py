"""The recipes are the book's, and no other place states their numbers."""

from __future__ import annotations

from gluonbook.recipes import RECIPES, recipes_of
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

"""The book's plots show what they were given, and matplotlib waits until one is asked for."""

from __future__ import annotations

import gluonbook as gb
from matplotlib import pyplot
from mxnet import nd
import numpy as np
import pytest

from ..conftest import python


@pytest.fixture(autouse=True)
def _close():
    with pyplot.rc_context():
        yield
    pyplot.close("all")


def test_matplotlib_is_imported_with_the_first_plot_only():
    code = "import gluonbook as gb, sys; from gluonbook import train_ch5; gb.utils.lenet; "
    code += "print('matplotlib' in sys.modules); gb.plt; print('matplotlib.pyplot' in sys.modules)"
    result = python(code)
    assert result.stdout.split() == ["False", "True"], result.stderr


def test_every_promised_name_is_there():
    assert all(hasattr(gb, name) for name in gb.__all__)
    assert gb.plt is pyplot
    with pytest.raises(AttributeError, match="no attribute 'train_ch99'"):
        gb.train_ch99  # noqa: B018


def test_dir_has_all_of_its_names_and_no_others():
    """In a new process: a module that something has imported, or a plot, is none of them."""
    result = python("import gluonbook as gb; print(*dir(gb)); print(*sorted(gb.__all__))")
    listed, promised = map(str.split, result.stdout.splitlines())
    assert listed == promised and {"show_fashion_mnist", "plt", "utils", "lenet"} <= set(listed)


def test_utils_is_another_name():
    from gluonbook.utils import show_fashion_mnist, train_ch5

    assert train_ch5 is gb.train_ch5 and show_fashion_mnist is gb.show_fashion_mnist
    assert set(gb.__all__) - {"__version__"} <= set(dir(gb.utils)) | set(gb._PLOTS)


def test_labels_are_those_of_the_data_set():
    """By the table of the data set's own page: 0 is a T-shirt, 7 a sneaker, 9 an ankle boot."""
    assert gb.get_fashion_mnist_labels(nd.array([0, 7, 9], dtype="int32").asnumpy()) == [
        "t-shirt",
        "sneaker",
        "ankle boot",
    ]
    assert len(set(gb.get_fashion_mnist_labels(range(10)))) == 10


def test_images_in_a_row(dataset):
    images = nd.array(dataset.train.images[:3]).reshape((3, 28, 28, 1))
    labels = gb.get_fashion_mnist_labels(dataset.train.labels[:3])
    gb.show_fashion_mnist(images, labels)
    panels = pyplot.gcf().axes
    assert [panel.get_title() for panel in panels] == labels
    for panel, image in zip(panels, dataset.train.images):
        np.testing.assert_array_equal(panel.images[0].get_array(), image.reshape(28, 28))
    gb.show_fashion_mnist(images[:1], labels[:1])
    assert len(pyplot.gcf().axes) == 1


@pytest.mark.parametrize(
    ("shape", "drawn"),
    [
        ((96, 96), (96, 96)),
        ((1, 96, 96), (96, 96)),
        ((32, 40, 1), (32, 40)),
        ((32, 40, 3), (32, 40, 3)),
        ((784,), (28, 28)),
        ((1, 28, 28), (28, 28)),
    ],
)
@pytest.mark.parametrize("kind", [np.asarray, nd.array])
def test_images_of_any_size(kind, shape, drawn):
    images = np.random.RandomState(0).rand(2, *shape).astype(np.float32)
    gb.show_fashion_mnist(kind(images), ["one", "two"])
    for panel, image in zip(pyplot.gcf().axes, images):
        np.testing.assert_array_equal(panel.images[0].get_array(), image.reshape(drawn))


def test_curves_over_a_logarithmic_axis():
    gb.semilogy(
        range(1, 4), [1, 10, 100], "epochs", "loss", range(1, 4), [2, 20, 200], ["train", "test"]
    )
    [axes] = pyplot.gcf().axes
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_yscale()) == ("epochs", "loss", "log")
    assert [list(line.get_ydata()) for line in axes.lines] == [[1, 10, 100], [2, 20, 200]]
    assert [line.get_linestyle() for line in axes.lines] == ["-", ":"]
    assert [text.get_text() for text in axes.get_legend().texts] == ["train", "test"]
    assert list(pyplot.gcf().get_size_inches()) == [3.5, 2.5]


def test_the_size_of_figures():
    gb.set_figsize((6, 4))
    assert list(pyplot.figure().get_size_inches()) == [6, 4]

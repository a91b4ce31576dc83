"""The seven chapters as lessons: what their cells define, build and state, by syntax trees."""

from __future__ import annotations

import ast
from pathlib import Path

import gluonbook as gb
from gluonbook.operations import gluon_ops
from gluonbook.recipes import RECIPES
import jupytext
from markdown_it import MarkdownIt
import mxnet as mx
from mxnet import autograd, gluon, nd
from mxnet.gluon import nn
import numpy as np
import pytest

from ..conftest import CHAPTERS, initialized, randomized

PACKAGE = Path(gb.__file__).parent
#: What each chapter defines that the package has too.
SAVED = {
    "lenet": (),
    "alexnet": (),
    "vgg": ("vgg_block",),
    "nin": ("nin_block",),
    "googlenet": ("Inception",),
    "resnet": ("Residual", "resnet_block"),
    "densenet": ("conv_block", "DenseBlock", "transition_block"),
}
#: What takes more in the package than in the section, and is written out there.
SIMPLER = ("nin_block", "Inception")
BLOCKS = [(section, name) for section, names in SAVED.items() for name in names]
DEFINITIONS = (ast.FunctionDef, ast.ClassDef)


def source(section: str) -> str:
    return (CHAPTERS / f"{section}.py").read_text(encoding="utf-8")


def code_cells(section: str) -> list[ast.Module]:
    notebook = jupytext.read(CHAPTERS / f"{section}.py")
    return [ast.parse(cell.source) for cell in notebook.cells if cell.cell_type == "code"]


def definitions(text: str) -> dict[str, ast.AST]:
    return {node.name: node for node in ast.parse(text).body if isinstance(node, DEFINITIONS)}


def in_package(section: str) -> dict[str, ast.AST]:
    return definitions((PACKAGE / "nets" / f"{section}.py").read_text(encoding="utf-8"))


class _Bare(ast.NodeTransformer):
    """Takes off docstrings and annotations. Comments are in no tree."""

    def visit_arg(self, node):
        node.annotation = None
        return node

    def visit_FunctionDef(self, node):
        node.returns = None
        return self.visit_ClassDef(node)

    def visit_ClassDef(self, node):
        if ast.get_docstring(node) is not None:
            del node.body[0]
        return self.generic_visit(node)


def bare(node: ast.AST) -> str:
    return ast.dump(_Bare().visit(node))


def run(nodes: list[ast.stmt], **names: object) -> dict[str, object]:
    """What these statements leave, with these names known before."""
    exec(compile(ast.Module(nodes, []), "a chapter", "exec"), names)
    return names


def calls(tree: ast.AST, name: str) -> list[ast.Call]:
    """Where a name is called, as it stands or as an attribute."""
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and name in (vars(node.func).get("id"), attribute(node.func))
    ]


def attribute(node: ast.AST) -> str | None:
    return node.attr if isinstance(node, ast.Attribute) else None


def literals(call: ast.Call) -> tuple[list[object], dict[str, object]]:
    """The arguments of a call, all literals."""
    keywords = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    return [ast.literal_eval(argument) for argument in call.args], keywords


# --- the blocks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("section", RECIPES)
def test_what_is_said_to_be_saved_in_gluonbook_is(section):
    lines = source(section).splitlines()
    said = {
        name
        for name, node in definitions(source(section)).items()
        if lines[node.lineno - 1].endswith("  # saved in gluonbook")
    }
    assert said == set(SAVED[section]) == set(definitions(source(section))) & set(dir(gb))


@pytest.mark.parametrize(
    ("section", "name"), [block for block in BLOCKS if block[1] not in SIMPLER]
)
def test_a_block_is_the_packages(section, name):
    assert bare(definitions(source(section))[name]) == bare(in_package(section)[name])


def methods(node: ast.AST) -> dict[str, ast.FunctionDef]:
    """Of a class; a function is the one of its own."""
    if isinstance(node, ast.FunctionDef):
        return {node.name: node}
    return {each.name: each for each in node.body if isinstance(each, ast.FunctionDef)}


@pytest.mark.parametrize(("section", "name"), [block for block in BLOCKS if block[1] in SIMPLER])
def test_a_simpler_block_is_the_packages_for_the_sections_arguments(section, name, tmp_path):
    theirs, ours = definitions(source(section))[name], in_package(section)[name]
    assert type(theirs) is type(ours) and list(methods(theirs)) == list(methods(ours))
    for of_theirs, of_ours in zip(methods(theirs).values(), methods(ours).values()):
        taken = [[argument.arg for argument in each.args.args] for each in (of_theirs, of_ours)]
        assert taken[0] == taken[1] and not of_theirs.args.kwonlyargs
        if not of_ours.args.kwonlyargs:
            assert bare(of_theirs) == bare(of_ours)

    build = run([theirs], nn=nn)[name]
    found = [literals(call) for call in calls(ast.parse(source(section)), name)]
    assert len(found) >= 5
    for arguments, keywords in found:
        block = randomized(build(*arguments, **keywords), 16, 5)
        same_net(block, getattr(gb, name)(*arguments, **keywords), (2, 5, 16, 16), tmp_path)


def same_net(net, package_net, shape, folder):
    """The same operations on the same parameters, and the same numbers from the same weights."""
    ops = [
        [(op.kind, op.settings, op.inputs) for op in gluon_ops(each)] for each in (net, package_net)
    ]
    assert ops[0] == ops[1]
    initialized(package_net, shape[-1], shape[1])
    shapes = [
        {place: parameter.shape for place, parameter in each._collect_params_with_prefix().items()}
        for each in (net, package_net)
    ]
    assert shapes[0] == shapes[1]
    net.save_parameters(str(folder / "net.params"))
    package_net.load_parameters(str(folder / "net.params"))
    X = nd.random.uniform(shape=shape)
    expected = package_net(X).asnumpy()
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(net(X).asnumpy(), expected, rtol=1e-5, atol=1e-6)


# --- the net ------------------------------------------------------------------------------------


def before_the_table(section: str) -> dict[str, object]:
    """What a chapter has made when its table of layers begins."""
    cells = code_cells(section)[:-3]
    return run([node for cell in cells for node in cell.body if not is_of_arguments(node)])


def is_of_arguments(node: ast.stmt) -> bool:
    """Whether this is the import of `arguments`, or its call."""
    imported = node.names if isinstance(node, ast.ImportFrom) else []
    return "arguments" in [alias.name for alias in imported] or bool(calls(node, "arguments"))


#: Images as small as each net takes.
SIZES = {"lenet": 28, "alexnet": 96, "vgg": 32, "nin": 96}


@pytest.mark.parametrize("section", RECIPES)
def test_the_net_is_the_packages(section, tmp_path):
    size = SIZES.get(section, 33)
    net = randomized(before_the_table(section)["net"], size, 1)
    same_net(net, getattr(gb, section)(), (2, 1, size, size), tmp_path)


#: By arithmetic, but for Inception's and the later ones, which the book's text names.
PRINTED = {
    "lenet": [
        "a 5×5 convolution with 6 channels: (1, 6, 24, 24)",
        "a pooling of stride 2: (1, 6, 12, 12)",
    ],
    "vgg": [
        "vgg_block(2, 16): (1, 16, 16, 16)",
        "windows (3, 3): 18 weights for each pair of channels",
        "windows (5,): 25 weights for each pair of channels",
    ],
    "googlenet": ["Inception(64, (96, 128), (16, 32), 32): (1, 256, 12, 12)"],
    "resnet": [
        "Residual(3): (4, 3, 6, 6)",
        "Residual(6, use_1x1conv=True, strides=2): (4, 6, 3, 3)",
    ],
    "densenet": ["DenseBlock(2, 10): (4, 23, 8, 8)", "transition_block(10): (4, 10, 4, 4)"],
}


@pytest.mark.parametrize("section", PRINTED)
def test_the_blocks_give_the_shapes_of_the_books_text(section, capsys):
    before_the_table(section)
    assert capsys.readouterr().out.splitlines() == PRINTED[section]


def test_nin_shows_each_layer_of_a_block(capsys):
    before_the_table("nin")
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" ")[2] for line in lines] == 3 * ["in a NiN block: (1, 96, 54, 54)"]


def test_alexnet_shows_the_gradients_of_sigmoid_and_relu_and_a_dropout(capsys):
    before_the_table("alexnet")
    printed = [line.split(": ") for line in capsys.readouterr().out.splitlines()]
    shown = {title: np.array(text.strip("[]").split(), float) for title, text in printed}
    s = 1 / (1 + np.exp(-np.array([-6, -1, 0.5, 6])))
    np.testing.assert_allclose(shown.pop("gradient of sigmoid"), s * (1 - s), atol=1e-4)
    np.testing.assert_array_equal(shown.pop("gradient of relu"), [0, 0, 1, 1])
    [(title, dropped)] = shown.items()
    assert title == "dropout of eight ones" and len(dropped) == 8 and set(dropped) == {0, 2}


# --- the training -------------------------------------------------------------------------------


@pytest.mark.parametrize("section", RECIPES)
def test_a_chapter_states_its_recipe(section):
    recipe = RECIPES[section]
    first, training = code_cells(section)[0], code_cells(section)[-2]
    [call] = calls(first, "arguments")
    assert literals(call) == (
        [section],
        {
            "lr": recipe.lr,
            "num_epochs": recipe.num_epochs,
            "batch_size": recipe.batch_size,
            "size": recipe.size,
        },
    )
    [trainer] = calls(training, "Trainer")
    assert ast.literal_eval(trainer.args[1]) == recipe.optimizer
    [initialize] = calls(training, "initialize")
    assert attribute(initialize.args[0].func) == recipe.initializer
    assert literals(initialize.args[0]) == ([], {})


def test_the_last_three_code_cells_are_the_same_in_all_chapters():
    found = {section: [ast.dump(cell) for cell in code_cells(section)[-3:]] for section in RECIPES}
    assert all(cells == found["lenet"] for cells in found.values())
    table, training, shown = code_cells("lenet")[-3:]
    assert len(table.body) == 3 and isinstance(table.body[-1], ast.For)
    called = training.body[-1].value
    assert len(training.body) == 7 and attribute(called.func) == "train_ch5"
    assert [(keyword.arg, attribute(keyword.value)) for keyword in called.keywords] == [
        ("run", "run")
    ]
    assert ast.dump(shown) == ast.dump(ast.parse("args.run.show()"))


@pytest.mark.parametrize("section", RECIPES)
def test_a_chapter_goes_straight_on(section):
    tree = ast.parse(source(section))
    branches = (ast.If, ast.While, ast.With, ast.Try)
    assert not [node.lineno for node in tree.body if isinstance(node, branches)]
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert not names & {"kept", "chapter"}


def test_lenets_loop_is_train_ch5s():
    """The loop of its text, from the same weights over the same batches, one of them smaller."""
    [text] = [token.content for token in markdown("lenet") if token.type == "fence"]
    labels = nd.array(np.arange(12) % 3)
    images = nd.random.normal(shape=(12, 5)) + labels.reshape((12, 1))
    batches = [(images[i : i + 5], labels[i : i + 5]) for i in (0, 5, 10)]
    nets = [nn.Dense(3), nn.Dense(3)]
    for net in nets:
        net.initialize()
        net(images)
    nets[1].weight.set_data(nets[0].weight.data())
    before = nets[0].weight.data().asnumpy()
    trainers = [gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.3}) for net in nets]
    gb.train_ch5(nets[0], batches, batches, 5, trainers[0], mx.cpu(), 1)
    run(
        ast.parse(text).body,
        **{"net": nets[1], "train_iter": batches, "trainer": trainers[1], "batch_size": 5},
        **{"autograd": autograd, "ctx": mx.cpu()},
        softmax_cross_entropy=gluon.loss.SoftmaxCrossEntropyLoss(),
    )
    after = [net.weight.data().asnumpy() for net in nets]
    assert np.abs(after[0] - before).max() > 0.01
    np.testing.assert_allclose(after[1], after[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(*(net.bias.data().asnumpy() for net in nets), rtol=1e-5, atol=1e-6)


# --- the text -----------------------------------------------------------------------------------


def markdown(section: str) -> list:
    """The tokens of a chapter's text."""
    notebook = jupytext.read(CHAPTERS / f"{section}.py")
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    return [token for text in texts for token in MarkdownIt().parse(text)]


def links(section: str) -> list[str]:
    return [
        child.attrs["href"]
        for token in markdown(section)
        for child in token.children or []
        if child.type == "link_open"
    ]


@pytest.mark.parametrize("section", RECIPES)
def test_links_lead_to_files_to_the_paper_and_to_the_books_section(section):
    found = links(section)
    outside = [link for link in found if link.startswith("https://")]
    assert len(outside) == 2 and outside[1].endswith(f"/{section}.html")
    files = [link for link in found if link not in outside]
    assert files and all((CHAPTERS / link).is_file() for link in files)


def test_every_exercise_is_linked():
    linked = {link for section in RECIPES for link in links(section)}
    scripts = {f"exercises/{path.name}" for path in (CHAPTERS / "exercises").glob("*.py")}
    assert scripts <= linked


@pytest.mark.parametrize("section", RECIPES)
def test_a_chapter_is_read_in_one_sitting(section):
    assert 100 <= len(source(section).splitlines()) <= 140


@pytest.mark.parametrize("section", RECIPES)
def test_a_chapter_has_the_parts_of_a_section(section):
    headings = []
    for token, inline in zip(markdown(section), markdown(section)[1:]):
        if token.type == "heading_open":
            headings.append((token.tag, inline.content))
    assert [tag for tag, _ in headings] == ["h1"] + 5 * ["h2"]
    assert [title for _, title in headings[2:]] == ["The net", "Training", "Summary", "Exercises"]
    assert any("**The two editions.**" in token.content for token in markdown(section))

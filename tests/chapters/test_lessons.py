"""The seven chapters as lessons: what their cells define, build and state, by syntax trees."""

from __future__ import annotations

import ast
from pathlib import Path
import unicodedata

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

from ..conftest import CHAPTERS, initialized, randomized, run_chapter

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


def headings(section: str) -> list[tuple[str, str]]:
    tokens = markdown(section)
    return [
        (token.tag, inline.content)
        for token, inline in zip(tokens, tokens[1:])
        if token.type == "heading_open"
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
    assert scripts - {"exercises/trial.py"} <= linked  # which the others share


@pytest.mark.parametrize("section", RECIPES)
def test_a_chapter_is_read_in_one_sitting(section):
    assert 100 <= len(source(section).splitlines()) <= 140


@pytest.mark.parametrize("section", RECIPES)
def test_a_chapter_has_the_parts_of_a_section(section):
    found = headings(section)
    assert [tag for tag, _ in found] == ["h1"] + 5 * ["h2"]
    assert [title for _, title in found[2:]] == ["The net", "Training", "Summary", "Exercises"]
    assert any("**The two editions.**" in token.content for token in markdown(section))


# --- in Chinese ---------------------------------------------------------------------------------


def chinese(section: str) -> str:
    return f"zh/{section}"


def cells(section: str, kind: str) -> list[str | None]:
    """The cells of one kind in a chapter's order; each of another is None."""
    notebook = jupytext.read(CHAPTERS / f"{section}.py")
    return [cell.source if cell.cell_type == kind else None for cell in notebook.cells]


@pytest.mark.parametrize("section", RECIPES)
def test_a_chinese_chapter_has_the_code_of_its_twin_in_the_same_places(section):
    assert cells(chinese(section), "code") == cells(section, "code")


@pytest.mark.parametrize("section", RECIPES)
def test_a_chinese_chapters_links_lead_where_its_twins_do(section):
    theirs, ours = links(section), links(chinese(section))
    files = [f"../{link}" for link in theirs if not link.startswith("https://")]
    assert ours[0] == theirs[0]  # the paper
    chapter = "neural-networks" if section == "lenet" else "modern"
    assert ours[1:3] == [
        f"https://zh-v1.d2l.ai/chapter_convolutional-neural-networks/{section}.html",
        f"https://zh.d2l.ai/chapter_convolutional-{chapter}/{section}.html",
    ]
    assert ours[3:] == files and all((CHAPTERS / "zh" / link).is_file() for link in files)


def formulas(section: str) -> list[str]:
    """The formulas that stand alone, without the words in them."""
    found = [token.content for token in markdown(section) if token.content.startswith("$$")]
    first, *rest = "\n".join(found).split("\\text{")
    return (first + "".join(part.partition("}")[2] for part in rest)).splitlines()


def quoted(section: str) -> tuple[set[str], list[str]]:
    """The code and commands that a chapter's text names, and the code that it shows."""
    children = [child for token in markdown(section) for child in token.children or []]
    shown = [token.content for token in markdown(section) if token.type == "fence"]
    return {child.content for child in children if child.type == "code_inline"}, shown


@pytest.mark.parametrize("section", RECIPES)
def test_a_chinese_chapter_has_the_formulas_and_commands_of_its_twin(section):
    assert formulas(chinese(section)) == formulas(section)
    assert quoted(chinese(section)) == quoted(section)


def is_ideograph(character: str) -> bool:
    return "\u4e00" <= character <= "\u9fff"


def paragraphs(section: str) -> list[str]:
    """What a chapter says, without formulas and code."""
    found = []
    for token in markdown(section):
        if token.type == "inline" and not token.content.startswith("$$"):
            text = "".join(child.content for child in token.children if child.type == "text")
            found.append("".join(text.split("$")[::2]))
    return found


@pytest.mark.parametrize("section", RECIPES)
def test_the_text_of_a_chinese_chapter_is_chinese(section):
    told = paragraphs(chinese(section))
    assert all(any(map(is_ideograph, text)) for text in told)
    letters = [character for text in told for character in text if character.isalpha()]
    assert sum(map(is_ideograph, letters)) > 0.7 * len(letters)
    found = headings(chinese(section))
    assert [tag for tag, _ in found] == [tag for tag, _ in headings(section)]
    assert [title for _, title in found[2:]] == ["网络结构", "训练模型", "小结", "练习"]
    strong = [
        following.content
        for token in markdown(chinese(section))
        for child, following in zip(token.children or [], (token.children or [])[1:])
        if child.type == "strong_open"
    ]
    assert strong == ["两版的差别"]


def columns(line: str) -> int:
    """The width of a line in a terminal, where a Chinese character takes two columns."""
    return sum(1 + (unicodedata.east_asian_width(character) in "WF") for character in line)


@pytest.mark.parametrize("section", RECIPES)
def test_lines_of_a_chinese_chapter_are_no_longer_than_others_and_part_no_word(section):
    """A notebook shows the end of a line as a space, which Chinese has none of within a text."""
    assert max(map(columns, source(chinese(section)).splitlines())) <= 100
    for token in markdown(chinese(section)):
        lines = [line.strip() for line in token.content.splitlines() if token.type == "inline"]
        for line, following in zip(lines, lines[1:]):
            assert not (is_ideograph(line[-1]) and is_ideograph(following[0])), line


def test_the_chinese_lenet_runs_as_its_twin(tiny, tmp_path, capsys):
    printed, left, weights = [], [], []
    options = ("--epochs", "1", "--batch-size", "16", "--seed", "1", "--device", "cpu")
    for section in ("lenet", chinese("lenet")):
        out = tmp_path / section
        with mx.name.NameManager():  # so that both number their layers from 0
            run_chapter(CHAPTERS / f"{section}.py", *options, "--out", str(out))
        lines = capsys.readouterr().out.splitlines()
        printed.append([line.partition(", time ")[0] for line in lines])
        [folder] = out.iterdir()
        left.append(sorted(path.name for path in folder.iterdir()))
        weights.append(nd.load(str(folder / "lenet.params")))
    assert printed[0] == printed[1] and printed[0][-1].startswith("epoch 1, loss ")
    assert left[0] == left[1] and "curve.png" in left[0]
    for name, weight in weights[0].items():
        np.testing.assert_array_equal(weights[1][name].asnumpy(), weight.asnumpy())

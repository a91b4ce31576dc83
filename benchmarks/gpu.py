"""Is a GPU right, and how fast is it? Ten minutes for the owner of one that MXNet has code for.

For each section the outputs and gradients of one batch are compared with the CPU's, the net is
trained on some thousand images, and its training is timed, beside PyTorch's on the same GPU if that
is installed for CUDA. gpu.json is all that a report needs. --device cpu:1 tries the script itself.
"""

from __future__ import annotations

from typing import Any

import gluonbook as gb
from gluonbook.recipes import RECIPES, STABLE, Recipe
from gluonbook.system import mxnet_private, nvidia_driver
from gluonbook.system.device import be_deterministic, devices
from gluonbook.system.errors import print_sentences
from gluonbook.training.graphs import step_of
import mxnet as mx
from mxnet import autograd, gluon, nd
import numpy as np

import results

#: Images of the batch whose numbers are compared, and steps that are timed after the first two.
COMPARED, WARM_UP, TIMED = 16, 2, 10


def step_on(
    net: gluon.HybridBlock, ctx: mx.Context, X: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Outputs and gradients of one training step."""
    with autograd.record():
        outputs = net(nd.array(X, ctx=ctx))
        losses = gluon.loss.SoftmaxCrossEntropyLoss()(outputs, nd.array(y, ctx=ctx))
    losses.backward()
    params = [param for param in net.collect_params().values() if param.grad_req != "null"]
    return outputs.asnumpy(), [param.grad(ctx).asnumpy() for param in params]


def differences(recipe: Recipe, ctx: mx.Context, X: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Relative differences of outputs and gradients on `ctx` to those on the CPU, as L2 norms.

    Without dropout, whose masks differ. Where rounding moves an input of a ReLU past zero, the
    gradient jumps, so that of a deep net differs by more than rounding.
    """
    net = recipe.net()
    net.apply(mxnet_private.switch_off_dropout)
    net.initialize(mx.init.create(recipe.initializer))
    expected = step_on(net, mx.cpu(), X, y)
    net.collect_params().reset_ctx(ctx)
    found = step_on(net, ctx, X, y)

    def apart(ours: list[np.ndarray], theirs: list[np.ndarray]) -> float:
        square = sum(float(np.square(a - b).sum()) for a, b in zip(ours, theirs))
        return (square / sum(float(np.square(b).sum()) for b in theirs)) ** 0.5

    return {
        "outputs": apart([found[0]], [expected[0]]),
        "gradients": apart(found[1], expected[1]),
    }


def rate(recipe: Recipe, ctx: mx.Context, X: np.ndarray, y: np.ndarray) -> float:
    """Images a second of training on one batch that is on the device."""
    net = recipe.net()
    net.initialize(mx.init.create(recipe.initializer), ctx=ctx)
    net.hybridize(static_alloc=True, static_shape=True)
    step = step_of(net, gluon.loss.SoftmaxCrossEntropyLoss())
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.001})
    images, labels = nd.array(X, ctx=ctx), nd.array(y, ctx=ctx)

    def train(num_steps: int) -> None:
        for _ in range(num_steps):
            with autograd.record():
                losses = step(images, labels).losses
            losses.backward()
            trainer.step(len(X))

    train(WARM_UP)
    return TIMED * len(X) / results.seconds(lambda: train(TIMED))


def torch_rate(section: str, device_id: int, X: np.ndarray, y: np.ndarray) -> float | None:
    """The same of PyTorch on that GPU, as that edition trains, or None without PyTorch for CUDA."""
    try:
        import torch
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    from gluonbook.pytorch import nets

    device = torch.device("cuda", device_id)
    net = getattr(nets, section)().to(device)
    images, labels = torch.from_numpy(X).to(device), torch.from_numpy(y).long().to(device)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.001)

    def train(num_steps: int) -> None:
        for _ in range(num_steps):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(images), labels).backward()
            optimizer.step()
        torch.cuda.synchronize()

    train(WARM_UP)
    return TIMED * len(X) / results.seconds(lambda: train(TIMED))


def measure(section: str, ctx: mx.Context, limit: int) -> dict[str, Any]:
    """All that is found out about one section."""
    recipe = STABLE.get(section, RECIPES[section])
    train_iter, test_iter = gb.load_data_fashion_mnist(
        recipe.batch_size, recipe.size, limit=limit, limit_test=1000, seed=1
    )
    X, y = next(train_iter.arrays())
    row = {"section": section, "batch_size": len(X), "image_size": recipe.size}
    row["differences"] = differences(recipe, ctx, X[:COMPARED], y[:COMPARED])
    row["images_per_second"] = {"gluonbook": rate(recipe, ctx, X, y)}
    if ctx.device_type == "gpu":
        row["images_per_second"]["PyTorch"] = torch_rate(section, ctx.device_id, X, y)
        free, total = mx.context.gpu_memory_info(ctx.device_id)
        row["memory"] = {"used": total - free, "total": total}

    net = recipe.net()
    net.initialize(mx.init.create(recipe.initializer), ctx=ctx)
    net.hybridize(static_alloc=True, static_shape=True)
    trainer = gluon.Trainer(net.collect_params(), recipe.optimizer, {"learning_rate": recipe.lr})
    train_iter.epoch = 0  # the batch above was of the first epoch too
    history = gb.train_ch5(net, train_iter, test_iter, recipe.batch_size, trainer, ctx, 1)
    row["training"] = history[-1]._asdict()
    return row


def table_of(rows: list[dict]) -> str:
    header = ["section", "batch", "image", "outputs differ by", "gradients differ by"]
    lines = []
    for row in rows:
        rates = row["images_per_second"]
        torch = rates.get("PyTorch")
        lines.append(
            [RECIPES[row["section"]].title, str(row["batch_size"]), str(row["image_size"])]
            + [f"{value:.1e}" for value in row["differences"].values()]
            + [f"{rates['gluonbook']:,.0f}", f"{torch:,.0f}" if torch else "—"]
            + [f"{row['training']['loss']:.3f}", f"{row['training']['test_acc']:.3f}"]
        )
    header += ["images a second", "PyTorch", "loss", "test accuracy"]
    return results.markdown(header, lines)


def main() -> None:
    print_sentences()
    options = results.parser(__doc__, sections=True)
    options.add_argument("--device", default="gpu", help="gpu, gpu:1 or cpu:1")
    options.add_argument("--limit", type=int, default=12_800, help="train on so many images")
    options = options.parse_args()
    be_deterministic()
    [ctx] = devices(options.device)
    driver = nvidia_driver.ask()
    rows: list[dict] = [
        {"device": str(ctx), "driver": None if driver is None else driver._asdict()}
    ]
    for section in options.sections:
        rows.append(measure(section, ctx, options.limit))
    what = str(ctx)
    if driver is not None and ctx.device_type == "gpu":
        what = driver.gpus[ctx.device_id].name
    title = f"Each net on {what}, beside the CPU's numbers: {options.limit:,} images, one epoch"
    results.write("gpu", options.out, title, table_of(rows[1:]), rows)


if __name__ == "__main__":
    main()

"""Is a GPU right, and how fast is it? For the owner of one.

For each section the outputs and gradients of one batch are compared with the CPU's, in full
float32; and its training is timed, beside PyTorch's on the same GPU if that is installed for CUDA,
both in TensorFloat-32. Trainings in full are those of benchmarks/record_chapters.py and
benchmarks/reproduce.py. --device cpu:1 tries the script itself.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import gluonbook as gb
from gluonbook.gpu.device import devices
from gluonbook.measure.subprocess_worker import SubprocessWorker
from gluonbook.recipes import RECIPES, STABLE, Recipe
from gluonbook.system import mxnet_private, nvidia_driver
from gluonbook.system.errors import Failure, last_line, print_sentences
from gluonbook.system.nvidia_driver import TF32
from gluonbook.training.computation import computation_of
import mxnet as mx
from mxnet import gluon, nd
import numpy as np

import results

#: Images of the batch whose numbers are compared.
COMPARED = 16
#: Where PyTorch's own compiler is tried: it takes a minute for a net.
COMPILED = ("lenet", "resnet")
#: PyTorch's forms, as gpu_rates.py names them.
PYTORCH = ("PyTorch", "PyTorch, channels_last", "PyTorch, compiled")


def outputs_on(net: gluon.HybridBlock, ctx: mx.Context, X: np.ndarray) -> np.ndarray:
    computation = computation_of(net, gluon.loss.SoftmaxCrossEntropyLoss(), [ctx])
    return computation.inference([ctx])(nd.array(X, ctx=ctx)).asnumpy()


def step_on(
    net: gluon.HybridBlock, ctx: mx.Context, X: np.ndarray, y: np.ndarray
) -> tuple[float, list[np.ndarray]]:
    """Loss and gradients of one training step.

    Raises
    ------
    Failure
        If the net was moved to the CPU, because a device computes otherwise.
    """
    computation = computation_of(net, gluon.loss.SoftmaxCrossEntropyLoss(), [ctx])
    trainer = gluon.Trainer(net.collect_params(), "sgd")
    batch = nd.array(X, ctx=ctx), nd.array(y, ctx=ctx, dtype=np.int32)
    [outcome] = computation.train([batch], trainer)
    params = [param for param in net.collect_params().values() if param.grad_req != "null"]
    if params[0].list_ctx() != [ctx]:
        raise Failure(f"{ctx} computes otherwise than the CPU in training, as the warning says")
    return outcome.read().loss, [param.grad().asnumpy() for param in params]


def differences(recipe: Recipe, ctx: mx.Context, X: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Relative differences of outputs, loss and gradients on `ctx` to those on the CPU.

    Those of arrays are L2 norms. Without dropout, whose masks differ. Where rounding moves an input
    of a ReLU past zero, the gradient jumps, so that of a deep net differs by more than rounding.
    """
    net = recipe.net()
    net.apply(mxnet_private.switch_off_dropout)
    net.initialize(mx.init.create(recipe.initializer))
    params = net.collect_params()
    outputs, steps = [], []
    for device in (mx.cpu(), ctx):  # before a step, which moves the running statistics
        params.reset_ctx(device)
        outputs.append([outputs_on(net, device, X)])
    for device in (ctx, mx.cpu()):
        params.reset_ctx(device)
        steps.insert(0, step_on(net, device, X, y))

    def apart(ours: list[np.ndarray], theirs: list[np.ndarray]) -> float:
        square = sum(float(np.square(a - b).sum()) for a, b in zip(ours, theirs))
        return (square / sum(float(np.square(b).sum()) for b in theirs)) ** 0.5

    (loss, gradients), (found_loss, found_gradients) = steps
    return {
        "outputs": apart(*reversed(outputs)),
        "loss": abs(found_loss - loss) / loss,
        "gradients": apart(found_gradients, gradients),
    }


def measure(section: str, ctx: mx.Context) -> dict[str, Any]:
    """How one section's numbers differ, or the sentence that says why it is not computed."""
    recipe = STABLE.get(section, RECIPES[section])
    train_iter, _ = gb.load_data_fashion_mnist(COMPARED, recipe.size, seed=1)
    X, y = next(train_iter.arrays())
    row = {"section": section, "batch_size": recipe.batch_size, "image_size": recipe.size}
    try:
        return {**row, "differences": differences(recipe, ctx, X, y)}
    except (Failure, mx.base.MXNetError) as error:
        print(f"{section}: {last_line(error)}", flush=True)
        return {**row, "failed": last_line(error)}


class Sides:
    """Both sides of a speed, each in a process of its own, so that they can take turns."""

    def __init__(self, device_id: int) -> None:
        environment = {**results.environment(), TF32: "1"}
        script = Path(__file__).with_name("gpu_rates.py")
        self._workers = {
            side: SubprocessWorker(script, side, device_id, *COMPILED, env=environment)
            for side in ("gluonbook", "PyTorch")
        }

    def speed(self, section: str) -> dict[str, dict[str, Any]]:
        """Images a second and bytes of memory of each side, or why there are none.

        A side that has ended, as PyTorch's does where it is not installed for CUDA, is left out of
        the sections after that.
        """
        found: dict[str, dict[str, Any]] = {}
        for side, worker in list(self._workers.items()):
            try:
                found[side] = worker.ask(section)
            except RuntimeError as error:
                found[side] = {"failed": str(error)}
                del self._workers[side]
            print(section, side, found[side], flush=True)
        return found

    def close(self) -> None:
        for worker in self._workers.values():
            worker.close()


def table_of(rows: list[dict]) -> str:
    header = ["section", "batch", "image", "outputs differ by", "loss", "gradients"]
    header += [
        "gluonbook, images/s",
        *PYTORCH,
        "÷ fastest PyTorch",
        "gluonbook, GiB",
        "PyTorch, GiB",
    ]
    lines = []
    for row in rows:
        sides = row.get("speed", {})
        ours, theirs = sides.get("gluonbook", {}), sides.get("PyTorch", {})
        others = [theirs[name] for name in PYTORCH if name in theirs]
        found = row.get("differences", dict.fromkeys(("outputs", "loss", "gradients")))
        rates = [ours.get("gluonbook"), *map(theirs.get, PYTORCH)]
        ratio = rates[0] / max(others) if rates[0] and others else None
        sizes = [side.get("memory", 0) / 2**30 or None for side in (ours, theirs)]
        lines.append(
            [RECIPES[row["section"]].title, str(row["batch_size"]), str(row["image_size"])]
            + ["—" if value is None else f"{value:.1e}" for value in found.values()]
            + ["—" if rate is None else f"{rate:,.0f}" for rate in rates]
            + ["—" if ratio is None else f"{ratio:.2f}"]
            + ["—" if size is None else f"{size:.1f}" for size in sizes]
        )
    return results.markdown(header, lines)


def main() -> None:
    print_sentences()
    options = results.parser(__doc__, sections=True)
    options.add_argument("--device", default="gpu", help="gpu, gpu:1 or cpu:1")
    options = options.parse_args()
    os.environ[TF32] = "0"
    [ctx] = devices(options.device)
    driver = nvidia_driver.ask()
    rows: list[dict] = [
        {"device": str(ctx), "driver": None if driver is None else driver._asdict()}
    ]
    what, sides = str(ctx), None
    if driver is not None and ctx.device_type == "gpu":
        what, sides = driver.gpus[ctx.device_id].name, Sides(ctx.device_id)
    try:
        for section in options.sections:
            rows.append(measure(section, ctx))
            if sides is not None:
                rows[-1]["speed"] = sides.speed(section)
    finally:  # a stop loses no more than the section that it stops
        if len(rows) > 1:
            title = f"Each net on {what}, beside the CPU's numbers and PyTorch's speed"
            results.write("gpu", options.out, title, table_of(rows[1:]), rows)
        if sides is not None:
            sides.close()


if __name__ == "__main__":
    main()

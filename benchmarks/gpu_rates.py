"""One side of the speeds in benchmarks/gpu.py, which starts it: reads sections, answers in JSON.

Its arguments are gluonbook or PyTorch, the device's number, and the sections that PyTorch compiles.
PyTorch has a process of its own: both bring libraries of CUDA, which are not of one version.
"""

from __future__ import annotations

from collections import deque
import gc
import json
import sys
import time
from typing import Any, Callable, Iterator

if sys.argv[1] == "PyTorch":
    import torch  # before MXNet's libraries

from gluonbook.recipes import RECIPES, STABLE
from gluonbook.system.errors import Failure, last_line
import mxnet as mx
from mxnet import gluon, nd
import numpy as np

#: The first steps, which are not timed; then so many in a row, for at least so long.
WARM_UP, TIMED, SECONDS = 3, 20, 1.0


def images(section: str) -> tuple[np.ndarray, np.ndarray]:
    recipe = RECIPES[section]
    random = np.random.RandomState(0)
    X = random.uniform(size=(recipe.batch_size, 1, recipe.size, recipe.size)).astype(np.float32)
    return X, random.randint(10, size=recipe.batch_size).astype(np.int32)


def rate(step: Callable[[], object], wait: Callable[[], object], number: int) -> float:
    """Images a second of steps on batches of `number` images."""
    for _ in range(WARM_UP):
        step()
    wait()
    start, taken, steps = time.perf_counter(), 0.0, 0
    while taken < SECONDS:
        for _ in range(TIMED):
            step()
        wait()
        steps, taken = steps + TIMED, time.perf_counter() - start
    return steps * number / taken


def ours(section: str, device_id: int) -> dict[str, float]:
    from gluonbook.training.computation import computation_of
    from gluonbook.training.graphs import Outcome
    from gluonbook.training.tally import BATCHES_AHEAD

    recipe, ctx = STABLE.get(section, RECIPES[section]), mx.gpu(device_id)
    gc.collect()
    nd.waitall()
    nd.empty((1,), ctx)  # a cache that nothing was taken from cannot be emptied
    ctx.empty_cache()
    free, _ = mx.context.gpu_memory_info(device_id)
    net = recipe.net()
    net.initialize(mx.init.create(recipe.initializer), ctx=ctx)
    net.hybridize(static_alloc=True, static_shape=True)
    computation = computation_of(net, gluon.loss.SoftmaxCrossEntropyLoss(), [ctx])
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.001})
    X, y = images(section)
    parts = [(nd.array(X, ctx=ctx), nd.array(y, ctx=ctx, dtype=np.int32))]

    ahead: deque[Outcome] = deque()

    def step() -> None:
        ahead.extend(computation.train(parts, trainer))
        trainer.step(len(X))
        if len(ahead) > BATCHES_AHEAD:  # as the loop does, or batches would fill the memory
            ahead.popleft().read()

    found = {"gluonbook": rate(step, nd.waitall, len(X))}
    return {**found, "memory": free - mx.context.gpu_memory_info(device_id)[0]}


def theirs(section: str, device_id: int, compiled: bool) -> dict[str, float]:
    from gluonbook.pytorch import nets

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    device = torch.device("cuda", device_id)
    X, y = images(section)
    labels = torch.from_numpy(y).long().to(device)

    def forms() -> Iterator[tuple[str, Any, Any]]:
        plain = getattr(nets, section)().to(device)
        given = torch.from_numpy(X).to(device)
        yield "PyTorch", plain, given
        last = {"memory_format": torch.channels_last}
        yield "PyTorch, channels_last", plain.to(**last), given.to(**last)
        if compiled:
            fresh = getattr(nets, section)().to(device, **last)
            yield "PyTorch, compiled", torch.compile(fresh), given.to(**last)

    found: dict[str, float] = {}
    memory = 0
    for name, net, given in forms():
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.001)

        def step(net: Any = net, given: Any = given, optimizer: Any = optimizer) -> None:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(given), labels).backward()
            optimizer.step()

        try:
            found[name] = rate(step, torch.cuda.synchronize, len(X))
        except RuntimeError as error:
            print(f"{name}: {last_line(error)}", file=sys.stderr)
        memory = memory or torch.cuda.max_memory_reserved(device)  # of the net as it is written
    return {**found, "memory": memory}


def main() -> None:
    side, device_id, *compiled = sys.argv[1:]
    for line in sys.stdin:
        section = line.strip()
        try:
            if side == "PyTorch":
                found = theirs(section, int(device_id), section in compiled)
            else:
                found = ours(section, int(device_id))
        except (Failure, RuntimeError) as error:  # MXNet's and PyTorch's errors are of the second
            found = {"failed": last_line(error)}
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()

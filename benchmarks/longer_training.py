"""What pays off when ResNet-18 is trained for longer? Ten minutes on a GPU, days on two cores.

The PyTorch edition's net is trained by the recipe `tuned` and by changes to it, in bfloat16, on any
GPU that PyTorch has code for. As in exercises/tuning.py, the last 5,000 training images are held
out and serve as the test. Trainings that the folder of the results has already stay in the table,
so let them be of one machine. --device cpu tries the script itself.
"""

from __future__ import annotations

import argparse
from collections import deque
import itertools
import json
import operator
from pathlib import Path
from statistics import mean
import sys
import time
from typing import Dict, Iterator, List, NamedTuple

from gluonbook.data.augmentation import draw_moves
from gluonbook.data.fashion_mnist import Split, fashion_mnist
from gluonbook.data.image_batches import resize
from gluonbook.pytorch import nets
from gluonbook.pytorch.training import init_weights
from gluonbook.recipes import TUNED
from gluonbook.training.epochs import Epoch
from gluonbook.training.tuned import schedule
from matplotlib.figure import Figure
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

import results

RECIPE = TUNED["resnet"]
HELD_OUT = 5000
CHANGES = {
    "tuned": RECIPE.tuning,
    "weight decay": RECIPE.tuning._replace(weight_decay=5e-4),
    "moved images": RECIPE.tuning._replace(augment=True),
    "both": RECIPE.tuning._replace(weight_decay=5e-4, augment=True),
}
#: Steps of one training before the next has its turn; and steps before it becomes a graph, in
#: which cuDNN chooses its algorithms.
IN_A_ROW, WARM_UP = 8, 3
TESTED_TOGETHER = 1000
LEAST_DRAWN = 0.86


class Setting(NamedTuple):
    """What tells one training from the others."""

    change: str
    size: int
    num_epochs: int
    seed: int


class Images(NamedTuple):
    """Images (N, 1, H, W) uint8 and labels (N,) int64, on the device."""

    pixels: Tensor
    labels: Tensor

    @classmethod
    def of(cls, split: Split, size: int, device: torch.device) -> Images:
        pixels = torch.from_numpy(resize(split.images, size))
        labels = torch.from_numpy(split.labels.astype(np.int64))
        return cls(pixels.to(device), labels.to(device))


def moved(images: Tensor, flips: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """What `flip_and_shift` does, by moves (N,) that are drawn already, on the device."""
    n, _, height, width = images.shape
    rows = torch.arange(height, device=images.device) - down[:, None]
    columns = torch.arange(width, device=images.device) - right[:, None]
    inside = ((rows >= 0) & (rows < height))[:, :, None]
    inside = inside & ((columns >= 0) & (columns < width))[:, None, :]
    columns = torch.where(flips[:, None] == 1, width - 1 - columns, columns)
    rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    numbers = torch.arange(n, device=images.device)[:, None, None]
    return (images[numbers, 0, rows[:, :, None], columns[:, None, :]] * inside)[:, None]


class Training:
    """One net and all that a step of its training needs, on the device.

    A step reads the numbers of its images, their moves and its learning rate at counters that are
    on the device too, and moves these on. So nothing in it comes from Python, and a GPU can take it
    as a graph, faster than Python could launch one operator after the other.
    """

    def __init__(self, setting: Setting, train: Images, held_out: Images) -> None:
        self.setting, self.train, self.held_out = setting, train, held_out
        self.tuning = CHANGES[setting.change]
        self.device = device = train.pixels.device
        self.num_images = len(train.labels)
        full, rest = divmod(self.num_images, RECIPE.batch_size)
        self.batch_sizes = [RECIPE.batch_size] * full + [rest] * (rest > 0)
        self.random = np.random.RandomState(setting.seed)
        torch.manual_seed(setting.seed)
        self.net = nets.resnet()
        self.net.apply(init_weights)
        self.net.to(device, memory_format=torch.channels_last)
        self.params = list(self.net.parameters())
        self.velocities = [torch.zeros_like(param) for param in self.params]

        num_steps = setting.num_epochs * len(self.batch_sizes)
        rate_of = schedule(RECIPE.lr, self.tuning.warm_up, num_steps)
        rates = [rate_of(step) for step in range(1, num_steps + 1)]
        self.rates = torch.tensor(rates, dtype=torch.float32, device=device)
        self.step_number = torch.zeros(1, dtype=torch.int64, device=device)
        self.place = torch.zeros(1, dtype=torch.int64, device=device)
        #: The epoch's images in their order: number, flip, move down, move right.
        self.order = torch.zeros(4, self.num_images, dtype=torch.int64, device=device)
        self.loss_sum, self.correct = torch.zeros(2, device=device)
        self.stream = torch.cuda.Stream() if device.type == "cuda" else None
        self.graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self.taken: dict[int, int] = dict.fromkeys(self.batch_sizes, 0)

    def step(self, batch_size: int) -> None:
        """A step of gradient descent with momentum, as MXNet's SGD takes it."""
        places = self.place + torch.arange(batch_size, device=self.device)
        numbers, *moves = self.order[:, places]
        pixels, labels = self.train.pixels[numbers], self.train.labels[numbers]
        if self.tuning.augment:
            pixels = moved(pixels, *moves)
        # A graph cannot use a cast weight that autocast kept from before.
        with torch.autocast(self.device.type, torch.bfloat16, cache_enabled=False):
            logits = self.net(pixels / 255).float()
        loss = F.cross_entropy(logits, labels, label_smoothing=self.tuning.smoothing)
        gradients = torch.autograd.grad(loss, self.params)
        with torch.no_grad():
            # For all parameters together: each alone would be a kernel of a few microseconds.
            torch._foreach_add_(
                [gradient for gradient in gradients if gradient.dim() > 1],
                [param for param in self.params if param.dim() > 1],
                alpha=self.tuning.weight_decay,
            )
            torch._foreach_mul_(gradients, self.rates[self.step_number][0])
            torch._foreach_mul_(self.velocities, self.tuning.momentum)
            torch._foreach_sub_(self.velocities, gradients)
            torch._foreach_add_(self.params, self.velocities)
            self.loss_sum += loss * batch_size
            self.correct += (logits.argmax(1) == labels).sum()
            self.step_number += 1
            self.place += batch_size

    def take(self, batch_size: int) -> None:
        """One step, on a GPU in the training's own stream and, after the first few, as a graph."""
        self.taken[batch_size] += 1
        if self.stream is None:
            self.step(batch_size)
            return
        as_graph = self.taken[batch_size] > WARM_UP
        if as_graph and batch_size not in self.graphs:
            self.graphs[batch_size] = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graphs[batch_size], stream=self.stream):
                self.step(batch_size)
        with torch.cuda.stream(self.stream):
            self.graphs[batch_size].replay() if as_graph else self.step(batch_size)

    def begin_epoch(self) -> None:
        moves = draw_moves(self.train.pixels.shape, self.random)
        order = np.stack([self.random.permutation(self.num_images), *moves])
        self.order.copy_(torch.from_numpy(order))
        for tensor in (self.place, self.loss_sum, self.correct):
            tensor.zero_()
        self.net.train()

    @torch.no_grad()
    def accuracy(self) -> float:
        """On the images that are held out."""
        self.net.eval()
        correct = 0
        for pixels, labels in zip(*(part.split(TESTED_TOGETHER) for part in self.held_out)):
            with torch.autocast(self.device.type, torch.bfloat16):
                correct += int((self.net(pixels / 255).argmax(1) == labels).sum())
        return correct / len(self.held_out.labels)

    def run(self) -> Iterator[list[Epoch]]:
        """Train, and give way after every few steps; the list grows by each epoch."""
        epochs: list[Epoch] = []
        for number in range(1, self.setting.num_epochs + 1):
            start = time.time()
            self.begin_epoch()
            self._wait()
            for i, batch_size in enumerate(self.batch_sizes, start=1):
                self.take(batch_size)
                if i % IN_A_ROW == 0:
                    yield epochs
            self._wait()
            loss, train_acc = (float(x) / self.num_images for x in (self.loss_sum, self.correct))
            test_acc = self.accuracy()
            epochs.append(Epoch(number, loss, train_acc, test_acc, time.time() - start))
        yield epochs

    def _wait(self) -> None:
        """For the training's stream and for PyTorch's own, which the other methods use."""
        if self.stream is not None:
            self.stream.synchronize()
            torch.cuda.current_stream().synchronize()


def in_turns(
    settings: list[Setting], data: tuple[Images, Images], at_once: int
) -> Iterator[tuple[Setting, list[Epoch]]]:
    """Train several at a time, since one alone leaves much of a GPU idle."""
    waiting = deque(settings)
    running: deque[tuple[Setting, Iterator[list[Epoch]], list[Epoch]]] = deque()
    while waiting or running:
        while waiting and len(running) < at_once:
            setting = waiting.popleft()
            training = Training(setting, *data)
            running.append((setting, training.run(), []))
        setting, steps, epochs = running.popleft()
        try:
            running.append((setting, steps, next(steps)))
        except StopIteration:
            yield setting, epochs


Rows = Dict[Setting, List[Epoch]]


def read(path: Path) -> Rows:
    """The trainings that a results file holds, if it is there."""
    if not path.exists():
        return {}
    return {
        Setting(*(row[name] for name in Setting._fields)): [Epoch(**each) for each in row["epochs"]]
        for row in json.loads(path.read_text())["rows"]
    }


def ordered(rows: Rows) -> list[Setting]:
    """As the table has them."""
    changes = list(CHANGES)
    return sorted(rows, key=lambda row: (*row[1:3], changes.index(row.change), row.seed))


def together(rows: Rows, *names: str) -> dict[tuple, list[Setting]]:
    """The trainings that are alike in these."""
    groups = itertools.groupby(ordered(rows), key=operator.attrgetter(*names))
    return {values: list(settings) for values, settings in groups}


def table_of(rows: Rows) -> str:
    lines = []
    for how, settings in together(rows, "change", "size", "num_epochs").items():
        change, size, num_epochs = how
        last = [rows[setting][-1] for setting in settings]
        accuracies = [epoch.test_acc for epoch in last]
        lines.append(
            [change, str(size), str(num_epochs), f"{mean(epoch.loss for epoch in last):.3f}"]
            + [f"{mean(epoch.train_acc for epoch in last):.4f}", f"{mean(accuracies):.4f}"]
            + [", ".join(f"{accuracy:.4f}" for accuracy in accuracies)]
        )
    return results.markdown(
        ["training", "image", "epochs", "loss", "training accuracy", "accuracy"]
        + ["from each seed"],
        lines,
    )


def commands_of(rows: Rows) -> list[list[str]]:
    """The commands that made the table."""
    return [
        ["--size", str(size), "--epochs", str(num_epochs)]
        + ["--changes", *dict.fromkeys(setting.change for setting in settings)]
        + ["--seeds", *map(str, sorted({setting.seed for setting in settings}))]
        for (size, num_epochs), settings in together(rows, "size", "num_epochs").items()
    ]


def picture_of(rows: Rows) -> Figure:
    alike = together(rows, "size", "num_epochs")
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    panels = figure.subplots(1, len(alike), sharey=True, squeeze=False)[0]
    for axes, ((size, num_epochs), settings) in zip(panels, alike.items()):
        for setting in settings:
            axes.plot(
                [epoch.epoch for epoch in rows[setting]],
                [epoch.test_acc for epoch in rows[setting]],
                "o-",
                markersize=2,
                linewidth=1,
                color=f"C{list(CHANGES).index(setting.change)}",
                label=setting.change,
            )
        axes.set(title=f"{size} pixels, {num_epochs} epochs", xlabel="epoch")
        axes.set_ylim(LEAST_DRAWN, None)
        axes.locator_params(axis="x", integer=True)
        axes.grid(alpha=0.3)
    unique = dict(zip(*reversed(panels[0].get_legend_handles_labels())))
    panels[0].legend(unique.values(), unique.keys(), fontsize="small", loc="lower right")
    panels[0].set_ylabel("accuracy on held-out images")
    return figure


def write(folder: Path, rows: Rows, device: torch.device) -> None:
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU"
    results.write(
        "longer_training",
        folder,
        f"Longer trainings of ResNet-18, by PyTorch {torch.__version__} on {where}",
        table_of(rows),
        [
            {**setting._asdict(), "epochs": [epoch._asdict() for epoch in rows[setting]]}
            for setting in ordered(rows)
        ],
        picture_of(rows),
        commands_of(rows),
    )


def parse() -> argparse.Namespace:
    options = results.parser(__doc__)
    options.add_argument("--changes", nargs="+", choices=list(CHANGES), default=list(CHANGES))
    options.add_argument("--size", type=int, default=96, help="of the images, in pixels")
    options.add_argument("--epochs", type=int, default=20)
    options.add_argument("--seeds", nargs="+", type=int, default=[1, 2], metavar="N")
    options.add_argument("--limit", type=int, help="training images; all by default")
    options.add_argument("--at-once", type=int, default=6, help="trainings at a time")
    options.add_argument("--device", default="cuda", help="PyTorch's name of it")
    return options.parse_args()


def main() -> None:
    options = parse()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("PyTorch finds no GPU here: --device cpu tries the script, with --limit 500")
    torch.backends.cudnn.benchmark = True
    whole = fashion_mnist().holding_out(HELD_OUT)
    train = Split(*(part[: options.limit] for part in whole.train))
    data = Images.of(train, options.size, device), Images.of(whole.test, options.size, device)
    settings = [
        Setting(change, options.size, options.epochs, seed)
        for change, seed in itertools.product(options.changes, options.seeds)
    ]
    rows = read(options.out / "longer_training.json")
    for setting, epochs in in_turns(settings, data, options.at_once):
        print(", ".join(map(str, setting)), epochs[-1], flush=True)
        rows[setting] = epochs
    write(options.out, rows, device)


if __name__ == "__main__":
    main()

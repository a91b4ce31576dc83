"""A training of the PyTorch edition's nets in which nothing comes from Python, step after step.

It is fast on GPUs of any kind, and on processors with instructions for bfloat16.
"""

from __future__ import annotations

import torch  # before MXNet's libraries: both bring some of CUDA's, and PyTorch's are newer

# isort: split
from collections import deque
from itertools import islice
import sys
import time
from typing import Callable, Generator, Iterable, Iterator, NamedTuple, Sequence, TypeVar

from gluonbook.data.augmentation import draw_moves
from gluonbook.data.fashion_mnist import FashionMNIST, Split, fashion_mnist
from gluonbook.data.image_batches import resize
from gluonbook.pytorch.training import init_weights
from gluonbook.recipes import Recipe
from gluonbook.training.epochs import Epoch
from gluonbook.training.tuned import schedule
import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

#: Steps of one training before the next has its turn; and steps before it becomes a graph, in
#: which cuDNN chooses its algorithms.
IN_A_ROW, WARM_UP = 8, 3
TESTED_TOGETHER = 1000
#: The last training images, which serve as the test.
HELD_OUT = 5000
#: Of random erasing: the rectangle's area as a share of the image's, and its height by its width.
ERASED_AREAS, ERASED_ASPECTS = (0.02, 0.4), (0.3, 1 / 0.3)

Result = TypeVar("Result")


def chosen_device(name: str, without_gpu: str) -> torch.device:
    """PyTorch's device of that name; ends the script, saying `without_gpu`, if it is not there."""
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit(f"PyTorch finds no GPU here: {without_gpu}")
    torch.backends.cudnn.benchmark = True
    return device


def training_images(limit: int | None = None) -> FashionMNIST:
    """The first `limit` training images, to be tested on those that are held out."""
    whole = fashion_mnist().holding_out(HELD_OUT)
    return whole._replace(train=Split(*(part[:limit] for part in whole.train)))


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


def draw_rectangles(
    n: int, height: int, width: int, random: np.random.RandomState, probability: float
) -> np.ndarray:
    """What random erasing takes out of each of `n` images: top, bottom, left and right, (4, n).

    In pixels, bottom and right just outside the rectangle; all 0 for an image that stays whole. As
    algorithm 1 of Zhong et al., "Random erasing data augmentation" (2017), draws them: a rectangle
    that reaches beyond the image is drawn anew.
    """
    rectangles = np.zeros((4, n), np.int64)
    waiting = np.flatnonzero(random.uniform(size=n) < probability)
    while len(waiting):
        areas = random.uniform(*ERASED_AREAS, len(waiting)) * height * width
        aspects = random.uniform(*ERASED_ASPECTS, len(waiting))
        top, left = (random.randint(length, size=len(waiting)) for length in (height, width))
        bottom = top + np.rint(np.sqrt(areas * aspects)).astype(np.int64)
        right = left + np.rint(np.sqrt(areas / aspects)).astype(np.int64)
        rectangles[:, waiting] = top, bottom, left, right
        waiting = waiting[(bottom > height) | (right > width)]
    return rectangles


def erased(images: Tensor, top: Tensor, bottom: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Images (N, 1, H, W) with zeros in the rectangles (N,) of `draw_rectangles`, on the device."""
    height, width = images.shape[2:]
    rows = torch.arange(height, device=images.device)
    columns = torch.arange(width, device=images.device)
    down = (rows >= top[:, None]) & (rows < bottom[:, None])
    across = (columns >= left[:, None]) & (columns < right[:, None])
    return images.masked_fill((down[:, :, None] & across[:, None, :])[:, None], 0)


class Training:
    """One net and all that a step of its training by `recipe` needs, on the images' device.

    A step reads the numbers of its images, their moves and its learning rate at counters that are
    on the device too, and moves these on. So nothing in it comes from Python, and a GPU can take it
    as a graph, faster than Python could launch one operator after the other.

    Convolutions and dense layers compute in bfloat16. Weights, the loss and batch norm's statistics
    are in float32. Images are erased at random with the probability `erase`.

    In the last `taught_epochs` the net learns what `teachers`, trained nets, answer on average to
    the images as they come, moved and erased. Labels are not looked at in these epochs.
    """

    def __init__(
        self,
        recipe: Recipe,
        build: Callable[[], nn.Module],
        train: Images,
        held_out: Images,
        seed: int,
        erase: float = 0.0,
        teachers: Sequence[nn.Module] = (),
        taught_epochs: int = 0,
    ) -> None:
        self.recipe, self.train, self.held_out = recipe, train, held_out
        self.tuning = recipe.tuning
        self.device = device = train.pixels.device
        self.num_images = len(train.labels)
        full, rest = divmod(self.num_images, recipe.batch_size)
        self.batch_sizes = [recipe.batch_size] * full + [rest] * (rest > 0)
        self.seed, self.erase = seed, erase
        self.teachers = [
            teacher.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
            for teacher in teachers
        ]
        self.first_taught = recipe.num_epochs - taught_epochs + 1
        self.is_taught = False
        torch.manual_seed(seed)
        self.net = build()
        self.net.apply(init_weights)
        self.net.to(device, memory_format=torch.channels_last)
        self.params = list(self.net.parameters())
        self.velocities = [torch.zeros_like(param) for param in self.params]

        num_steps = recipe.num_epochs * len(self.batch_sizes)
        rates = [recipe.lr] * num_steps
        if self.tuning.warm_up is not None:
            rate_of = schedule(recipe.lr, self.tuning.warm_up, num_steps)
            rates = [rate_of(step) for step in range(1, num_steps + 1)]
        self.rates = torch.tensor(rates, dtype=torch.float32, device=device)
        self.step_number = torch.zeros(1, dtype=torch.int64, device=device)
        self.place = torch.zeros(1, dtype=torch.int64, device=device)
        #: The epoch's images in their order: number, flip, move down, move right; and the rectangle
        #: of each, if images are erased.
        num_rows = 8 if erase else 4
        self.order = torch.zeros(num_rows, self.num_images, dtype=torch.int64, device=device)
        self.loss_sum, self.correct = torch.zeros(2, device=device)
        self.stream = torch.cuda.Stream() if device.type == "cuda" else None
        self.graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self.taken: dict[int, int] = dict.fromkeys(self.batch_sizes, 0)

    def step(self, batch_size: int) -> None:
        """A step of gradient descent with momentum, as MXNet's SGD takes it."""
        places = self.place + torch.arange(batch_size, device=self.device)
        numbers, flips, down, right, *rectangles = self.order[:, places]
        pixels, labels = self.train.pixels[numbers], self.train.labels[numbers]
        if self.tuning.augment:
            pixels = moved(pixels, flips, down, right)
        if self.erase:
            pixels = erased(pixels, *rectangles)
        # A graph cannot use a cast weight that autocast kept from before.
        with torch.autocast(self.device.type, torch.bfloat16, cache_enabled=False):
            logits = self.net(pixels / 255).float()
            answers = [teacher(pixels / 255) for teacher in self.teachers * self.is_taught]
        if self.is_taught:
            probabilities = sum(answer.float().softmax(1) for answer in answers) / len(answers)
            loss = F.cross_entropy(logits, probabilities)
        else:
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

    def begin_epoch(self, number: int) -> None:
        if self.is_taught != (number >= self.first_taught):
            self.is_taught = not self.is_taught
            # The graphs are of the other kind of step.
            self.graphs.clear()
            self.taken = dict.fromkeys(self.batch_sizes, 0)
        random = np.random.RandomState([self.seed, number])
        moves = draw_moves(self.train.pixels.shape, random)
        rows = [random.permutation(self.num_images), *moves]
        if self.erase:  # drawn last, so that the other draws are the same with erasing and without
            height, width = self.train.pixels.shape[2:]
            rows += [*draw_rectangles(self.num_images, height, width, random, self.erase)]
        self.order.copy_(torch.from_numpy(np.stack(rows)))
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

    def state(self) -> dict[str, object]:
        """What `load_state` needs, after an epoch, to go on."""
        return {
            "net": self.net.state_dict(),
            "velocities": self.velocities,
            "step_number": self.step_number,
        }

    def load_state(self, state: dict) -> None:
        """Go on where another training by the same recipe, with the same seed, had come to."""
        self.net.load_state_dict(state["net"])
        torch._foreach_copy_(self.velocities, state["velocities"])
        self.step_number.copy_(state["step_number"])

    def run(self, epochs: Sequence[Epoch] = ()) -> Iterator[list[Epoch]]:
        """Train, and give way after every few steps, and each epoch, by which the list grows."""
        epochs = list(epochs)
        for number in range(len(epochs) + 1, self.recipe.num_epochs + 1):
            start = time.time()
            self.begin_epoch(number)
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
    trainings: Iterable[Generator[object, None, Result]], at_once: int
) -> Iterator[Result]:
    """Train several at a time, since one alone leaves much of a GPU idle.

    Each training gives way by `yield`; what it returns is given on as soon as it ends. One that
    waits for its turn has not begun, and so holds no memory.
    """
    waiting = iter(trainings)
    running = deque(islice(waiting, max(at_once, 1)))
    while running:
        training = running.popleft()
        try:
            next(training)
        except StopIteration as end:
            yield end.value
            running.extend(islice(waiting, 1))
        else:
            running.append(training)

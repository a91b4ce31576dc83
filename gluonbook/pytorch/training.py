"""The PyTorch edition's loader, devices and training loop."""

from __future__ import annotations

import os
import time
from typing import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from ..data import fashion_mnist
from ..data.image_batches import ImageBatches
from ..runs.history import History
from ..training.epochs import Epoch


class TensorBatches:
    """`ImageBatches` as torch tensors: the same batches in both editions.

    X is float32 (N, 1, H, W) in [0, 1], y int64 (N,).
    """

    def __init__(self, batches: ImageBatches) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for X, y in self.batches.arrays():
            yield torch.from_numpy(X), torch.from_numpy(y.astype(np.int64))


def load_data_fashion_mnist(
    batch_size: int,
    resize: int | None = None,
    root: str | os.PathLike[str] | None = None,
    *,
    limit: int | None = None,
    seed: int | None = None,
) -> tuple[TensorBatches, TensorBatches]:
    """Training and test batches from the files that `gluonbook.load_data_fashion_mnist` reads.

    The parameters and errors are the same. The edition's own loader resizes with Pillow, whose
    pixels differ by up to 0.004; these are resized as in the Gluon text.
    """
    train_iter, test_iter = fashion_mnist.load_data_fashion_mnist(
        batch_size, resize, root, limit=limit, seed=seed
    )
    return TensorBatches(train_iter), TensorBatches(test_iter)


def try_gpu(i: int = 0) -> torch.device:
    """``cuda:i`` if it is there, else the CPU."""
    return torch.device(f"cuda:{i}" if torch.cuda.device_count() >= i + 1 else "cpu")


def try_all_gpus() -> list[torch.device]:
    """Every CUDA device, or the CPU alone if there is none."""
    devices = [torch.device(f"cuda:{i}") for i in range(torch.cuda.device_count())]
    return devices or [torch.device("cpu")]


def init_weights(module: nn.Module) -> None:
    """Xavier's uniform weights for a convolution or dense layer; biases as PyTorch draws them."""
    if type(module) in (nn.Linear, nn.Conv2d):
        nn.init.xavier_uniform_(module.weight)  # type: ignore[arg-type]


def evaluate_accuracy_gpu(
    net: nn.Module, data_iter: Iterable[tuple[Tensor, Tensor]], device: torch.device | None = None
) -> float:
    """Share of the examples that `net` classifies rightly, on the net's device by default."""
    net.eval()
    device = device or next(net.parameters()).device
    correct = count = 0
    with torch.no_grad():
        for X, y in data_iter:
            X, y = X.to(device), y.to(device)
            correct += int((net(X).argmax(dim=1) == y).sum())
            count += len(y)
    return correct / count


def train_ch6(
    net: nn.Module,
    train_iter: Iterable[tuple[Tensor, Tensor]],
    test_iter: Iterable[tuple[Tensor, Tensor]],
    num_epochs: int,
    lr: float,
    device: torch.device,
) -> History:
    """Initialize `net` with `init_weights`, train it by SGD, print and return what it reached.

    As in the text, the rate printed last counts neither loading nor evaluation. The text draws
    the curve while it trains; here the history that is returned can draw it.
    """
    net.apply(init_weights)
    print("training on", device)
    net.to(device)
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    loss = nn.CrossEntropyLoss()
    history = History()
    computing, num_images = 0.0, 0
    for epoch in range(1, num_epochs + 1):
        start = time.monotonic()
        loss_sum = correct = count = 0.0
        net.train()
        for X, y in train_iter:
            step_start = time.monotonic()
            optimizer.zero_grad()
            X, y = X.to(device), y.to(device)
            y_hat = net(X)
            batch_loss = loss(y_hat, y)
            batch_loss.backward()
            optimizer.step()
            with torch.no_grad():
                loss_sum += float(batch_loss) * len(y)
                correct += int((y_hat.argmax(dim=1) == y).sum())
                count += len(y)
            computing += time.monotonic() - step_start
        num_images += int(count)
        test_acc = evaluate_accuracy_gpu(net, test_iter, device)
        history.append(
            Epoch(epoch, loss_sum / count, correct / count, test_acc, time.monotonic() - start)
        )
    last = history[-1]
    print(f"loss {last.loss:.3f}, train acc {last.train_acc:.3f}, test acc {last.test_acc:.3f}")
    print(f"{num_images / computing:.1f} examples/sec on {device}")
    return history

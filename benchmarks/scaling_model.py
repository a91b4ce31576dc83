"""At how many machines a parameter server stops scaling, by a model, for each net and network.

A machine trains on the batch of the recipe, in the time that `training.py` has measured or in
a fiftieth of it, and then exchanges gradients as `exchange_seconds` says. A training has stopped
scaling where its machines wait longer than they compute.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import NamedTuple

from gluonbook.recipes import RECIPES
from gluonbook.summary import layer_table
from matplotlib.figure import Figure
import numpy as np

import results


class Network(NamedTuple):
    name: str
    bytes_per_second: float
    """Of each machine, in each direction at the same time."""
    latency: float
    """Seconds from one machine to another."""


NETWORKS = (
    Network("1 Gbit/s", 1e9 / 8, 100e-6),
    Network("10 Gbit/s", 1e10 / 8, 50e-6),
    Network("25 Gbit/s", 2.5e10 / 8, 20e-6),
    Network("100 Gbit/s", 1e11 / 8, 10e-6),
)
#: Seconds of a processor for each message that ps-lite sends or takes (assumed).
MESSAGE = 20e-6
#: Arrays of more values than this are divided among all servers (MXNET_KVSTORE_BIGARRAY_BOUND).
BIG = 10**6
MOST = 1000
#: How many times as fast as the measured machine another may be: a GPU.
FASTER = (1, 50)


class Net(NamedTuple):
    """What the model needs to know of a training."""

    arrays: tuple[int, ...]
    """Number of values of each parameter that is trained."""
    seconds: float
    """That one machine needs for the step of its own batch."""


def exchange_seconds(net: Net, machines: int, servers: int, network: Network) -> float:
    """Time to add up the gradients of all machines, and to send the sums back.

    Assumptions: no part of it is hidden behind the computation; gradients and sums travel at the
    same time in opposite directions; each machine trains, and the first `servers` of them run a
    server beside; the slowest of three things counts: the wire of a machine with a server, the
    messages that a server takes, and those that a worker sends. One machine alone exchanges
    nothing.
    """
    if machines == 1:
        return 0.0
    size = 4 * sum(net.arrays)
    # What its workers send and what the server takes come through one wire, but for the share that
    # stays on the machine.
    wire = size + machines * size / servers - 2 * size / servers
    big = sum(count > BIG for count in net.arrays)
    small = len(net.arrays) - big
    taken = machines * (big + -(-small // servers))
    given = small + big * servers
    return 2 * network.latency + max(
        wire / network.bytes_per_second, MESSAGE * 2 * taken, MESSAGE * 2 * given
    )


def efficiency(net: Net, machines: int, servers: int, network: Network) -> float:
    """Share of its time in which a machine computes."""
    return net.seconds / (net.seconds + exchange_seconds(net, machines, servers, network))


def most_machines(net: Net, network: Network, *, server_on_each: bool) -> int:
    """The greatest number, up to a thousand, at which machines compute half of the time."""
    fits = 1
    for machines in range(2, MOST + 1):
        servers = machines if server_on_each else 1
        if efficiency(net, machines, servers, network) >= 0.5:
            fits = machines
    return fits


def net_of(section: str, seconds: float) -> Net:
    recipe = RECIPES[section]
    net = recipe.net()
    net.initialize()
    layer_table(net, (1, 1, recipe.size, recipe.size))
    params = net.collect_params().values()
    arrays = tuple(int(np.prod(p.shape)) for p in params if p.grad_req != "null")
    return Net(arrays, seconds)


def rates(path: Path = results.RESULTS / "training.json") -> dict[str, float]:
    """Images a second of one machine, as `benchmarks/training.py` has measured them."""
    rows = json.loads(path.read_text())["rows"]
    return {row["section"]: median(row["images_per_second"]["gluonbook"]) for row in rows}


def modelled() -> list[dict]:
    """For each net, and machines so many times as fast as this one, the most machines."""
    found = []
    for section, rate in rates().items():
        recipe = RECIPES[section]
        for factor in FASTER:
            net = net_of(section, recipe.batch_size / rate / factor)
            found.append(
                {
                    "section": section,
                    "faster": factor,
                    "parameters": sum(net.arrays),
                    "step_seconds": net.seconds,
                    "one_server": {
                        n.name: most_machines(net, n, server_on_each=False) for n in NETWORKS
                    },
                    "a_server_on_each": {
                        n.name: most_machines(net, n, server_on_each=True) for n in NETWORKS
                    },
                }
            )
    return found


def table_of(rows: list[dict]) -> str:
    """The most machines for each net and network: with one server, and with one on each."""

    def cell(row: dict, network: Network) -> str:
        pair = (row[kind][network.name] for kind in ("one_server", "a_server_on_each"))
        return " / ".join(f"{number:,}+" if number == MOST else f"{number:,}" for number in pair)

    return results.markdown(
        ["section", "parameters", "machine", "step, s", *(network.name for network in NETWORKS)],
        [
            [
                RECIPES[row["section"]].title,
                f"{row['parameters']:,}",
                "as measured" if row["faster"] == 1 else f"{row['faster']}× as fast",
                f"{row['step_seconds']:.3g}",
                *(cell(row, network) for network in NETWORKS),
            ]
            for row in rows
        ],
    )


def picture_of(rows: list[dict]) -> Figure:
    """How ResNet-18 and VGG-11 scale, on machines that are faster than this one."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    machines = np.unique(np.geomspace(1, MOST, 60).astype(int)).tolist()
    for axes, section in zip(figure.subplots(1, 2, sharey=True), ("resnet", "vgg")):
        [row] = [row for row in rows if row["section"] == section and row["faster"] == FASTER[-1]]
        net = net_of(section, row["step_seconds"])
        for i, network in enumerate(NETWORKS):
            for style, on_each in (("-", False), ("--", True)):
                shares = [efficiency(net, n, n if on_each else 1, network) for n in machines]
                axes.plot(
                    machines, shares, style, color=f"C{i}", label=None if on_each else network.name
                )
        axes.axhline(0.5, color="black", linewidth=0.8)
        axes.set(xscale="log", xlabel="machines", ylim=(0, 1), title=RECIPES[section].title)
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("share of the time that computes")
    figure.axes[0].legend(fontsize="small")
    figure.suptitle(
        f"Machines {FASTER[-1]} times as fast: one server (solid), one on each machine (dashed)",
        fontsize=10,
    )
    return figure


def main() -> None:
    options = results.parser(__doc__).parse_args()
    rows = modelled()
    title = (
        "Machines at which a training stops scaling, by a model: with one server / with one on "
        f"each machine ({MOST:,}+: not up to there)"
    )
    results.write("scaling_model", options.out, title, table_of(rows), rows, picture_of(rows))


if __name__ == "__main__":
    main()

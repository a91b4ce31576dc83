"""``python -m gluonbook.launch --workers 2 -- chapters/resnet.py``: train by several processes."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
import shlex
import sys
from typing import Sequence

import mxnet as mx

from .cli.parser import Parser, add_shared, process_count, whole_number
from .distributed import environment
from .distributed.environment import Place, Root
from .distributed.supervisor import CouldNotBind, Supervisor
from .system import nvidia_driver, runtime
from .system.errors import Failure, print_sentences
from .system.machine import physical_cores

_DESCRIPTION = """\
Train with several processes, which share each batch: one machine's, or those of many.

    python -m gluonbook.launch --workers 2 -- chapters/resnet.py --epochs 1

On several machines, start the same command once for each worker by a launcher that numbers its
processes and ends all when one dies: mpirun, srun, or any that sets RANK and WORLD_SIZE.

    mpirun -n 4 --host a,b,c,d python -m gluonbook.launch --root a:9091 -- chapters/resnet.py

Each worker takes its part of every batch, so their number has to divide the batch size. The first
one prints, draws and saves; only it reads the folder to --resume, with any such number of workers.
A net with batch normalization sees the means of each part alone, and keeps the first worker's
running means. With three workers or more, sums differ in their last bits from run to run. Where a
machine has several GPUs, each worker sees one of them.

On one machine the processes talk by sockets in /tmp, which only this user can open. With --root, or
under a launcher, they listen at the address from which the root is reached, or where DMLC_INTERFACE
or DMLC_NODE_HOST say. At 127.0.0.1 no other machine reaches them, but all users of this one do.
What they send is neither encrypted nor authenticated, and who can reach a server can run code
there. So use several machines in a private network only, where you trust all users.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Start the run that `argv` describes, by default the command line; the exit code."""
    print_sentences()
    argv = list(sys.argv[1:] if argv is None else argv)
    if "--" not in argv and any(text == "-m" or text.endswith(".py") for text in argv):
        raise Failure(
            "write -- between the options of the launch and the script, as in `python -m "
            "gluonbook.launch --workers 2 -- chapters/resnet.py`"
        )
    place = argv.index("--") if "--" in argv else len(argv)
    options, script = _parser().parse_args(argv[:place]), argv[place + 1 :]
    if not script:
        raise Failure("no script is named: write -- and the script after the options of the launch")
    if not script[0].startswith("-") and not Path(script[0]).is_file():
        raise Failure(f"there is no script {script[0]}: write it, with its options, after --")
    command = [sys.executable, *script]
    if {"-h", "--help"} & set(script):
        os.execv(command[0], command)
    where = environment.place(os.environ)
    if where is None:
        return _on_this_machine(command, options)
    return _as_one_of(where, command, options)


def _on_this_machine(command: list[str], options: argparse.Namespace) -> int:
    """Run all processes here."""
    count = options.workers or 1
    given = options.root is not None
    root = environment.root(options.root) if given else environment.private_root()
    return _run(command, options, root, count, range(count), range(options.servers), count)


def _as_one_of(where: Place, command: list[str], options: argparse.Namespace) -> int:
    """Run the worker of this number, and the servers and the scheduler beside the first ones."""
    if options.workers not in (None, where.size):
        raise Failure(
            f"--workers {options.workers} under a launcher that has started {where.size} "
            "processes: leave it out, each process is one worker"
        )
    if options.servers > where.size:
        raise Failure(f"--servers {options.servers}: at most {where.size}, one for each process")
    root = environment.root(_root_of(where, options))
    servers = [where.rank] if where.rank < options.servers else []
    num_here = max(1, where.on_this_machine)
    return _run(
        *(command, options, root, where.size, [where.rank], servers, num_here, where.local_rank)
    )


def _root_of(where: Place, options: argparse.Namespace) -> str:
    if options.root is not None:
        return str(options.root)
    if {"MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys():
        return f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    if where.on_this_machine == where.size:
        return environment.DEFAULT_ROOT
    raise Failure(
        "the processes are on several machines and need an address to meet: add --root HOST:PORT, "
        "the host on which process 0 runs and a port that is free there"
    )


def _run(
    command: list[str],
    options: argparse.Namespace,
    root: Root,
    num_workers: int,
    ranks: Sequence[int],
    servers: Sequence[int],
    num_here: int,
    first_here: int = 0,
) -> int:
    """Run the processes of a run that are on this machine; the scheduler is where worker 0 is.

    `first_here` is the number of the first of these workers among the `num_here` of this machine.
    """
    if num_workers > 1 and not mx.runtime.Features().is_enabled("DIST_KVSTORE"):
        raise Failure(
            "this build of MXNet cannot train by several processes, as it has no DIST_KVSTORE (the "
            "released one for Linux on Arm has none): start the script itself"
        )
    supervisor = Supervisor(options.timeout)

    def variables(role: str) -> dict[str, str]:
        return environment.of_ps_lite(role, root, num_workers, options.servers)

    nodes = {f"server {number} of {options.servers}": "server" for number in servers}
    if 0 in ranks:
        nodes = {"the scheduler": "scheduler", **nodes}
    # Importing MXNet is all that such a process does. Nobody else may open its socket.
    node = [sys.executable, "-c", "import os; os.umask(0o077); import gluonbook"]
    for name, role in nodes.items() if num_workers > 1 else ():  # else nobody talks to another
        supervisor.start(name, node, {**variables(role), "OMP_NUM_THREADS": "1"})
    launch = ["python", "-m", "gluonbook.launch", "--workers", str(num_workers)]
    if options.servers > 1:
        launch += ["--servers", str(options.servers)]
    for number, rank in enumerate(ranks, first_here):
        told = environment.of_worker(rank, options.timeout, shlex.join([*launch, "--"]))
        if num_workers > 1:
            told.update(nvidia_driver.share_of(number))
        if not runtime.threads_by_user:
            told["OMP_NUM_THREADS"] = str(max(1, physical_cores() // num_here))
        name = f"worker {rank} of {num_workers}"
        told = {**variables("worker"), **told}
        supervisor.start(name, command, told, is_worker=True, shown=rank == 0)
    try:
        return supervisor.run()
    except CouldNotBind:
        raise Failure(
            "no process can make a socket in /tmp: let this user write there, or name an address "
            "of this machine with --root 127.0.0.1:PORT"
            if root.is_private
            else f"no process can listen at {root.host}:{root.port}: name the host of the first "
            "process and a free port with --root HOST:PORT"
        ) from None


def _parser() -> Parser:
    parser = Parser(
        _DESCRIPTION,
        prog="python -m gluonbook.launch",
        usage="%(prog)s [options] -- SCRIPT [options of the script]",
    )
    parser.add_argument(
        "--workers",
        type=process_count,
        metavar="N",
        help="processes that train; under a launcher, as many as it has started",
    )
    parser.add_argument(
        "--servers",
        type=process_count,
        default=1,
        metavar="N",
        help="processes that add up gradients; under a launcher, beside the first N workers",
    )
    parser.add_argument(
        "--root",
        metavar="HOST:PORT",
        help="where the processes meet: the host of the first and a free port (default: "
        "MASTER_ADDR and MASTER_PORT if set, else this machine alone)",
    )
    parser.add_argument(
        "--timeout",
        type=whole_number,
        default=300,
        metavar="SECONDS",
        help="a worker whose step takes longer ends the run",
    )
    add_shared(parser, "--debug")
    return parser


if __name__ == "__main__":
    sys.exit(main())

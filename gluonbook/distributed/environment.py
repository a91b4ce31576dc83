"""What the environment of a process says of its place in a run.

A launcher such as mpirun numbers the processes that it starts. ``python -m gluonbook.launch`` reads
that number, and tells the processes that it starts in turn by variables of its own, and by those of
ps-lite, MXNet's parameter server.
"""

from __future__ import annotations

import os
import secrets
import socket
from typing import Mapping, NamedTuple

from ..system.errors import Failure

#: ps-lite's message where an address is taken, and the exit code of a worker that got it.
BIND_FAILED, TRY_AGAIN = "bind failed", 75
#: Where the scheduler listens, if nobody says otherwise.
DEFAULT_ROOT = "127.0.0.1:9091"

_RANK, _TIMEOUT, _COMMAND = "GLUONBOOK_RANK", "GLUONBOOK_TIMEOUT", "GLUONBOOK_COMMAND"


# --- what a launcher says ---------------------------------------------------------------------


class Place(NamedTuple):
    """Of a process among those that a launcher has started."""

    rank: int
    size: int
    on_this_machine: int
    """How many of them are here; 0 if the launcher does not say."""
    local_rank: int
    """Its number among those that are here; the rank if the launcher does not say."""


_OPEN_MPI = "OMPI_COMM_WORLD_"
#: Variables that state the rank and the size, and the size and the rank on the same machine.
LAUNCHERS = {
    "Open MPI": tuple(_OPEN_MPI + name for name in ("RANK", "SIZE", "LOCAL_SIZE", "LOCAL_RANK")),
    "MPICH and Intel MPI": ("PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS", "MPI_LOCALRANKID"),
    "Slurm's srun": ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "", "SLURM_LOCALID"),
    "others": ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "LOCAL_RANK"),
}


def place(variables: Mapping[str, str]) -> Place | None:
    """Where a launcher has put this process, or None if none has started several.

    Raises
    ------
    Failure
        If the variables make no sense; names them.
    """
    for rank_name, size_name, here_name, local_name in LAUNCHERS.values():
        if rank_name not in variables or size_name not in variables:
            continue
        try:
            rank, size = int(variables[rank_name]), int(variables[size_name])
            here = int(variables.get(here_name, "0"))
            local_rank = int(variables.get(local_name, rank))
        except ValueError:
            rank, size, here, local_rank = -1, 0, 0, 0
        if not 0 <= rank < size:
            raise Failure(
                f"{rank_name}={variables[rank_name]} and {size_name}={variables[size_name]} "
                "do not number a process: start it by a launcher, or unset them"
            )
        if size > 1:
            return Place(rank, size, here, local_rank)
    return None


class Root(NamedTuple):
    """The address of the scheduler, by which the processes of a run find one another."""

    host: str
    """An IPv4 address: ps-lite cannot listen at a name."""
    port: int
    is_private: bool = False
    """Whether the port is the name of a socket in /tmp instead, which only this user can open."""


def root(text: str) -> Root:
    """The root that ``HOST:PORT`` names.

    Raises
    ------
    Failure
        If it is not of this form, or there is no such host.
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise Failure(f"the root must be HOST:PORT, as {DEFAULT_ROOT}, not {text!r}")
    try:
        return Root(socket.gethostbyname(host), int(port))
    except (OSError, UnicodeError) as error:
        raise Failure(f"the root's host {host} is not known here ({error})") from error


def private_root() -> Root:
    """A root that no other machine and no other user of this one reaches."""
    return Root("127.0.0.1", _private_number(), is_private=True)


def _private_number() -> int:
    """The name of a socket in /tmp. ps-lite would take that of another run without a word."""
    return secrets.randbelow(2**31 - 2**16) + 2**16


def own_address(root: Root) -> str:
    """The address of this machine from which it reaches the root: the network that both are on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((root.host, root.port))  # sends nothing
        return str(probe.getsockname()[0])


# --- what the launcher tells the processes of a run -------------------------------------------


def of_ps_lite(role: str, root: Root, num_workers: int, num_servers: int) -> dict[str, str]:
    """The variables by which ``import mxnet`` makes a process a scheduler, a server or a worker.

    It listens at `socket_of` these variables, if the root is private. Else it listens at
    `own_address` alone, unless the user's ``DMLC_INTERFACE`` or ``DMLC_NODE_HOST`` says otherwise.
    """
    variables = {
        "DMLC_ROLE": role,
        "DMLC_PS_ROOT_URI": root.host,
        "DMLC_PS_ROOT_PORT": str(root.port),
        "DMLC_NUM_WORKER": str(num_workers),
        "DMLC_NUM_SERVER": str(num_servers),
    }
    if root.is_private:
        number = root.port if role == "scheduler" else _private_number()
        variables.update(DMLC_LOCAL="1", DMLC_NODE_HOST=root.host, PORT=str(number))
    elif not {"DMLC_INTERFACE", "DMLC_NODE_HOST"} & os.environ.keys():
        variables["DMLC_NODE_HOST"] = own_address(root)
    return variables


def socket_of(variables: Mapping[str, str]) -> str | None:
    """The file at which a process with these variables listens, or None if it has a port."""
    return f"/tmp/{variables['PORT']}" if "DMLC_LOCAL" in variables else None


def of_worker(rank: int, timeout: int, command: str) -> dict[str, str]:
    """What else a worker needs; see `Member` and `launched_by`."""
    return {_RANK: str(rank), _TIMEOUT: str(timeout), _COMMAND: command}


class Member(NamedTuple):
    """A worker's place in its run."""

    rank: int
    num_workers: int
    timeout: int
    """Seconds in which a step has to end."""


def member() -> Member | None:
    """This process's place as a worker, or None if it trains by itself.

    Raises
    ------
    Failure
        If another program than ours has made it a worker.
    """
    if os.environ.get("DMLC_ROLE") != "worker":
        return None
    if _RANK not in os.environ:
        raise Failure(
            "DMLC_ROLE=worker is set, but not by this package: start the script by `python -m "
            "gluonbook.launch`, or unset it"
        )
    numbers = (os.environ[name] for name in (_RANK, "DMLC_NUM_WORKER", _TIMEOUT))
    return Member(*map(int, numbers))


def is_first() -> bool:
    """Whether this process is the first worker of its run, or trains by itself."""
    return os.environ.get(_RANK, "0") == "0"


def launched_by() -> str | None:
    """What stood before the script: ``python -m gluonbook.launch --workers 2 --``."""
    return os.environ.get(_COMMAND)

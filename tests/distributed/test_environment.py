"""What launchers say of a process, and where it listens."""

from __future__ import annotations

from gluonbook.distributed import environment
from gluonbook.distributed.environment import Place, Root
from gluonbook.system.errors import Failure
import pytest


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({}, None),
        (
            {
                "OMPI_COMM_WORLD_RANK": "3",
                "OMPI_COMM_WORLD_SIZE": "4",
                "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
                "OMPI_COMM_WORLD_LOCAL_RANK": "1",
            },
            Place(3, 4, 2, 1),
        ),
        ({"PMI_RANK": "0", "PMI_SIZE": "2"}, Place(0, 2, 0, 0)),
        (
            {"SLURM_PROCID": "5", "SLURM_STEP_NUM_TASKS": "8", "SLURM_LOCALID": "1"},
            Place(5, 8, 0, 1),
        ),
        # The script of a batch job that has not called srun.
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "8"}, None),
        ({"RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}, Place(1, 2, 2, 1)),
        ({"RANK": "0", "WORLD_SIZE": "1"}, None),
    ],
)
def test_the_place_that_a_launcher_gives(variables, place):
    assert environment.place(variables) == place


@pytest.mark.parametrize(("rank", "size"), [("2", "2"), ("-1", "2"), ("one", "2"), ("0", "")])
def test_numbers_without_sense(rank, size):
    with pytest.raises(Failure, match=f"RANK={rank} and WORLD_SIZE={size} do not number a process"):
        environment.place({"RANK": rank, "WORLD_SIZE": size})


def test_root():
    assert environment.root("localhost:80") == Root("127.0.0.1", 80)
    for text in ("", "127.0.0.1", ":80", "a:b", "127.0.0.1:0", "127.0.0.1:65536"):
        with pytest.raises(Failure, match="the root must be HOST:PORT, as "):
            environment.root(text)
    with pytest.raises(Failure, match="the root's host no.such.invalid is not known here"):
        environment.root("no.such.invalid:80")


def test_a_run_on_one_machine_listens_to_no_other(monkeypatch):
    monkeypatch.delenv("DMLC_INTERFACE", raising=False)
    here = Root("127.0.0.1", 9091)
    assert environment.of_ps_lite("server", here, 2, 1)["DMLC_NODE_HOST"] == "127.0.0.1"
    monkeypatch.setenv("DMLC_INTERFACE", "eth1")
    assert "DMLC_NODE_HOST" not in environment.of_ps_lite("server", here, 2, 1)


def test_a_private_run_listens_at_no_port(monkeypatch):
    monkeypatch.setenv("DMLC_INTERFACE", "eth1")
    root = environment.private_root()
    roles = ("scheduler", "server", "worker", "worker")
    all_variables = [environment.of_ps_lite(role, root, 2, 1) for role in roles]
    for variables in all_variables:
        assert variables["DMLC_PS_ROOT_PORT"] == str(root.port)
        assert (variables["DMLC_LOCAL"], variables["DMLC_NODE_HOST"]) == ("1", "127.0.0.1")
        assert environment.socket_of(variables) == f"/tmp/{variables['PORT']}"
    ports = [variables["PORT"] for variables in all_variables]
    assert ports[0] == str(root.port) and len(set(ports)) == 4
    assert (
        environment.socket_of(environment.of_ps_lite("server", Root("127.0.0.1", 80), 2, 1)) is None
    )


def test_a_worker_of_another_program_is_refused(monkeypatch):
    assert environment.member() is None
    monkeypatch.setenv("DMLC_ROLE", "worker")
    with pytest.raises(Failure, match="start the script by `python -m gluonbook.launch`"):
        environment.member()

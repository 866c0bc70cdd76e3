"""The address by which the nodes of an allocation reach each other, also where Slurm hides its nodes from users."""

import os
from pathlib import Path

import pytest

from orchestrator.base.errors import BackendError
from orchestrator.rundir.batch import Batch
from orchestrator.runtime import slurm


def saying(folder: Path, script: str) -> Batch:
    """A body whose scontrol does this."""
    program = folder / "scontrol"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return Batch(1, commands=str(folder))


def test_it_is_what_slurm_says(tmp_path: Path) -> None:
    batch = saying(tmp_path, 'echo "NodeName=$4 NodeAddr=127.0.0.7 NodeHostName=localhost"')
    assert slurm.address_of(batch, "n1") == "127.0.0.7"


DENIED = "echo 'slurm_load_node error: Access/permission denied' >&2; exit 1"


@pytest.mark.parametrize(("known", "address"), [({"n1": "10.0.0.7"}, "10.0.0.7"), ({}, "10.0.0.9")])
def test_where_slurm_hides_its_nodes_it_is_that_of_the_nodes_name_or_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: dict[str, str], address: str
) -> None:
    names = {os.uname().nodename: "10.0.0.9"} | known

    def resolve(name: str) -> str:
        if name not in names:
            raise OSError("unknown")
        return names[name]

    monkeypatch.setattr(slurm.socket, "gethostbyname", resolve)  # type: ignore[attr-defined]
    assert slurm.address_of(saying(tmp_path, DENIED), "n1") == address


def test_where_slurm_does_not_answer_it_is_not_known(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="Unable to contact"):
        slurm.address_of(saying(tmp_path, "echo 'Unable to contact slurm controller' >&2; exit 1"), "n1")

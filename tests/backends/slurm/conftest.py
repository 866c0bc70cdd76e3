"""A Slurm that says what a test tells it to, and programs that stand in for its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.backends.slurm.commands import Answer, Slurm
from orchestrator.base.errors import BackendUnavailable
from orchestrator.spec.slurm import SlurmSection

if TYPE_CHECKING:
    from backend_kit import Site
    from lookout_kit import Scene

sys.path.insert(0, str(Path(__file__).parent))  # makes the kits importable by the tests

CONFIGURATION = "AccountingStorageType = accounting_storage/slurmdbd\nMinJobAge = 300 sec\nSLURM_VERSION = 22.05.8\n"


class ScriptedSlurm(Slurm):
    """Slurm's programs as functions of their arguments; what they raise is raised."""

    def __init__(self) -> None:
        super().__init__(SlurmSection(), environment={})
        self.programs: dict[str, Callable[..., str]] = {
            "squeue": lambda *_: "".join(self.jobs.values()),
            "sacct": lambda *_: "".join(self.accounts.values()),
            "scontrol": lambda *arguments: (
                CONFIGURATION if arguments[-1] == "config" else self.inventory[arguments[-1]]
            ),
            "scancel": lambda *_: "",
        }
        self.jobs: dict[str, str] = {}
        self.accounts: dict[str, str] = {}
        self.inventory = {"nodes": "", "partitions": ""}
        self.asked: list[tuple[str, ...]] = []

    def path(self, program: str) -> str | None:
        """All are there."""
        return f"/opt/slurm/{program}"

    def call(self, program: str, *arguments: str, **_: Any) -> Answer:  # type: ignore[override]
        """What the test said that it says."""
        self.asked.append((program, *arguments))
        return Answer(program, 0, self.programs[program](*arguments), "")

    def count(self, program: str) -> int:
        """How often it was asked."""
        return sum(1 for call in self.asked if call[0] == program)

    def queue(self, allocation: str, state: str, job: str = "1", **fields: str) -> None:
        """From now on squeue shows this job."""
        from queue_kit import queue_line

        self.jobs[job] = queue_line(allocation, state, job, **fields)

    def account(self, allocation: str, state: str, job: str = "1", code: str = "0:0", submitted: str = "1000") -> None:
        """From now on sacct shows this job."""
        self.accounts[job] = "\x1f".join([job, allocation, state, code, submitted, "1001", "1002", "n1"]) + "\n"

    def silence(self, program: str) -> None:
        """From now on a program reaches nobody."""

        def fail(*_: str) -> str:
            raise BackendUnavailable(f"{program}: Unable to contact slurm controller", hint="scontrol ping")

        self.programs[program] = fail


@pytest.fixture
def scripted() -> ScriptedSlurm:
    """A Slurm without jobs."""
    return ScriptedSlurm()


@pytest.fixture
def programs(tmp_path: Path) -> Callable[..., Slurm]:
    """Make a Slurm of shell scripts: `programs(squeue="echo hello")`; those that are not named are missing."""
    folder = tmp_path / "programs"
    folder.mkdir()

    def make(*, patience: float = 20.0, environment: Mapping[str, str] | None = None, **scripts: str) -> Slurm:
        for name, script in scripts.items():
            path = folder / name
            path.write_text(f"#!/bin/sh\n{script}\n")
            path.chmod(0o755)
        known = {"PATH": "/usr/bin:/bin"} if environment is None else environment
        return Slurm(SlurmSection(commands=str(folder)), environment=known, patience=patience)

    return make


@pytest.fixture
def scene(scripted: ScriptedSlurm) -> Scene:
    """A lookout that asks it."""
    from lookout_kit import Scene

    return Scene(scripted)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A backend, its pretended programs and its queue."""
    from backend_kit import Site

    return Site(tmp_path)

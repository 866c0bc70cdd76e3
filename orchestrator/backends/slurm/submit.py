"""Hands allocations to sbatch through submitit, and reads its answer: a number, a refusal, or none."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.backends.protocol import LaunchRequest
from orchestrator.backends.slurm.commands import Answer, Slurm
from orchestrator.backends.slurm.refusals import refusal
from orchestrator.base.errors import BackendUnavailable
from orchestrator.rundir.allocations import AllocationFiles
from orchestrator.rundir.launch import for_jobs
from orchestrator.spec.slurm import SlurmSection

if TYPE_CHECKING:
    from orchestrator.backends.slurm.executor import AllocationExecutor

_PATIENCE = 60.0
_DRY_RUN = 5.0
"""Seconds that a dry run may take: somebody waits for it."""
_FOLDER = "slurm"
_NUMBER = re.compile(r"(\d+)(;\S*)?")
_NOT_NOW = re.compile(r"allocation failure: Requested node configuration is not available")
"""A dry run also says so where the nodes are down or drained, and sbatch would take the job; whether any node has what
it needs is known from their table."""
_START = re.compile(r"Job \d+ to start at (\d+) using")


class Submitter:
    """sbatch, by submitit.

    Args:
        slurm: the programs.
        section: of the profile.
        environment: the server's; default: that of this process. Jobs get it without what is the server's own.
    """

    def __init__(self, slurm: Slurm, section: SlurmSection, *, environment: Mapping[str, str] | None = None) -> None:
        self._slurm = slurm
        self._python = section.python or sys.executable
        self._server = os.environ if environment is None else environment

    def script(self, request: LaunchRequest, parameters: Mapping[str, Any], tasks: int = 0) -> str:
        """The very script that `submit` hands over, an array of so many tasks; nothing is written."""
        return self._executor(request, parameters, tasks).text

    def path(self, request: LaunchRequest) -> Path:
        """Where `submit` writes the script."""
        return _folder(request) / f"{_name(request)}.sh"

    def submit(self, request: LaunchRequest, parameters: Mapping[str, Any], tasks: int = 0) -> str:
        """Write script and body into the run's directory and submit them.

        Returns:
            Slurm's number of the job.

        Raises:
            LaunchRefused: Slurm does not take it.
            NotStarted: Slurm does not take it now.
            BackendUnavailable: there is no answer; Slurm may have taken it.
        """
        executor = self._executor(request, parameters, tasks)
        files = AllocationFiles(request.directory, request.allocation)
        agents = [files.agent(task).allocation for task in range(max(1, tasks))]
        return executor.begin(request.directory.path.absolute(), agents)

    def expected_start(self, request: LaunchRequest, parameters: Mapping[str, Any], tasks: int = 0) -> float | None:
        """When Slurm would start it, in seconds since the epoch; None where it does not say.

        Raises:
            LaunchRefused: Slurm would not take it.
            BackendUnavailable: there is no answer.
        """
        script = self.script(request, parameters, tasks)
        with tempfile.TemporaryFile() as file:
            file.write(script.encode())
            file.seek(0)
            answer = self._slurm.call("sbatch", "--test-only", patience=_DRY_RUN, stdin=file.fileno())
        if answer.code != 0:
            if _NOT_NOW.search(answer.err):
                return None
            raise refusal(answer)
        found = _START.search(answer.err)
        return None if found is None else float(found.group(1))

    @cached_property
    def _environment(self) -> dict[str, str]:
        """Of sbatch, which hands it to the job."""
        known = self._slurm.environment
        ours = for_jobs(self._server).items()
        kept = {name: value for name, value in ours if name in known and name != "SLURM_TIME_FORMAT"}
        return kept | {name: value for name, value in known.items() if name in {"SLURM_CONF", "PATH"}}

    def _executor(self, request: LaunchRequest, parameters: Mapping[str, Any], tasks: int) -> AllocationExecutor:
        from orchestrator.backends.slurm.executor import AllocationExecutor  # with submitit, only where it is needed

        return AllocationExecutor(_folder(request), _name(request), self._python, parameters, self._sbatch, tasks=tasks)

    def _sbatch(self, script: Path) -> str:
        answer = self._slurm.call(
            "sbatch", "--parsable", str(script), patience=_PATIENCE, environment=self._environment
        )
        if answer.code != 0:
            raise refusal(answer)
        return _number(answer)


def _folder(request: LaunchRequest) -> Path:
    return request.directory.path.absolute() / _FOLDER


def _name(request: LaunchRequest) -> str:
    return f"batch-{AllocationFiles(request.directory, request.allocation).index}"


def _number(answer: Answer) -> str:
    found = _NUMBER.fullmatch(answer.out.strip())
    if found is None:
        raise BackendUnavailable(
            f"sbatch was asked, and its answer cannot be read: {answer.words}",
            hint="the job is looked for by its name before it is submitted again",
        )
    return found.group(1)

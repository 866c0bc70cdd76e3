"""The audit trail of a whole training: what all runs of a job, and all their leaders, wrote of each step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.errors import NotFound
from orchestrator.rundir.audit import StepAudit, audit_folder, read_audit
from orchestrator.rundir.layout import JobDirectory, RunDirectory


@dataclass(frozen=True)
class Trail:
    """What was written of each step.

    Attributes:
        name: for people.
        steps: by number; of a step that was done again, what was written last.
        accounts: of each step all that was written, in the order in which it was made.
        worlds: how many workers made steps, in the order in which that changed.
        redone: steps that were done again.
        contradiction: the first step that was done again with another result; None where all agree.
    """

    name: str
    steps: Mapping[int, StepAudit]
    accounts: Mapping[int, tuple[StepAudit, ...]]
    worlds: tuple[int, ...]
    redone: int
    contradiction: tuple[StepAudit, StepAudit] | None


def trail_of(name: str, runs: Iterable[Iterable[StepAudit]]) -> Trail:
    """Gather the steps of runs, earlier ones first; several workers wrote the same of a step."""
    steps: dict[int, StepAudit] = {}
    accounts: dict[int, tuple[StepAudit, ...]] = {}
    worlds: list[int] = []
    redone, contradiction = 0, None
    for run in runs:
        made: set[tuple[int, int]] = set()
        for audit in run:
            before = steps.get(audit.step)
            if before is not None:
                redone += (audit.view, audit.step) not in made
                if contradiction is None and facts(before) != facts(audit):
                    contradiction = (before, audit)
            if not worlds or worlds[-1] != audit.world:
                worlds.append(audit.world)
            made.add((audit.view, audit.step))
            steps[audit.step] = audit
            accounts[audit.step] = (*accounts.get(audit.step, ()), audit)
    return Trail(name, steps, accounts, tuple(worlds), redone, contradiction)


def facts(audit: StepAudit) -> tuple[object, ...]:
    """What must not depend on who made the step."""
    return audit.epoch, audit.samples, audit.gradient, dict(audit.parameters)


def job_trail(job: JobDirectory, name: str = "") -> Trail:
    """The trail of a job: of all its runs, in their order.

    Raises:
        NotFound: none of them wrote any.
    """
    folder = job.path / "runs"
    runs = sorted((RunDirectory(path) for path in folder.iterdir()), key=_number) if folder.is_dir() else []
    return _trail(name or job.path.name, [_in_order(run) for run in runs], job.path)


def run_trail(run: RunDirectory) -> Trail:
    """The trail of one run.

    Raises:
        NotFound: it wrote none.
    """
    return _trail(run.run, [_in_order(run)], run.path)


def read_trail(path: Path) -> Trail:
    """The trail of a job's or a run's directory.

    Raises:
        NotFound: it is neither, or it has no trail.
    """
    if (path / "runs").is_dir():
        return job_trail(JobDirectory(path))
    return run_trail(RunDirectory(path))


def _in_order(run: RunDirectory) -> list[StepAudit]:
    """A run's steps as they were made: leaders of later views wrote later."""
    return sorted(read_audit(audit_folder(run)), key=lambda audit: (audit.view, audit.step))


def _trail(name: str, runs: list[list[StepAudit]], where: Path) -> Trail:
    if not any(runs):
        raise NotFound(
            f"{where} has no audit trail", hint="submit the workload with --set elastic.audit=true, which writes one"
        )
    return trail_of(name, runs)


def _number(run: RunDirectory) -> tuple[int, str]:
    suffix = run.run.rpartition("-r")[2]
    return (int(suffix) if suffix.isdecimal() else 0, run.run)

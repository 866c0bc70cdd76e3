"""Where the checkpoints of a job lie."""

from __future__ import annotations

from pathlib import Path

from orchestrator.rundir.layout import JobDirectory
from orchestrator.spec.training import Checkpointing


def checkpoint_root(settings: Checkpointing, job: JobDirectory, *below: str) -> Path | str:
    """Where checkpoints lie: in the job's directory, or under the place that the workload names, the job's name below.

    Args:
        settings: the workload's section.
        job: whose checkpoints they are.
        below: folders in there, one for each trial.
    """
    if settings.to is None:
        return job.checkpoints.joinpath(*below)
    place = "/".join((settings.to.rstrip("/"), job.path.name, *below))
    return place if "://" in place else Path(place)

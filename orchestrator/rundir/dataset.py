"""The version of its data that a job sees: written down by its first run, and no other is used by any run after it."""

from __future__ import annotations

from orchestrator.base.errors import Conflict
from orchestrator.base.files import create_exclusive
from orchestrator.rundir.fence import check_fence
from orchestrator.rundir.layout import JobDirectory


def hold_to_dataset(job: JobDirectory, token: int, version: str) -> None:
    """Called by whoever opens the data, before anything of it is used: every rank, driver and trial.

    Raises:
        Conflict: the job has begun with another version.
        Fenced: a newer run owns the directory.
    """
    check_fence(job, token)
    if not create_exclusive(job.dataset_version, f"{version}\n".encode()):
        refuse_other_data(job.dataset_version.read_text(encoding="utf-8").strip(), version)


def refuse_other_data(then: object, now: object) -> None:
    """Refuse to go on with other data than a training began with.

    Args:
        then: the version of the data that it has used.
        now: the version that there is.

    Raises:
        Conflict: they differ.
    """
    if then != now:
        raise Conflict(
            f"the data has changed: this training began on version {then} of its dataset, which is now version {now}",
            hint="put that version back (the same source builds it again), or submit the workload as a new job",
        )

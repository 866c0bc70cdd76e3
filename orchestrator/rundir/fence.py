"""Fencing: after a partition two copies of a run can exist; only the one with the newest token may write."""

from __future__ import annotations

from orchestrator.base.errors import Fenced, OrchestratorError
from orchestrator.base.files import write_atomic
from orchestrator.rundir.layout import JobDirectory


def raise_fence(job: JobDirectory, token: int) -> None:
    """Refuse every writer with an older token from now on; only the controller calls this.

    Raises:
        Fenced: the directory already has a newer token.
        OrchestratorError: its fence cannot be read; it is left as it is.
    """
    check_fence(job, token)
    write_atomic(job.fence, f"{token}\n".encode())


def check_fence(job: JobDirectory, token: int) -> None:
    """Called before every write that another run could also make (checkpoints, trials, results).

    Raises:
        Fenced: a newer run owns the directory; the caller must stop.
        OrchestratorError: nobody can tell whether one does; the caller must stop, too.
    """
    newest = read_fence(job)
    if token < newest:
        raise Fenced(
            f"{job.path}: this run's fencing token {token} is older than {newest}",
            hint="a newer run of this job has taken over; this one must stop",
        )


def read_fence(job: JobDirectory) -> int:
    """The newest token; 0 before the first run.

    Raises:
        OrchestratorError: the file holds no token.
    """
    try:
        return int(job.fence.read_text())
    except FileNotFoundError:
        return 0
    except ValueError:
        raise OrchestratorError(
            f"{job.fence}: this is no fencing token",
            hint=f"remove the file once no process of job {job.path.name} runs, then retry the job",
        ) from None

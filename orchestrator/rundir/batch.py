"""slurm-<n>.json: what the batch step of a Slurm job has to know; written before the job is submitted."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from orchestrator.base.errors import NotFound
from orchestrator.base.files import create_exclusive, read_json
from orchestrator.rundir.allocations import AllocationFiles


@dataclass(frozen=True)
class Batch:
    """The body of one allocation on Slurm.

    Attributes:
        workers: on each node.
        gpus: of each worker.
        grace: seconds from Slurm's signal that its time limit is near, or from the run's own limit, until its agents'
            processes are killed; less than the seconds by which the signal comes before the limit.
        time_limit: seconds that the user, or the cluster, lets the run take; None for growth, which has no say in it.
        wall_is_ours: the time limit that Slurm was given is an estimate of ours, or the partition's: who reaches it
            has not used up the time of the job, which goes on as another run.
        elastic: the run goes on without its first agent, or any other, as long as enough workers are left.
        grows: the server asks for more allocations of this run where it wants more workers than the run's fewest.
        joined: workers of other allocations may take part: they must be able to reach this one over the network.
        notice: seconds from a SIGTERM of Slurm's until the processes are killed by their agents, which need some of
            Slurm's KillWait themselves; where Slurm takes the allocation away for others, its partition's GraceTime is
            added to that.
        commands: folder of Slurm's programs; empty: they are found by PATH.
        conf: path of slurm.conf; empty: Slurm finds it.
    """

    workers: int
    gpus: int = 0
    grace: float = 60.0
    time_limit: float | None = None
    wall_is_ours: bool = True
    elastic: bool = False
    grows: bool = False
    joined: bool = False
    notice: float = 20.0
    commands: str = ""
    conf: str = ""


def write_batch(files: AllocationFiles, batch: Batch) -> None:
    """Write `slurm-<n>.json`, n being the allocation's number: that of its first agent.

    Nobody reads it before the job is submitted. It is not forced to the disk, which would take as long as the launch: a
    job that does not find it whole ends, and is run anew.
    """
    files.batch.write_text(json.dumps(asdict(batch)))


def read_batch(files: AllocationFiles) -> Batch:
    """Read it.

    Raises:
        NotFound: it is not there.
    """
    document = read_json(files.batch)
    if document is None:
        raise NotFound(f"{files.batch} is missing or damaged", hint="it is written before a job is submitted to Slurm")
    return Batch(**document)


def claim_batch(files: AllocationFiles, job: str) -> bool:
    """Say once, for all of its agents, which job runs an allocation: of two, each could get some of them.

    Args:
        files: of its first agent.
        job: Slurm's number; a job that Slurm starts again has the one that it had.

    Returns:
        False where another job does.
    """
    path = files.run.path / f"batch-{files.index}.json"
    return create_exclusive(path, json.dumps({"job": job}).encode()) or read_json(path) == {"job": job}

"""What only the simulator knows: how long jobs really take, what a change costs them, when nodes fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from orchestrator.scheduling.jobs import Job

Ending = Literal["completed", "failed", "killed"]


@dataclass(frozen=True, slots=True)
class TrueJob:
    """A job with its truth, of which a policy sees nothing but the job.

    Attributes:
        job: as it is submitted, at `job.submitted`.
        duration: seconds of work, with `workers_max` workers and nobody else on the cluster.
        ends: how it ends after that.
    """

    job: Job
    duration: float
    ends: Ending = "completed"


@dataclass(frozen=True, slots=True)
class Charges:
    """What the decisions cost a job.

    Attributes:
        resume: seconds for which a job that comes back after a preemption or a failure holds its slots without
            progress.
        resize: the same, for each resize.
        checkpoint_every: seconds of work between two checkpoints, counted from the start of a run; what was done since
            is lost by a preemption. None: whoever is preempted saves first and loses nothing. A failure of a node
            always loses what was done since the last checkpoint, or since the run began where there is none.
    """

    resume: float = 30.0
    resize: float = 30.0
    checkpoint_every: float | None = None


@dataclass(frozen=True, slots=True)
class Faults:
    """Failures of nodes. Each node fails on its own; both times are exponentially distributed.

    Attributes:
        mtbf: mean seconds from a repair to the next failure of one node.
        mttr: mean seconds from a failure to the repair.
        seed: equal seeds give equal failures, whatever the policy.
    """

    mtbf: float
    mttr: float = 3_600.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Drain:
    """A node that an operator drains: what runs there goes on, nothing new starts.

    Attributes:
        node: its name.
        start: when, seconds.
        end: when it takes work again.
    """

    node: str
    start: float
    end: float

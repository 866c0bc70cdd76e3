"""What a simulation yields: one record for each job that ended, and sums over the cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from orchestrator.simulation.truth import Ending


class Outcome(NamedTuple):
    """What became of a job.

    Attributes:
        job: identifier.
        team: whose share it used.
        submitted: seconds.
        started: when its first run began.
        ended: when it left.
        duration: seconds of work with `workers_max` workers; of a job that was killed, those that it did.
        slots: that it uses with `workers_max` workers.
        ends: how.
        contenders: jobs in the system, averaged over its stay, itself included.
        held: slot-seconds that it held.
        lost: slot-seconds of work that was thrown away.
        charged: slot-seconds that it held without progress, after preemptions and resizes.
        preemptions: how often it was preempted.
        resizes: how often its width changed.
        failures: how often a node failed under it.
    """

    job: str
    team: str
    submitted: float
    started: float
    ended: float
    duration: float
    slots: int
    ends: Ending
    contenders: float
    held: float
    lost: float = 0.0
    charged: float = 0.0
    preemptions: int = 0
    resizes: int = 0
    failures: int = 0

    @property
    def jct(self) -> float:
        """Job completion time: seconds from its submission to its end."""
        return self.ended - self.submitted

    @property
    def wait(self) -> float:
        """Seconds from its submission to its first start."""
        return self.started - self.submitted

    @property
    def time_lost(self) -> float:
        """Seconds that it took longer than it would have, alone on the cluster."""
        return self.jct - self.duration


@dataclass(frozen=True)
class Result:
    """A simulation's yield.

    Attributes:
        outcomes: of the jobs that ended, in the order of their ends.
        began: when the first job came.
        ended: when the last job ended, or the simulation was stopped.
        unfinished: identifiers of jobs that came and did not end.
        events: that were handled: arrivals, ends, checkpoints, failures, repairs, drains, wakes.
        decisions: how often the policy was asked.
        used: slot-seconds that jobs held.
        capacity: slot-seconds of the nodes that were not down.
        node_failures: how often a node failed.
        lost: slot-seconds of work that was thrown away, of the unfinished jobs too.
        charged: slot-seconds that were held without progress, by the unfinished jobs too.
        stopped: why it ended before; empty where it did not.
    """

    outcomes: Sequence[Outcome]
    began: float
    ended: float
    unfinished: tuple[str, ...] = ()
    events: int = 0
    decisions: int = 0
    used: float = 0.0
    capacity: float = 0.0
    node_failures: int = 0
    lost: float = 0.0
    charged: float = 0.0
    stopped: str = ""

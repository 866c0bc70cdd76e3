"""Jobs as the scheduler sees them: what they ask, what they have had, what we estimate. No true durations."""

from __future__ import annotations

import math
from dataclasses import dataclass

from orchestrator.scheduling.cluster import ONE_WORKER, Demand, Placement, workers_of

_LEAST, _MOST = 1e-3, 1e12
"""Medians, in seconds, are reckoned with within these bounds."""
_MOST_ERROR = 5.0
"""Errors are reckoned with up to this: one in six jobs then takes more than 148 times its estimate."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """How long a job takes in all, without waiting, at `workers_max`.

    Attributes:
        seconds: the median.
        error: standard deviation of the logarithm of (true / estimated), measured over finished jobs.
    """

    seconds: float
    error: float = 0.5


@dataclass(frozen=True, slots=True)
class Job:
    """A job that waits or runs.

    Attributes:
        id: identifier.
        sequence: its place in the order of submission; unique, and kept over retries.
        submitted: seconds since the epoch.
        demand: what it needs.
        team: whose share it uses.
        owner: who submitted it.
        priority: higher goes first.
        estimate: of its whole run time; None where nobody has an idea.
        limit: seconds that one run may take, enforced, and how long it is expected to take; None: no limit of its own.
        exponent: speed of k of n workers is (k / n) ** exponent: 1.0 is linear.
        worked: seconds at `workers_max` of its work that are done and kept.
        attained: slot-seconds that it has held so far.
        preemptions: how often it was preempted.
        waits_since: since when it waits now: its submission, its last preemption or failure.
        held: a person keeps it from starting.
        not_before: back-off: seconds since the epoch; None where it may start at once.
        failures: failed runs so far.
        waits_for: jobs that must succeed first and have not yet.
        releasing: its last run still holds slots.
        claim: freed for it, and for nobody else, until it starts.
        max_time: seconds that the cluster lets any run take, enforced; it tells nothing of this job. None: any.
    """

    id: str
    sequence: int
    submitted: float
    demand: Demand = ONE_WORKER
    team: str = "default"
    owner: str = ""
    priority: int = 0
    estimate: Estimate | None = None
    limit: float | None = None
    exponent: float = 1.0
    worked: float = 0.0
    attained: float = 0.0
    preemptions: int = 0
    waits_since: float = 0.0
    held: bool = False
    not_before: float | None = None
    failures: int = 0
    waits_for: tuple[str, ...] = ()
    releasing: bool = False
    claim: Placement | None = None
    max_time: float | None = None

    def speed(self, workers: int) -> float:
        """Seconds of its work (at `workers_max`) that it does a second with so many workers."""
        return float((workers / self.demand.workers_max) ** self.exponent)


@dataclass(frozen=True, slots=True)
class Running:
    """A job that holds slots.

    Attributes:
        job: as it was at `counted`: `worked` and `attained` have grown since.
        placement: what it holds now; while it moves, both where it was and where it will be.
        since: when this run began, seconds since the epoch.
        counted: up to when the job's `worked` and `attained` are counted; in the future while a start or a resize
            still costs time: until then nothing is worked.
        resized: when its width last changed, or its run began.
        saved: its `worked` at its newest checkpoint; what it did after is lost when it is preempted.
        keeps: what it will hold once it has done what it was asked: less than `placement` while it shrinks or moves,
            nothing while it stops; None: nothing was asked that frees anything.
        pinned: a person chose its width: the policy leaves it alone.
        saves: it saves its state when it is asked to stop.
    """

    job: Job
    placement: Placement
    since: float
    counted: float
    resized: float
    saved: float | None = None
    keeps: Placement | None = None
    pinned: bool = False
    saves: bool = False

    @property
    def workers(self) -> int:
        """That it has, or will have once it has done what it was asked."""
        return workers_of(self.placement if self.keeps is None else self.keeps)

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self.keeps == ()

    def worked(self, now: float) -> float:
        """Seconds of its work at `workers_max` that are done."""
        gained = max(0.0, now - self.counted)
        return self.job.worked + gained * self.job.speed(self.working)

    @property
    def working(self) -> int:
        """Workers that share the work, as far as is known: while it moves, some of `placement` do not."""
        return min(workers_of(self.placement), self.job.demand.workers_max)

    def attained(self, now: float) -> float:
        """Slot-seconds that it has held; those up to `counted` are in the job's record, also where that is ahead."""
        return max(0.0, self.job.attained + (now - self.counted) * self.slots)

    @property
    def slots(self) -> int:
        """That it holds."""
        return workers_of(self.placement) * self.job.demand.slots


def total_expected(estimate: Estimate, worked: float) -> float:
    """Expected total work of a job of which `worked` seconds are done: E[X | X > worked] of a log-normal X.

    With X = seconds * exp(error * Z): E[X | X > t] = E[X] * Phi(error - z) / Phi(-z), z = ln(t / seconds) / error.
    It is finite for any estimate: medians and errors beyond all reason are cut.
    """
    median, sigma = within_reason(estimate)
    if sigma <= 0:
        return max(estimate.seconds, worked)
    mean = median * math.exp(sigma * sigma / 2)
    if worked <= 0:
        return mean
    z = math.log(worked / median) / sigma
    beyond = math.erfc(z / math.sqrt(2))
    if (
        beyond < 1e-12
    ):  # far beyond every expectation: it may take as long again (the ratio's limit is numerically lost)
        return worked * (1 + sigma * sigma / max(z * sigma, sigma * sigma))
    return mean * math.erfc((z - sigma) / math.sqrt(2)) / beyond


def planned_limit(own: float | None, most: float | None, estimate: Estimate | None) -> float | None:
    """The time limit that plans are made with.

    What a cluster allows at most (30 days, say) tells nothing of one job: where the workload states no limit of its
    own, our estimate says when it should be over, if there is one.

    Args:
        own: seconds that the workload states.
        most: that the cluster lets any run take.
        estimate: of its run time.
    """
    if own is None and estimate is not None:
        return None
    return min((seconds for seconds in (own, most) if seconds is not None), default=None)


def within_reason(estimate: Estimate) -> tuple[float, float]:
    """The median and the error that are reckoned with."""
    return min(_MOST, max(_LEAST, estimate.seconds)), min(_MOST_ERROR, estimate.error)


def remaining(job: Job, worked: float, workers: int) -> float | None:
    """Expected seconds that a job still needs with so many workers; None where nobody has an idea."""
    if job.estimate is None:
        return None
    return max(0.0, total_expected(job.estimate, worked) - worked) / job.speed(workers)

"""What a policy sees: the cluster, the jobs that hold slots, the jobs that wait. It holds no true durations."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cluster:
    """The slots that there are.

    Attributes:
        slots: in all.
        free: that no run holds, as far as engine and store agree (the smaller number of the two).
        largest_gang: the most that one run can have.
        slot_kind: `cpu` or `gpu`.
    """

    slots: int
    free: int
    largest_gang: int
    slot_kind: str = "cpu"


@dataclass(frozen=True)
class PendingJob:
    """A queued job.

    Attributes:
        job: identifier.
        sequence: its place in the order of submission; kept over retries.
        priority: higher goes first.
        workers_min: the fewest workers that it can run with.
        workers_max: the most that it can use.
        slots_per_worker: slots of one worker.
        not_before: back-off: seconds since the epoch; None where it may start at once.
        failures: failed runs so far.
        waits_for: jobs that must succeed first and have not yet.
        releasing: its last run still holds slots.
    """

    job: str
    sequence: int
    priority: int = 0
    workers_min: int = 1
    workers_max: int = 1
    slots_per_worker: int = 1
    not_before: float | None = None
    failures: int = 0
    waits_for: tuple[str, ...] = ()
    releasing: bool = False

    @property
    def order(self) -> tuple[int, int]:
        """Sorts the queue; total, because sequences are unique."""
        return (-self.priority, self.sequence)


@dataclass(frozen=True)
class RunningJob:
    """A job whose run holds slots.

    Attributes:
        job: identifier.
        slots: that it holds.
        since: seconds since the epoch.
    """

    job: str
    slots: int
    since: float


@dataclass(frozen=True)
class Snapshot:
    """Everything that a decision may depend on.

    Attributes:
        now: seconds since the epoch.
        cluster: the slots.
        pending: queued jobs, in any order.
        running: jobs that hold slots.
    """

    now: float
    cluster: Cluster
    pending: tuple[PendingJob, ...] = ()
    running: tuple[RunningJob, ...] = ()

"""What a policy says: which jobs start, which running ones stop or change their width, and for whom."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.scheduling.cluster import Placement, workers_of


@dataclass(frozen=True, slots=True)
class Start:
    """Start this job now, there.

    Attributes:
        job: identifier.
        placement: its whole gang.
    """

    job: str
    placement: Placement

    @property
    def workers(self) -> int:
        """Its world size."""
        return workers_of(self.placement)


@dataclass(frozen=True, slots=True)
class Preempt:
    """Ask this running job to save its state and stop; it goes back into the queue.

    Attributes:
        job: identifier.
        for_job: who gets what it held; a `Claim` says where. None: nobody, as its node goes into maintenance.
        why: for people.
    """

    job: str
    for_job: str | None
    why: str


@dataclass(frozen=True, slots=True)
class Resize:
    """Give this running job another width.

    Attributes:
        job: identifier.
        placement: what it holds afterwards.
        for_job: for whom it gives slots up; None where it grows.
        why: for people.
    """

    job: str
    placement: Placement
    for_job: str | None
    why: str

    @property
    def workers(self) -> int:
        """Its new world size."""
        return workers_of(self.placement)


@dataclass(frozen=True, slots=True)
class Claim:
    """What is being freed belongs to this waiting job: nobody else starts there, grows there or claims it."""

    job: str
    placement: Placement


@dataclass(frozen=True)
class Decisions:
    """Carried out in this order: preempts and shrinks with their claims, then starts and growths.

    Attributes:
        starts: each fits on what is free now.
        preempts: of running jobs.
        resizes: of running jobs, at most one each.
        claims: of waiting jobs that something is being freed for.
        wake: when to decide again if nothing happens before, seconds since the epoch; None: only when something does.
    """

    starts: tuple[Start, ...] = ()
    preempts: tuple[Preempt, ...] = ()
    resizes: tuple[Resize, ...] = ()
    claims: tuple[Claim, ...] = ()
    wake: float | None = None

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.starts or self.preempts or self.resizes or self.claims)

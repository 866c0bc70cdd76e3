"""What one more job would change: when it would start, with how many workers, and whom it would delay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from orchestrator.backends.protocol import Capacity
from orchestrator.base.text import counted, span
from orchestrator.lifecycle.reasons import duration
from orchestrator.planning.check import slots_per_worker
from orchestrator.planning.outlook import PLAYED, Outlook
from orchestrator.planning.ranking import ranked
from orchestrator.planning.teams import charged_to, unheard_of
from orchestrator.scheduling.cluster import Constraints, Demand, Node
from orchestrator.scheduling.jobs import Estimate, Job, planned_limit
from orchestrator.scheduling.profiles import teams_of, windows_of
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.simulation.forecast import Postponed, who_is_delayed
from orchestrator.spec.answers import Delay, EstimateView, Moment, Option, WhatIfView
from orchestrator.spec.policy import Policy
from orchestrator.spec.profile import ClusterProfile
from orchestrator.spec.workload import Workload

NEW = "j-xxxxxxxx"
"""Stands for the identifier that the job would get."""

_WORTH_TELLING = 30.0
"""Seconds; the forecast of a crowded queue is no surer than this."""
_DELAYS = 10


@dataclass(frozen=True)
class WhatIf:
    """A job that might be submitted to a queue.

    Attributes:
        outlook: of the queue without it.
        job: as it would be queued.
        names: what people call the jobs that are there.
        seconds: that it takes with exactly so many workers, where the recipe tells; else its exponent does.
    """

    outlook: Outlook
    job: Job
    names: Mapping[str, str]
    seconds: Mapping[int, float] = field(default_factory=dict)

    def view(self, profile: str, widths: Sequence[int], *, live: bool, notes: Sequence[str] = ()) -> WhatIfView:
        """The answer, for the job as it is and as if it asked for exactly so many workers.

        Args:
            profile: the cluster's name.
            widths: numbers of workers.
            live: whether the queue is a real one.
            notes: more to say.
        """
        demand, estimate = self.job.demand, self.job.estimate
        as_it_is = self.outlook.plus(self.job)
        others = [width for width in dict.fromkeys(widths) if not width == demand.workers_min == demand.workers_max]
        known = estimate and EstimateView(seconds=estimate.seconds, error=estimate.error, exponent=self.job.exponent)
        return WhatIfView(
            now=self.outlook.now,
            profile=profile,
            policy=self.outlook.policy.name,
            live=live,
            position=as_it_is.places.get(NEW),
            waiting=len(self.outlook.order),
            estimate=known,
            options=ranked([self._option(as_it_is), *(self._option(self._with(width)) for width in others)]),
            notes=[
                *notes,
                *self._floor(),
                *(self._unheard_of(live=live) or charged_to(self.job.team)),
                *self._not_looked_at(),
            ],
        )

    def _with(self, workers: int) -> Outlook:
        return self.outlook.plus(of_width(self.job, workers, self.seconds))

    def _floor(self) -> list[str]:
        """What the policy adds to what the workload asks for."""
        elastic, demand = self.outlook.policy.elastic, self.job.demand
        if elastic is None or demand.workers_min == demand.workers_max:
            return []
        fewest = elastic.fewest(demand.workers_min, demand.workers_max)
        if fewest == demand.workers_min:
            return []
        asked, floor = (
            span(demand.workers_min, demand.workers_max),
            f"its elastic.floor is {elastic.floor:g} of the most",
        )
        return [
            f"of {asked} workers the policy starts it with {fewest} or more, where the nodes could hold them: {floor}"
        ]

    def _unheard_of(self, *, live: bool) -> list[str]:
        snapshot = self.outlook.snapshot
        if snapshot.teams or not live:
            return []
        jobs = [*snapshot.pending, *(running.job for running in snapshot.running)]
        return unheard_of(self.job.team, {job.team for job in jobs} | {usage.team for usage in snapshot.usage})

    def _not_looked_at(self) -> list[str]:
        behind = len(self.outlook.order) - PLAYED
        if behind <= 0:
            return []
        return [f"delays are told of the first {PLAYED} jobs that wait; {counted(behind, 'job')} behind them not"]

    def _option(self, after: Outlook) -> Option:
        job, now = after.pending[NEW], after.now
        start = after.sure_start_of(NEW)
        begun = next((start.workers for start in after.decisions.starts if start.job == NEW), None)
        end = after.likely.ends.get(NEW)
        delays, decided = self._delays(after), after.decisions
        claims = any(claim.job == NEW for claim in decided.claims)
        waits_for = "until they have made room" if claims else after.reason(NEW).short
        return Option(
            workers_min=job.demand.workers_min,
            workers_max=job.demand.workers_max,
            slots=job.demand.slots,
            start=start,
            end=None if end is None or job.estimate is None else Moment(at=end),
            workers=begun,
            waits=None if start is None else max(0.0, start.at - now),
            reason="" if begun is not None else waits_for,
            stopped=[preempt.job for preempt in decided.preempts if preempt.for_job == NEW],
            shrunk=[resize.job for resize in decided.resizes if resize.for_job == NEW],
            delayed=len(delays),
            delays=delays[:_DELAYS],
        )

    def _delays(self, after: Outlook) -> list[Delay]:
        """Who would end later, the longest delay first; as far as is looked ahead."""
        found = who_is_delayed(self.outlook.likely, after.likely, least=_WORTH_TELLING)
        return [self._delay(postponed, after) for postponed in found]

    def _delay(self, postponed: Postponed, after: Outlook) -> Delay:
        job = postponed.job
        known = self.outlook.pending.get(job) or self.outlook.running[job].job
        name = self.names.get(job, "")
        return Delay(
            job=job,
            name=name,
            team=known.team,
            seconds=postponed.seconds,
            at_least=postponed.beyond,
            by_limit=self.outlook.rests_on_limits(job) or after.rests_on_limits(job),
        )


def candidate(
    workload: Workload,
    capacity: Capacity,
    outlook: Outlook,
    *,
    estimate: EstimateView | None,
    limit: float | None = None,
) -> Job:
    """The job that a workload would become, last in the order of submission.

    Args:
        workload: the resolved workload.
        capacity: of the engine.
        outlook: of the queue that it would join.
        estimate: of its run time; None: nobody has an idea.
        limit: seconds that a run may have on this cluster, whatever the workload says.
    """
    snapshot = outlook.snapshot
    numbers = [job.sequence for job in snapshot.pending] + [running.job.sequence for running in snapshot.running]
    expects = None if estimate is None else Estimate(estimate.seconds, estimate.error)
    return Job(
        id=NEW,
        sequence=max(numbers, default=0) + 1,
        submitted=snapshot.now,
        demand=_demand(workload, capacity),
        team=workload.team,
        priority=workload.priority,
        estimate=expects,
        limit=planned_limit(workload.time_limit, limit, expects),
        exponent=1.0 if estimate is None else estimate.exponent,
        waits_since=snapshot.now,
        max_time=limit,
    )


def some_widths(workload: Workload) -> list[int]:
    """The fewest workers, the most, and one number between them."""
    low, high = workload.workers.min, workload.workers.max
    between = max(low, high // 2)
    return sorted({low, between, high}) if low < high else []


def of_width(job: Job, workers: int, known: Mapping[int, float]) -> Job:
    """The same job, were it to ask for exactly so many workers; a wider one takes less time for the same work.

    Args:
        job: as it is.
        workers: that it would ask for.
        known: seconds with some numbers of workers; of others, the job's own exponent tells.
    """
    demand = replace(job.demand, workers_min=workers, workers_max=workers)
    if job.estimate is None:
        return replace(job, demand=demand)
    seconds = known.get(workers, job.estimate.seconds / job.speed(workers))
    return replace(job, demand=demand, estimate=replace(job.estimate, seconds=seconds))


def empty_snapshot(capacity: Capacity, profile: ClusterProfile, now: float) -> Snapshot:
    """The cluster while nothing runs and nothing waits; its teams have their limits, its nodes their maintenance."""
    windows = windows_of(profile, now)
    nodes = tuple(
        Node(
            name=facts.name,
            slots=facts.slots,
            gpu_type=facts.gpu_type,
            cpus=facts.cpus,
            memory=facts.memory,
            rack=facts.rack,
            state="up" if facts.up else "down",
            note=facts.note,
            windows=windows.get(facts.name, ()),
        )
        for facts in capacity.machines
    )
    limits, teams = profile.limits, teams_of(profile)
    return Snapshot(now, nodes, teams=teams, max_workers=limits.max_workers, slot_kind=capacity.slot_kind)


def offline_view(
    workload: Workload,
    capacity: Capacity,
    profile: ClusterProfile,
    widths: Sequence[int],
    *,
    estimate: EstimateView | None,
    now: float,
) -> WhatIfView:
    """The answer without a queue: as if the cluster were empty."""
    policy: Policy = profile.policy
    outlook = Outlook(empty_snapshot(capacity, profile, now), policy)
    job = candidate(workload, capacity, outlook, estimate=estimate, limit=profile.limits.max_time)
    whatif = WhatIf(outlook, job, {}, estimate.widths if estimate else {})
    return whatif.view(profile.name, widths or some_widths(workload), live=False, notes=notes_of(job))


def notes_of(job: Job) -> list[str]:
    """What to say beside the numbers."""
    if job.estimate is not None:
        return []
    as_if = "as if it never ended" if job.limit is None else f"as if it took its limit of {duration(job.limit)}"
    return [f"nobody has an idea how long it takes: whom it delays is told {as_if}"]


def _demand(workload: Workload, capacity: Capacity) -> Demand:
    asked = workload.resources
    where = Constraints(tuple(asked.gpu_types), frozenset(asked.not_on), asked.same_rack)
    return Demand(
        workers_min=workload.workers.min,
        workers_max=workload.workers.max,
        slots=slots_per_worker(workload, capacity),
        cpus=asked.cpus_per_worker if capacity.slot_kind == "gpu" else 0,
        memory=asked.memory_per_worker,
        packed=asked.placement == "packed",
        constraints=where,
    )

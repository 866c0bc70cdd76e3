"""Running jobs take what is idle and reserved for nobody."""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING

from orchestrator.scheduling import sharing
from orchestrator.scheduling.cluster import Placement, without, workers_of
from orchestrator.scheduling.jobs import Running, remaining
from orchestrator.scheduling.late import is_late
from orchestrator.scheduling.widths import steps
from orchestrator.spec.policy import Elastic

if TYPE_CHECKING:
    from orchestrator.scheduling.draft import Draft


def grow(draft: Draft) -> None:
    """Give what is idle to elastic jobs: a worker at a time to whom it makes faster by most for a slot, or in order.

    Gangs that have lost more time than `protect_late` come before all others.

    The speed of k of n workers is (k / n) ** exponent. A job grows only where that pays: where, the time of the resize
    aside, it is expected to be over sooner by `pays_within` times that time; and no sooner than `round` (and
    `between`) after its width last changed.
    """
    elastic = draft.policy.elastic
    if elastic is None or elastic.grow == "never" or draft.room.free <= 0:
        return
    candidates = {run.job.id: run for run in _candidates(draft, elastic)}
    for name, workers in _targets(draft, candidates).items():
        _grow_one(draft, elastic, candidates[name], workers)


def _candidates(draft: Draft, elastic: Elastic) -> list[Running]:
    """Those that may grow now."""
    found = []
    pause = max(elastic.between, draft.policy.round)
    for run in draft.staying():
        demand = run.job.demand
        if demand.workers_min == demand.workers_max or run.keeps is not None or run.pinned:
            continue
        if run.workers >= draft.widest(run.job) or run.job.id in draft.resizes:
            continue
        if run.resized + pause > draft.now:
            draft.wake(run.resized + pause)
        else:
            found.append(run)
    return found


def _targets(draft: Draft, candidates: dict[str, Running]) -> dict[str, int]:
    """Whom to widen, first to last, and how far if all that is idle were one pool."""
    free = draft.room.free
    late = {name for name, run in candidates.items() if is_late(run, draft.room.layout, draft.policy, draft.now)}
    if draft.policy.elastic is not None and draft.policy.elastic.grow == "order":
        ranks = {n: draft.rank_running(run) for n, run in candidates.items() if _reach(draft, run) > run.workers}
        first_to_last = sorted(ranks, key=lambda name: (name not in late, ranks[name]))
        return {name: draft.widest(candidates[name].job) for name in first_to_last}
    heap = [(name not in late, -_gain(run, run.workers), name, run.workers) for name, run in candidates.items()]
    heapq.heapify(heap)
    targets: dict[str, int] = {}
    while heap and free > 0:
        *_, name, workers = heapq.heappop(heap)
        run = candidates[name]
        if run.job.demand.slots > free:
            continue
        free -= run.job.demand.slots
        targets[name] = workers + 1
        if workers + 1 < draft.widest(run.job):
            heapq.heappush(heap, (name not in late, -_gain(run, workers + 1), name, workers + 1))
    gains = {name: (name not in late, -_gain(candidates[name], most - 1), name) for name, most in targets.items()}
    return {name: targets[name] for name in sorted(targets, key=lambda name: gains[name])}


def _gain(run: Running, workers: int) -> float:
    """Of speed, for a slot, by one more worker."""
    return (run.job.speed(workers + 1) - run.job.speed(workers)) / run.job.demand.slots


def _grow_one(draft: Draft, elastic: Elastic, run: Running, most: int) -> None:
    """To the widest that fits, where it pays: beside what it has, or elsewhere."""
    most = min(most, _reach(draft, run))
    for workers in reversed(steps(draft, run.job, run.workers, most)[1:]):
        if not pays(run, workers, elastic, draft.now):
            draft.wake(draft.now + draft.policy.round)
            return
        placement = _place(draft, run, workers)
        if placement is not None and _allowed(draft, run, placement):
            more = f"{workers - run.workers} more idle"
            draft.grow(run, placement, f"{more}{_where(run, placement)}; {_faster(run, workers)} as fast")
            return


def _place(draft: Draft, run: Running, workers: int) -> Placement | None:
    """Beside what it has, or elsewhere; whether there might be room is looked up first, since that is quick."""
    demand, room = run.job.demand, draft.room
    if not demand.packed:
        return draft.extend(run, workers)
    alone = workers <= max(room.layout.shape(demand).most, default=0)
    if alone:
        return draft.extend(run, workers) or (draft.move(run, workers) if room.might(demand, workers) else None)
    if not room.might(demand, workers - run.workers):
        return None
    return draft.extend(run, workers) or draft.move(run, workers)


def _allowed(draft: Draft, run: Running, placement: Placement) -> bool:
    """By its team's limit, which counts both places of a run that moves."""
    return sharing.allows(draft, run.job, workers_of(without(placement, run.placement)) * run.job.demand.slots)


def _where(run: Running, placement: Placement) -> str:
    left = without(run.placement, placement)
    return f" on {', '.join(node for node, _ in without(placement, run.placement))}, moving there" if left else ""


def _reach(draft: Draft, run: Running) -> int:
    """It cannot grow further than this, were all that is idle in one place."""
    return run.workers + draft.room.free // run.job.demand.slots


def pays(run: Running, workers: int, elastic: Elastic, now: float) -> bool:
    """Whether so many workers save enough of the time that it still needs.

    Of a job without an estimate we expect that it needs as long again as it has worked.
    """
    worked = run.worked(now)
    before = remaining(run.job, worked, run.workers)
    after = remaining(run.job, worked, workers)
    if before is None or after is None:
        before, after = worked / run.job.speed(run.workers), worked / run.job.speed(workers)
    return before - after - elastic.price >= elastic.pays_within * elastic.price and before > after


def _faster(run: Running, workers: int) -> str:
    ratio = run.job.speed(workers) / run.job.speed(run.workers)
    return f"{ratio:.2f} times" if math.isfinite(ratio) else "many times"

"""How long a workload will run, and what its workers will hold: the part of the plan, its lines, and its warnings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from statistics import NormalDist

from orchestrator.backends.protocol import Capacity
from orchestrator.base.text import counted
from orchestrator.lifecycle.reasons import duration
from orchestrator.planning.check import cores_per_worker, slots_per_worker
from orchestrator.planning.document import EstimatePlan, WidthPlan
from orchestrator.scheduling.estimates.devices import is_cpu, is_known, peak_of
from orchestrator.scheduling.estimates.forecast import RunEstimate, limit_of
from orchestrator.scheduling.estimates.history import FROM_LIMIT
from orchestrator.spec.answers import EstimateView
from orchestrator.spec.workload import Workload

_GIB, _MIB = 2**30, 2**20
_SHOWN = 6
_LEAST, _MOST, _MOST_ERROR = 1e-3, 1e10, 10.0
"""What a question about the queue may carry."""


def estimate_plan(
    workload: Workload, estimate: RunEstimate, capacity: Capacity, asked: Mapping[int, float]
) -> EstimatePlan:
    """Of an estimate on a cluster.

    Args:
        workload: the workload.
        estimate: of it.
        capacity: of the cluster.
        asked: seconds, were it to ask for exactly so many workers.
    """
    low, high = estimate.interval
    slots, kind = slots_per_worker(workload, capacity), capacity.slot_kind
    if not slots:
        slots, kind = cores_per_worker(workload, capacity), "cpu"
    return EstimatePlan(
        seconds=estimate.seconds,
        low=low,
        high=high,
        error=estimate.error,
        source=estimate.source,
        device=estimate.device,
        slot_kind=kind,
        exponent=estimate.exponent,
        widths=_widths(estimate.widths, slots),
        asked=_widths(asked, slots),
        startup=estimate.startup,
        evaluation=estimate.evaluation,
        memory_per_worker=estimate.memory,
        memory_error=estimate.memory_error,
        limit=None if workload.time_limit else limit_of(estimate),
    )


def _widths(seconds: Mapping[int, float], slots: int) -> list[WidthPlan]:
    return [
        WidthPlan(workers=workers, seconds=each, slot_hours=each * workers * slots / 3600)
        for workers, each in sorted(seconds.items())
    ]


def estimate_view(estimate: RunEstimate, asked: Mapping[int, float]) -> EstimateView:
    """The same as questions about the queue carry it."""
    return EstimateView(
        seconds=_within(estimate.seconds),
        error=min(estimate.error, _MOST_ERROR),
        exponent=estimate.exponent,
        widths={workers: _within(seconds) for workers, seconds in asked.items()},
    )


def _within(seconds: float) -> float:
    return min(_MOST, max(_LEAST, seconds))


def estimate_warnings(workload: Workload, estimate: RunEstimate, capacity: Capacity) -> Iterator[str]:
    """What will probably go wrong: too little memory, too short a time."""
    yield from _limit_warnings(workload, estimate)
    if estimate.memory is None:
        return
    stated = workload.resources.memory_per_worker
    if stated and is_cpu(estimate.device) and estimate.memory > stated:
        yield f"resources.memory_per_worker is {_size(stated)}, and a worker probably holds {_size(estimate.memory)}"
    room, where = _room(workload, estimate, capacity)
    if room and estimate.memory > room:
        cure = "train.activation_checkpointing, or a lower train.samples_per_virtual_worker, makes it less"
        yield f"a worker probably holds {_size(estimate.memory)}, and {where} has {_size(room)}: {cure}"


def _limit_warnings(workload: Workload, estimate: RunEstimate) -> Iterator[str]:
    """A limit that more than 1 of 10 such runs would not keep."""
    limit, (low, high) = workload.time_limit, estimate.interval
    if limit is None or limit >= high or estimate.source == FROM_LIMIT:
        return
    if estimate.seconds > limit:
        yield f"time_limit is {duration(limit)}, and it probably takes {duration(estimate.seconds)}"
        return
    if estimate.seconds == limit:  # by runs that had more time, perhaps: no estimate is above the limit
        yield f"time_limit is {duration(limit)}, and such runs took as long: it would end half of them or more"
        return
    # The logarithm of (true / estimated) is normal.
    kept = NormalDist(math.log(estimate.seconds), estimate.error).cdf(math.log(limit))
    yield (
        f"time_limit is {duration(limit)}, and it takes {duration(low)} to {duration(high)} 8 of 10 times: "
        f"the limit would end about {max(1, round(10 * (1 - kept)))} of 10 such runs"
    )


def estimate_lines(plan: EstimatePlan) -> Iterator[str]:
    """The plan's lines."""
    unit = "GPU-hours" if plan.slot_kind == "gpu" else "core-hours"
    widest = plan.widths[-1]
    times = f"{duration(plan.low)} to {duration(plan.high)}"
    yield (
        f"  time       {duration(plan.seconds)} on {counted(widest.workers, 'worker')}, 8 of 10 times {times}; "
        f"{widest.slot_hours:.2g} {unit}"
    )
    yield f"             {plan.source}; typical error {_percent(plan.error)}"
    others = plan.widths[:-1][-_SHOWN:]
    if others:
        told = ", ".join(f"{w.workers}: {duration(w.seconds)} ({w.slot_hours:.2g} {unit})" for w in others)
        yield f"             with fewer workers: {told}"
    if plan.memory_per_worker is not None:
        where = "of its GPU" if plan.device and not is_cpu(plan.device) else "of memory"
        yield f"  memory     a worker holds about {_size(plan.memory_per_worker)} {where} at its peak"
    if plan.limit is not None:
        yield f"  limit      time_limit: {plan.limit / 60:.0f}m would be kept by 99 of 100 such runs"


def _room(workload: Workload, estimate: RunEstimate, capacity: Capacity) -> tuple[float, str]:
    """Bytes that a worker can have, and of what; 0 where nobody knows."""
    if not is_cpu(estimate.device):
        known = is_known(estimate.device)
        return (peak_of(estimate.device).memory, f"a GPU of type {estimate.device}") if known else (0.0, "")
    memory = max((node.memory for node in capacity.machines), default=0)
    return float(memory), "the largest node"


def _percent(error: float) -> str:
    """As people say it: a factor where it is large."""
    return f"{100 * error:.0f} %" if error < 0.5 else f"a factor of {math.exp(error):.1f}"


def _size(count: float) -> str:
    return f"{count / _GIB:.1f} GiB" if count >= _GIB else f"{count / _MIB:.0f} MiB"

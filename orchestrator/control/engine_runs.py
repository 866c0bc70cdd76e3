"""A job that runs on an engine with a queue of its own: where, how wide, what should join it, when it is ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from orchestrator.backends.protocol import AllocationState, Capacity, Observation
from orchestrator.base.text import counted, one_line, span
from orchestrator.control.demands import demand_of, placement_of, running_job
from orchestrator.control.engine_look import Handed
from orchestrator.control.starting import place_of
from orchestrator.lifecycle.reasons import duration, slots, utc
from orchestrator.planning.outlook import Outlook
from orchestrator.scheduling.explain.words import places
from orchestrator.scheduling.jobs import Running
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.spec.answers import Moment
from orchestrator.spec.profile import ClusterProfile

_GRAIN = 90.0
"""Seconds by which a time limit of the engine may be above what was asked for: it counts in minutes, from its start."""
_LONGEST = 500


def running_of(one: Handed, now: float) -> Running:
    """As the scheduler has it, with its work counted from when the engine started it."""
    found = running_job(one.job, replace(one.run, placement=one.placement), now=now)
    began = one.base.since if one.base.since is not None else one.run.started_at
    if began is None:
        return found
    return replace(found, since=began, counted=max(found.counted, min(began, now)))


def end_of(one: Handed, now: float, profile: ClusterProfile, words: Mapping[str, Moment]) -> Moment | None:
    """When a run should be over: by its own word, its estimate, or when the engine ends it."""
    running = running_of(one, now)
    if not running.placement:
        return None  # nothing of it is alive, or the engine does not say where
    found = Outlook(Snapshot(now, (), running=(running,)), profile.policy, words=words).end_of(running)
    latest = one.base.ends
    if latest is None or (found is not None and found.at <= latest):
        return found
    return Moment(at=max(latest, now), by_limit=True)


def reason_of(
    one: Handed, now: float, profile: ClusterProfile, engine: str, slot_kind: str, words: Mapping[str, Moment]
) -> str:
    """Where it runs, and why with so many workers.

    Args:
        one: the job.
        now: seconds since the epoch.
        profile: of the cluster.
        engine: its name.
        slot_kind: gpu, or cpu where slots are cores.
        words: when running jobs should be over by their own word.
    """
    left = words[one.job.id].at - now if one.job.id in words else None
    name, placement = engine.capitalize(), placement_of(one.placement) or ()
    held = holds_text(one, slot_kind)
    where = f" on {places(placement)}" if placement else ""
    said = [
        f"holds {held}{where}, in {place_of(one.base, name)}",
        _width(one, profile),
        *_joining(one, profile, name, left),
    ]
    if one.run.stop_cause is not None:
        said.append("was asked to stop")
    return one_line("; ".join(filter(None, said)), 2 * _LONGEST)


def holds_text(one: Handed, slot_kind: str) -> str:
    """`4 gpu slots`; of one that takes none, `8 cores`."""
    each = one.job.slots_per_worker
    if each:
        return slots(one.run.world_size * each, slot_kind)
    return counted(one.run.world_size * demand_of(one.job).cpus, "core")


def short_of(one: Handed) -> str:
    """What is to be said of it in a line of many."""
    wide = f"{one.run.world_size} of {counted(one.run.wanted, 'worker')}"
    if not one.job.elastic or one.run.world_size >= one.run.wanted:
        return ""
    waits = len(one.waiting_growth)
    return f"{wide}; {counted(waits, 'allocation')} should join it" if waits else wide


def details_of(one: Handed, engine: str) -> Iterator[str]:
    """What else is to be known, a sentence each: what may be taken from it, and when the engine ends it."""
    name = engine.capitalize()
    for allocation, seen in one.growth.items():
        if seen.state is AllocationState.RUNNING:
            where = f" on {', '.join(seen.nodes)}" if seen.nodes else ""
            ends = f", until {utc(seen.ends)} at the latest" if seen.ends is not None else ""
            yield f"{allocation} runs{where} in {place_of(seen, name)}{ends}: {name} may take it back at any moment"
        else:
            yield f"{allocation} waits in {place_of(seen, name)}, to join it{_because(seen)}"
    if one.base.state is AllocationState.ENDED:
        first = "its first allocation is over" + (f" ({one.base.detail})" if one.base.detail else "")
        yield f"{first}; " + ("it goes on with those that joined it" if one.growth else "how it ended is not seen yet")
    if one.base.ends is not None:
        yield _ended_by(one, one.base.ends, name)


def drained_of(one: Handed, capacity: Capacity) -> Iterator[str]:
    """What its engine says of nodes that it has and that somebody wants empty, a sentence each."""
    workers = dict(one.placement)
    for node in capacity.nodes:
        if node.drained and node.name in workers:
            goes = "leave it where enough are elsewhere" if one.job.elastic else "stay to the end"
            yield one_line(f"node {node.name} is {node.note}: workers there {goes}", _LONGEST)


def _width(one: Handed, profile: ClusterProfile) -> str:
    run, job = one.run, one.job
    if run.pinned:
        return f"a person chose {counted(run.wanted, 'worker')}, and it has {run.world_size}"
    if not job.elastic:
        asked = f" of {span(job.workers_min, job.workers_max)}" if job.workers_min < job.workers_max else ""
        return f"{counted(run.world_size, 'worker')}{asked}: such a job keeps what it has"
    if job.workers_min == job.workers_max:
        return f"asked for {counted(run.world_size, 'worker')}"
    wide = f"{counted(run.world_size, 'worker')} of {span(job.workers_min, job.workers_max)}"
    if run.world_size >= job.workers_max:
        return f"{wide}: the most it asked for"
    most = profile.limits.max_workers
    if most is not None and run.world_size >= most:
        return f"{wide}: the cluster allows {most} a job"
    return wide


def _joining(one: Handed, profile: ClusterProfile, engine: str, left: float | None) -> Iterator[str]:
    """What should make it wider."""
    growth, waiting = profile.slurm.growth, one.waiting_growth
    if not one.job.elastic or one.run.stop_cause is not None:
        return
    if growth is None and one.run.world_size < one.job.workers_max:
        yield "it gets no more: the profile has no `slurm.growth`"
    if growth is None or one.run.world_size >= one.run.wanted:
        return
    if not waiting and left is not None and left <= growth.least:
        yield f"no more are asked for: it should be over within {duration(growth.least)} (slurm.growth.least)"
        return
    if not waiting:
        yield f"up to {one.run.wanted} are asked for, a node at a time"
        return
    are = "waits" if len(waiting) == 1 else "wait"
    nodes = counted(len(waiting), "allocation")
    yield f"{nodes} of one node {are} in {engine} to join it{_because(waiting[0])}"


def _because(seen: Observation) -> str:
    if seen.waits is None:
        return ""
    start = "" if seen.waits.start is None else f", and should start at {utc(seen.waits.start)}"
    return f": {one_line(seen.waits.text, _LONGEST)}{start}"


def _ended_by(one: Handed, ends: float, engine: str) -> str:
    """Whose limit that is, and what happens then."""
    limit, began = one.run.time_limit, one.base.since
    at = f"{engine} ends it at {utc(ends)} at the latest"
    if limit is not None and began is not None and ends >= began + limit - _GRAIN:
        again = "goes on as another run as often as" if one.job.elastic else "begins again only where"
        return (
            f"its time limit of {duration(limit)} is over at {utc(began + limit)}: it is asked to stop then, and "
            f"{again} retry.time_limit allows that; {at}, {duration(max(0.0, ends - began - limit))} later"
        )
    if one.job.elastic:
        goes_on = "it saves its state, stops, and goes on as another run"
    else:
        goes_on = "it is asked to stop, and another run of it begins, as far as its `retry` allows"
    return f"{at}; {engine} was asked for so long, and its job may take longer: shortly before, {goes_on}"

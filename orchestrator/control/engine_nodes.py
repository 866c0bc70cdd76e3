"""The nodes of an engine with a queue of its own: as it tells them, and what of ours lies on each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestrator.backends.protocol import Capacity, NodeFacts
from orchestrator.control.demands import demand_of
from orchestrator.control.engine_look import Handed
from orchestrator.control.engine_runs import running_of
from orchestrator.lifecycle.reasons import slots, utc
from orchestrator.spec.answers import NodeView


def engine_nodes(capacity: Capacity, running: Sequence[Handed], now: float) -> list[NodeView]:
    """The nodes, by name. What is taken there and not by us, others of the same engine have."""
    ours = _ours(running)
    begun = {one.job.id: running_of(one, now) for one in running}
    unsaved = {job: max(0.0, now - run.since) for job, run in begun.items() if not run.saves}
    by_name = sorted(capacity.nodes, key=lambda node: node.name)
    return [_view(node, capacity, ours.get(node.name, {}), running, unsaved) for node in by_name]


def _ours(running: Sequence[Handed]) -> Mapping[str, Mapping[str, int]]:
    """Workers of each job, by node."""
    found: dict[str, dict[str, int]] = {}
    for one in running:
        for node, workers in one.placement:
            found.setdefault(node, {})[one.job.id] = workers
    return found


def _view(
    node: NodeFacts,
    capacity: Capacity,
    jobs: Mapping[str, int],
    running: Sequence[Handed],
    unsaved: Mapping[str, float],
) -> NodeView:
    here = {one.job.id: one.job for one in running if one.job.id in jobs}
    used = min(node.slots, sum(workers * here[job].slots_per_worker for job, workers in jobs.items()))
    others, free = _rest(node.slots, node.free, used, up=node.up)
    view = NodeView(
        name=node.name,
        state="up" if node.up else "drained" if node.drained else "down",
        slots=node.slots,
        used=used,
        free=free,
        held_by_others=others,
        others=_held(others, capacity),
        kind=capacity.slot_kind,
        gpu_type=node.gpu_type,
        rack=node.rack,
        note=node.note,
        jobs=dict(jobs),
        unsaved={job: seconds for job, seconds in unsaved.items() if job in jobs},
    )
    if not capacity.cores_apart:
        return view
    cores = min(node.cpus, sum(workers * demand_of(here[job]).cpus for job, workers in jobs.items()))
    _, idle = _rest(node.cpus, node.cpus_free, cores, up=node.up)
    return view.model_copy(update={"cpus": node.cpus, "cpus_used": cores, "cpus_free": idle})


def _rest(total: int, free: int, used: int, *, up: bool) -> tuple[int, int]:
    """What others have, and what nobody has: the engine tells what was free a while ago, we what is ours now."""
    others = max(0, total - free - used) if up else 0
    return others, max(0, total - used - others) if up else 0


def _held(others: int, capacity: Capacity) -> str:
    """How old that is: who has given them back since is not known yet."""
    if not others or capacity.counted_at is None:
        return ""
    held = slots(others, capacity.slot_kind)
    return f"{held} held by others, or by what has ended since {utc(capacity.counted_at)}"

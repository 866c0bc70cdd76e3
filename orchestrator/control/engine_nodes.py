"""The nodes of an engine with a queue of its own: as it tells them, and what of ours lies on each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestrator.backends.protocol import Capacity, NodeFacts
from orchestrator.control.engine_look import Handed
from orchestrator.control.engine_runs import running_of
from orchestrator.spec.answers import NodeView


def engine_nodes(capacity: Capacity, running: Sequence[Handed], now: float) -> list[NodeView]:
    """The nodes, by name. What is taken there and not by us, others of the same engine have."""
    ours = _ours(running)
    begun = {one.job.id: running_of(one, now) for one in running}
    unsaved = {job: max(0.0, now - run.since) for job, run in begun.items() if not run.saves}
    return [
        _view(node, capacity.slot_kind, ours.get(node.name, {}), running, unsaved)
        for node in sorted(capacity.nodes, key=lambda node: node.name)
    ]


def _ours(running: Sequence[Handed]) -> Mapping[str, Mapping[str, int]]:
    """Workers of each job, by node."""
    found: dict[str, dict[str, int]] = {}
    for one in running:
        for node, workers in one.placement:
            found.setdefault(node, {})[one.job.id] = workers
    return found


def _view(
    node: NodeFacts, kind: str, jobs: Mapping[str, int], running: Sequence[Handed], unsaved: Mapping[str, float]
) -> NodeView:
    each = {one.job.id: one.job.slots_per_worker for one in running}
    used = min(node.slots, sum(workers * each[job] for job, workers in jobs.items()))
    others = max(0, node.slots - node.free - used) if node.up else 0
    return NodeView(
        name=node.name,
        state="up" if node.up else "drained" if node.drained else "down",
        slots=node.slots,
        used=used,
        free=max(0, node.slots - used - others) if node.up else 0,
        held_by_others=others,
        kind=kind,
        gpu_type=node.gpu_type,
        rack=node.rack,
        note=node.note,
        jobs=dict(jobs),
        unsaved={job: seconds for job, seconds in unsaved.items() if job in jobs},
    )

"""What still runs on a node when maintenance of it begins is asked to save its state and stop; it goes on elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from orchestrator.scheduling.cluster import Placement
from orchestrator.scheduling.jobs import Running
from orchestrator.scheduling.layout import bits

if TYPE_CHECKING:
    from orchestrator.scheduling.draft import Draft


def evict(draft: Draft) -> None:
    """Ask all of them: no rule of the policy protects a run, nor a width that a person chose.

    Who is leaving such a node by a resize is not asked: should that be called off, it is here again.
    """
    state, now = draft.state, draft.now
    begins = state.idle.layout.begins
    if not begins or not (state.running or state.pending):
        return
    draft.wake(next((at for at in begins if at > now), None))
    whys = dict(_whys(draft)) if begins[0] <= now else {}
    there = [run for run in draft.staying() if any(node in whys for node, _ in _stays_on(run))] if whys else []
    for running in sorted(there, key=lambda run: (run.job.sequence, run.job.id)):
        draft.book.give_up(running.job.team, running.workers * running.job.demand.slots)
        draft.preempt(running, None, next(whys[node] for node, _ in _stays_on(running) if node in whys))


def _stays_on(running: Running) -> Placement:
    """What it will hold once it has done what it was asked."""
    return running.placement if running.keeps is None else running.keeps


def _whys(draft: Draft) -> Iterator[tuple[str, str]]:
    """Nodes in maintenance on which anything is still held, and what is said of it."""
    idle = draft.state.idle
    for cls in idle.layout.classes:
        if (window := cls.like.window_at(draft.now)) is not None:
            for name in map(idle.layout.names.__getitem__, bits(cls.members)):
                if idle.free_on(name) < cls.like.slots:
                    yield name, f"{window.of(name)} begins"

"""What tests of states share."""

from dataclasses import replace

from orchestrator.scheduling.cluster import without, workers_of
from orchestrator.scheduling.deltas import Runs
from orchestrator.scheduling.state import State


def call_off(state: State, now: float) -> None:
    """Whoever shrinks or moves goes on where it was."""
    for name in sorted(state.leaving):
        run = state.running[name]
        if run.keeps:
            fits = workers_of(run.placement) <= run.job.demand.workers_max
            stays = run.placement if fits else without(run.placement, run.keeps)
            state.apply(Runs(replace(run, placement=stays, keeps=None, resized=now)), now)


def check_room(state: State, now: float) -> None:
    """Of no node more is held now than there is, nor will be once claims are redeemed."""
    held = dict.fromkeys(state.nodes, 0)
    later = dict.fromkeys(state.nodes, 0)
    for run in state.running.values():
        for name, workers in run.placement:
            held[name] += workers * run.job.demand.slots
        for name, workers in run.placement if run.keeps is None else run.keeps:
            later[name] += workers * run.job.demand.slots
    for waits, claim in state.claims(now).items():
        for name, workers in claim:
            later[name] += workers * state.pending[waits].demand.slots
    assert all(held[name] <= node.slots and later[name] <= node.slots for name, node in state.nodes.items())

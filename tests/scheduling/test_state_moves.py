"""Runs that move: the state that is kept decides like one made anew, and nothing is held twice, whatever happens."""

import os
from collections import Counter
from dataclasses import replace
from random import Random

from state_kit import call_off, check_room

from orchestrator.scheduling.cluster import Demand, Node, without
from orchestrator.scheduling.deltas import Gone, Pends, Runs
from orchestrator.scheduling.fold import decide
from orchestrator.scheduling.jobs import Estimate, Job
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.scheduling.state import State
from orchestrator.spec.policy import Elastic, Order, Policy, Preemption

SEEDS = 200 if os.environ.get("ORCHESTRATOR_TEST_FULL") else 12
POLICY = Policy(
    order=Order(by="shortest"),
    backfill="skip",
    preemption=Preemption(for_whom="earlier", min_run=0, margin=0.5),
    round=1,
    elastic=Elastic(start="widest", shrink="earlier", room_for="most", between=0, price=1),
)


class Walk:
    """Jobs that come, go, shrink, move and stop on four nodes, at random."""

    def __init__(self, seed: int) -> None:
        self.random, self.now, self.number, self.steps = Random(seed), 1000.0, 0, 0
        self.state = State.of(Snapshot(self.now, tuple(Node(f"n{i}", 8) for i in range(4))))
        self.seen: Counter[str] = Counter()

    def step(self) -> None:
        """One thing happens."""
        self.steps += 1
        come, go = (6, 1) if self.steps // 15 % 2 == 0 else (0, 4)  # a rush, then a calm: who was squeezed may move
        self.random.choices([self.come, self.go, self.obey, self.call_off, self.decide], [come, go, 4, 1, 8])[0]()
        self.now += self.random.choice([0.0, 2.0, 90.0])
        check_room(self.state, self.now)
        decisions = self.state.decide(POLICY, self.now)
        assert decisions == decide(self.state.snapshot(self.now), POLICY)

    def come(self) -> None:
        self.number += 1
        least, most = self.random.choice([(2, 2), (3, 3), (4, 8), (4, 8), (8, 16)])
        estimate = Estimate(self.random.choice([300.0, 3e4, 3e5]), 0.5)
        since = {"submitted": self.now, "waits_since": self.now}
        came = Job(f"j-{self.number}", self.number, demand=Demand(least, most), estimate=estimate, **since)
        self.state.apply(Pends(came), self.now)

    def go(self) -> None:
        if running := sorted(self.state.running):
            self.state.apply(Gone(self.random.choice(running)), self.now)

    def obey(self) -> None:
        for name in sorted(self.state.leaving):
            run = self.state.running[name]
            if run.stopping:
                self.state.apply(Pends(replace(run.job, waits_since=self.now, preemptions=1)), self.now)
            elif run.keeps is not None:
                self.state.apply(Runs(replace(run, placement=run.keeps, keeps=None, resized=self.now)), self.now)

    def call_off(self) -> None:
        call_off(self.state, self.now)

    def decide(self) -> None:
        decisions = self.state.decide(POLICY, self.now)
        for resize in decisions.resizes:
            left = without(self.state.running[resize.job].placement, resize.placement)
            self.seen["move" if left and resize.for_job is None else "resize"] += 1
        self.state.carry_out(decisions, self.now)


def test_a_state_with_moves_decides_as_from_nothing() -> None:
    seen: Counter[str] = Counter()
    for seed in range(SEEDS):
        walk = Walk(seed)
        for _ in range(150):
            walk.step()
        seen += walk.seen
    assert seen["move"] >= SEEDS // 3
    assert seen["resize"] >= SEEDS

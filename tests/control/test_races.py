"""Cancel, retry, finish, restarts and a silent engine in any order: one terminal state, nothing twice."""

import os
import shutil
import tempfile
from itertools import pairwise
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from orchestrator.base.errors import Conflict
from orchestrator.lifecycle.states import ARROWS, JobState
from orchestrator.testing.world import World

SCRIPTS = (
    ("start", "succeed"),
    ("start", "wait", "wait", "progress:3", "succeed"),
    ("start", "fail:application"),
    ("start", "first:fail", "wait", "succeed"),
    ("stubborn", "start", *["wait"] * 8, "succeed"),
    ("stubborn", "start", *["wait"] * 50, "succeed"),
    ("start", "first:vanish", "succeed"),
    ("start", "wait", "linger"),
    ("start", "die:preempted"),
    ("refuse",),
)
TERMINAL = {"succeeded", "failed", "cancelled"}


class Races(RuleBasedStateMachine):
    root: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=self.root))
        self.jobs: list[str] = []

    @initialize()
    def begin(self) -> None:
        shutil.copytree(self.root / "template", self.folder, dirs_exist_ok=True)
        self.world = World(self.folder)

    @rule(script=st.sampled_from(SCRIPTS), workers=st.integers(1, 2), budget=st.integers(0, 1))
    def submit(self, script: tuple[str, ...], workers: int, budget: int) -> None:
        if len(self.jobs) < 2 and self.world.backend.available:
            retry = {"application": budget, "preempted": budget, "backoff": 1}
            self.jobs.append(self.world.submit(*script, retry=retry, resources={"workers": workers}))

    @rule(times=st.integers(1, 4))
    def step(self, times: int) -> None:
        self.world.step(times)

    @rule()
    def only_the_engine_goes_on(self) -> None:
        self.world.backend.tick()

    @rule()
    def much_time_passes(self) -> None:
        self.world.step(5, seconds=10)

    @rule(pick=st.integers(0, 1))
    def cancel(self, pick: int) -> None:
        self._ask("cancel", pick)

    @rule(pick=st.integers(0, 1))
    def retry(self, pick: int) -> None:
        self._ask("retry", pick)

    @rule(pick=st.integers(0, 1), before=st.integers(0, 3), between=st.integers(0, 3))
    def cancel_and_retry(self, pick: int, before: int, between: int) -> None:
        self.world.step(before)
        self._ask("cancel", pick)
        self.world.step(between)
        self._ask("retry", pick)
        self.world.step(2)

    @rule()
    def restart(self) -> None:
        self.world.restart()

    @rule()
    def lose_an_answer(self) -> None:
        self.world.backend.answers_to_lose = 1

    @rule(available=st.booleans())
    def engine(self, available: bool) -> None:
        self.world.backend.available = available

    @invariant()
    def every_move_is_an_arrow(self) -> None:
        for job in self.jobs:
            moves = [JobState(state) for state in self.world.moves(job)]
            assert all(new in ARROWS[old] for old, new in pairwise(moves))
            assert self.world.state(job) == moves[-1]

    @invariant()
    def no_allocation_is_started_twice_and_no_job_has_two(self) -> None:
        if not hasattr(self, "world"):
            return
        allocations = self.world.backend.allocations()
        assert all(allocation.starts == 1 for allocation in allocations.values())
        live = [name.rpartition("-r")[0] for name, allocation in allocations.items() if allocation.live]
        assert len(live) == len(set(live))
        assert sum(allocation.slots for allocation in allocations.values() if allocation.live) <= 2

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.world.backend.available = True
        self.world.finish(3000)
        self.world.step(60)
        assert not any(allocation.live for allocation in self.world.backend.allocations().values())
        for job in self.jobs:
            moves = self.world.moves(job)
            ends = [n for n, state in enumerate(moves) if state in TERMINAL]
            assert ends[-1] == len(moves) - 1
            assert all(moves[end + 1] == "queued" for end in ends[:-1])  # only a retry by a person leads on
        self.world.store.close()
        shutil.rmtree(self.folder)

    def _ask(self, what: str, pick: int) -> None:
        if pick >= len(self.jobs):
            return
        try:
            getattr(self.world.service, what)(self.jobs[pick])
        except Conflict:
            assert self.world.state(self.jobs[pick]) not in {"cancelling"} or what == "retry"


def test_cancel_retry_finish_and_restart_in_any_order_end_in_one_terminal_state(tmp_path: Path) -> None:
    World(tmp_path / "template").store.close()
    races = type("RacesHere", (Races,), {"root": tmp_path})
    run_state_machine_as_test(
        races,
        settings=settings(
            max_examples=200 if os.environ.get("ORCHESTRATOR_TEST_FULL") else 20,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )

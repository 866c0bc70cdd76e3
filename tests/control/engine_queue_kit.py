"""A queue that the engine itself serves: runs are written down by hand, and the engine says what a test has it say."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.backends.protocol import AllocationState, LaunchRequest, Observation, Wait
from orchestrator.control.engine_queue import EngineQuestions
from orchestrator.lifecycle.states import JobState, RunState
from orchestrator.store import jobs, runs
from orchestrator.store.records import RunRecord
from orchestrator.testing.world import World

PRIORITY = Wait("Priority", "jobs of higher priority come first", "wait, or raise its priority")


@dataclass
class Desk:
    """A world whose engine queues, the questions, and what the controller has seen."""

    world: World
    seen: dict[str, Observation] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.questions = EngineQuestions(self.world.service.site, lambda: self.seen)

    @classmethod
    def at(cls, root: Path, **profile: Any) -> "Desk":
        return cls(World(root, slots={"n1": 4, "n2": 4}, queues=True, profile=profile))

    def hand_over(self, job: str, *, run_state: RunState = RunState.LAUNCHED, **columns: Any) -> str:
        """Write its first run down, as launched; its base allocation."""
        site, now = self.world.service.site, self.world.clock.now()
        with site.store.write() as connection:
            record = jobs.get(connection, job)
            wide = columns.pop("world_size", record.workers_min)
            run = RunRecord(
                id=f"{job}-r1",
                job=job,
                number=1,
                token=1,
                allocation=f"{job}-r1.0",
                backend="simulated",
                state=run_state,
                world_size=wide,
                wanted=columns.pop("wanted", record.workers_max),
                slots=wide * record.slots_per_worker,
                created_at=now,
                **columns,
            )
            runs.insert(connection, run)
            jobs.move(connection, record, JobState.STARTING, reason="r1 is being started", time=now, runs=1, token=1)
        self.questions.forget()
        return run.allocation

    def pending(self, job: str, wait: Wait | None = PRIORITY, **more: Any) -> str:
        """Hand it over; the engine has it in its queue."""
        allocation = self.hand_over(job)
        self.seen[allocation] = Observation(
            AllocationState.PENDING, engine_id="1234", partition="batch", waits=wait, **more
        )
        return allocation

    def running(self, job: str, *nodes: str, ends: float | None = None, **columns: Any) -> str:
        """Hand it over; the engine has started it, and its ranks run."""
        now = self.world.clock.now()
        allocation = self.hand_over(job, run_state=RunState.RUNNING, started_at=now, **columns)
        with self.world.service.site.store.write() as connection:
            jobs.move(connection, jobs.get(connection, job), JobState.RUNNING, reason="runs", time=now, started_at=now)
        self.seen[allocation] = Observation(
            AllocationState.RUNNING, engine_id="1234", partition="batch", nodes=nodes, since=now, ends=ends
        )
        self.questions.forget()
        return allocation

    def grows(self, allocation: str, number: int, state: AllocationState, **more: Any) -> None:
        """A further allocation of the same run."""
        name = f"{allocation.rpartition('.')[0]}.{number}"
        self.seen[name] = Observation(state, engine_id=f"12{number}", partition="spare", **more)

    def expects(self, *starts: float | Exception | None) -> list[LaunchRequest]:
        """What the engine's dry runs answer, in turn; the requests that they were asked with."""
        asked: list[LaunchRequest] = []

        def answer(request: LaunchRequest) -> float | None:
            found = starts[len(asked)]
            asked.append(request)
            if isinstance(found, Exception):
                raise found
            return found

        self.world.backend.expected_start = answer  # type: ignore[method-assign]
        return asked

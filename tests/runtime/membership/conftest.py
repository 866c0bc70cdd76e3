"""A run on paper: a coordinator, told what pretended agents and workers do."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from orchestrator.rundir.membership import Member, View
from orchestrator.runtime.membership import events as e
from orchestrator.runtime.membership.coordinator import Coordinator
from orchestrator.runtime.membership.protocol import Phase


@dataclass
class PaperRun:
    """Plays the agents and workers of a run for one coordinator; time passes only where a test says so."""

    coordinator: Coordinator
    now: float = 100.0
    views: list[View] = field(default_factory=list)
    started: list[int] = field(default_factory=list)
    said: list[e.Instruction] = field(default_factory=list)
    live: dict[int, int] = field(default_factory=dict)
    silent: set[int] = field(default_factory=set)
    places: dict[int, tuple[int, Phase]] = field(default_factory=dict)
    obedient: bool = True

    @property
    def view(self) -> View:
        return self.views[-1]

    @property
    def numbers(self) -> tuple[int, ...]:
        return self.view.numbers

    def tell(self, event: e.Event) -> None:
        for instruction in self.coordinator.handle(event, self.now):
            self.said.append(instruction)
            self.obey(instruction)

    def obey(self, instruction: e.Instruction) -> None:
        """What agents and workers do at once: everything but getting warm."""
        match instruction:
            case e.Publish():
                self.views.append(instruction.view)
            case e.StartWorker():
                self.started.append(instruction.number)
                self.live[instruction.number] = 0
                self.tell(e.WorkerStarted(instruction.number))
            case e.EndWorker() if self.obedient and instruction.number in self.live:
                self.die(instruction.number)

    def join(self, agent: int, room: int) -> None:
        self.tell(e.AgentJoined(agent, room, agent * 1000))

    def warm(self, *numbers: int) -> None:
        """These workers are ready, and beat."""
        for number in numbers:
            self.tell(e.WorkerReady(Member(number, "127.0.0.1", 5000 + number, 10 + number)))
            self.beat(number)

    def beat(self, number: int) -> None:
        step, phase = self.places.get(number, (0, "collective"))
        self.tell(e.WorkerBeat(number, step, phase, self.live[number]))

    def take(self) -> None:
        """All members and leavers of the newest view take it; leavers leave."""
        view = self.view
        for number in view.numbers:
            if number in self.live:
                self.live[number] = view.epoch
                self.beat(number)
        for number in view.leaving:
            self.done(number, "left")

    def die(self, number: int, failure_class: str = "infrastructure") -> None:
        del self.live[number]
        self.tell(e.WorkerGone(number, "was ended by SIGKILL", failure_class))

    def done(self, number: int, outcome: e.DoneOutcome, message: str = "") -> None:
        del self.live[number]
        self.tell(e.WorkerDone(number, outcome, message))

    def wait(self, seconds: float) -> None:
        """Time passes; those who are not silent beat."""
        end = self.now + seconds
        while self.now < end - 1e-9:
            self.now = min(self.now + 0.25, end)
            for number in [n for n in self.live if n not in self.silent]:
                if number in self.live:
                    self.beat(number)
            self.tell(e.Tick())

    def last(self, kind: type) -> e.Instruction | None:
        return next((i for i in reversed(self.said) if isinstance(i, kind)), None)


class PaperRuns:
    """Makes runs on paper."""

    def fresh(self, policy: e.Policy, *rooms: int) -> PaperRun:
        """Agents 0, 1, … with so much room each; nobody is warm yet."""
        run = PaperRun(Coordinator(policy))
        for agent, room in enumerate(rooms):
            run.join(agent, room)
        return run

    def running(self, workers: int, *rooms: int, **rules: float | None) -> PaperRun:
        """All wanted workers are in the first view and have taken it."""
        policy = replace(e.Policy(wanted=workers), **rules)  # type: ignore[arg-type]
        run = self.fresh(policy, *(rooms or (2 * workers,)))
        run.warm(*run.started)
        run.take()
        return run


@pytest.fixture
def runs() -> PaperRuns:
    return PaperRuns()

"""When the ranks of a gang on several nodes start, why they end, and what the run's end is."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from orchestrator.runtime.gang.rules import GangRules
from orchestrator.runtime.membership import events as e

MEETING = e.StartPart("10.0.0.1", 4711)


@dataclass
class PaperGang:
    """Three agents on paper; time passes only where a test says so."""

    rules: GangRules
    now: float = 50.0
    said: list[tuple[int | None, object]] = field(default_factory=list)

    def tell(self, *events: Any) -> None:
        for event in events:
            self.said += self.rules.handle(event, self.now)

    def come(self, *agents: int) -> None:
        self.tell(*(e.AgentJoined(agent, 0, 0) for agent in agents))

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.tell(e.Tick())

    def end(self, agent: int, outcome: str = "succeeded", **more: Any) -> None:
        about = {"failure_class": None, "exit_code": None, "cause": None, "killed": False, "elsewhere": False}
        values = about | {"message": f"of {agent}", "time": self.now} | more
        self.tell(e.PartEnded(agent=agent, outcome=outcome, **values))  # type: ignore[arg-type]

    @property
    def outcome(self) -> Any:
        return self.rules.outcome

    def told(self, kind: type) -> list[tuple[int | None, Any]]:
        return [(agent, word) for agent, word in self.said if isinstance(word, kind)]


@pytest.fixture
def gang() -> PaperGang:
    return made(shared=False)


@pytest.fixture
def started(gang: PaperGang) -> PaperGang:
    gang.come(0, 1, 2)
    return gang


def made(*, shared: bool) -> PaperGang:
    names = {1: "n7"}
    rules = GangRules(3, shared=shared, begin=lambda: MEETING, name=lambda agent: names.get(agent, ""))
    return PaperGang(rules)


def test_ranks_start_once_all_agents_are_there(gang: PaperGang) -> None:
    gang.come(0, 2)
    assert gang.told(e.StartPart) == []
    gang.come(1)
    assert gang.told(e.StartPart) == [(None, MEETING)]


def test_agents_that_never_come_are_waited_for_five_minutes(gang: PaperGang) -> None:
    gang.come(0, 1)
    gang.wait(299)
    assert gang.told(e.EndRun) == []
    gang.wait(2)
    ((_, end),) = gang.told(e.EndRun)
    assert end.failure_class == "infrastructure"
    assert end.message.startswith("2 of 3 agents came within 300 s; not 2: a node does not start its processes")
    gang.end(1, "failed", elsewhere=True)
    assert not gang.outcome
    gang.end(0, "failed", elsewhere=True)
    assert (gang.outcome.outcome, gang.outcome.message) == ("failed", end.message)


def test_a_gang_has_succeeded_when_every_part_has(started: PaperGang) -> None:
    started.end(2)
    started.end(0)
    assert not started.outcome
    started.end(1)
    assert (started.outcome.outcome, started.outcome.message) == ("succeeded", "of 0")


def test_a_part_that_fails_ends_the_others(started: PaperGang) -> None:
    started.end(1, "failed", failure_class="data", exit_code=4)
    assert started.told(e.EndRun) == [(None, e.EndRun("failed", "of 1", "data"))]
    for agent in (0, 2):
        started.end(agent, "failed", elsewhere=True)
    outcome = started.outcome
    assert (outcome.message, outcome.failure_class, outcome.exit_code) == ("of 1", "data", 4)


def test_the_rank_that_was_killed_is_to_blame_and_not_those_that_it_left_alone(started: PaperGang) -> None:
    started.end(0, "failed", failure_class="application", time=1.0)
    started.end(1, "failed", failure_class="out_of_memory", killed=True, time=2.0)
    started.end(2, "failed", failure_class="application", time=0.5)
    assert started.outcome.message == "of 1"


def test_a_lost_node_is_to_blame_whatever_the_others_say_of_their_connections(started: PaperGang) -> None:
    started.end(0, "failed", failure_class="application")
    started.end(2, "failed", failure_class="application")
    assert not started.outcome, "whether agent 1 is lost is not known yet"
    started.tell(e.AgentGone(1, certain=False))
    outcome = started.outcome
    assert outcome.message.startswith("agent 1 (node n7) was lost")


def test_an_agent_that_does_not_end_is_not_waited_for_for_ever(started: PaperGang) -> None:
    started.end(0, "failed", failure_class="data")
    started.wait(59)
    assert not started.outcome
    started.wait(2)
    assert started.outcome is not None


def test_what_one_agent_is_told_stops_all_with_its_cause(started: PaperGang) -> None:
    started.tell(e.AgentLeaves(2, "time_limit", 30.0))
    assert started.told(e.StopWorkers) == [(None, e.StopWorkers("time_limit", 30.0))]
    for agent in range(3):
        started.end(agent, "stopped", cause="time_limit")
    outcome = started.outcome
    assert (outcome.outcome, outcome.cause, outcome.failure_class) == ("stopped", "time_limit", "time_limit")


def test_a_node_that_is_taken_away_during_a_stop_makes_no_failure_of_it(started: PaperGang) -> None:
    started.tell(e.AgentLeaves(2, "preempt", 30.0))
    started.tell(e.AgentGone(2, certain=False))
    for agent in range(2):
        started.end(agent, "stopped", cause="preempt")
    assert started.outcome.outcome == "stopped"


def test_a_stop_before_the_start_waits_for_nobody(gang: PaperGang) -> None:
    gang.come(0)
    gang.end(0, "stopped", cause="cancel")
    assert (gang.outcome.outcome, gang.outcome.cause) == ("stopped", "cancel")


def test_an_agent_that_comes_back_is_told_again(started: PaperGang) -> None:
    started.tell(e.AgentLeaves(0, "cancel", 9.0))
    started.come(1)
    assert started.said[-2:] == [(1, MEETING), (1, e.StopWorkers("cancel", 9.0))]


def test_who_shares_its_slots_waits_for_nobody_and_its_end_is_that_of_all() -> None:
    gang = made(shared=True)
    gang.come(0)
    assert gang.told(e.StartPart) == [(None, MEETING)]
    gang.come(1, 2)
    assert gang.said[-1] == (2, MEETING)
    gang.end(1, "failed")
    gang.tell(e.AgentGone(2, certain=True))
    assert gang.told(e.EndRun) == []
    gang.end(0)
    assert gang.outcome.outcome == "succeeded"

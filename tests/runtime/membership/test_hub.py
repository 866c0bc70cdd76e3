"""The hub over real sockets, by a clock that a test sets: whose silence is noticed, and when."""

from __future__ import annotations

import selectors
import time
from collections.abc import Iterator

import pytest

from orchestrator.runtime.gang import place
from orchestrator.runtime.membership import events as e
from orchestrator.runtime.membership.following import Following
from orchestrator.runtime.membership.hub import Hub
from orchestrator.runtime.membership.journal import Journal
from orchestrator.runtime.membership.terms import Term, Whereabouts
from orchestrator.testing.clock import SimulatedClock

SECRET = b"0" * 64


class Gang:
    """Two agents that follow; each speaks only when it is turned."""

    def __init__(self) -> None:
        self.clock = SimulatedClock()
        self.selector = selectors.DefaultSelector()
        self.hub = Hub(
            SECRET,
            "127.0.0.1",
            self.selector,
            clock=self.clock.monotonic,
            lost_after=place._LOST_AFTER,
            cut_within=place._CUT_WITHIN,
            say=lambda line: None,
        )
        term = Term(1, 0, *self.hub.address, Whereabouts.own())
        self.agents = {
            number: Following(SECRET, term, number, Journal(number, 0, 0), self.selector, lost_after=1000.0)
            for number in (1, 2)
        }
        self.heard: list[e.Event] = []

    def turn(self, *speaking: int) -> None:
        for number in speaking:
            self.agents[number].turn()
        for key, _ in self.selector.select(0.01):
            key.data()
        self.heard += self.hub.events()

    def close(self) -> None:
        for agent in self.agents.values():
            agent.close()
        self.hub.close()
        self.selector.close()


@pytest.fixture
def gang() -> Iterator[Gang]:
    made = Gang()
    deadline = time.monotonic() + 20
    while any(agent.is_lost for agent in made.agents.values()):
        assert time.monotonic() < deadline
        made.turn(1, 2)
    yield made
    made.close()


def gone(gang: Gang) -> list[e.Event]:
    return [event for event in gang.heard if isinstance(event, e.AgentGone)]


def test_a_silent_agent_whose_connection_stays_open_is_lost_after_35_seconds(gang: Gang) -> None:
    began, seconds = gang.clock.monotonic(), 0.0
    while not gone(gang):
        gang.clock.advance(1.0)
        gang.agents[2].tell(e.AgentRoom(2, 0))
        gang.turn(2)
        seconds = gang.clock.monotonic() - began
        assert seconds < 40
    assert gone(gang) == [e.AgentGone(1, certain=False)]
    assert 34 <= seconds <= 37


def test_an_agent_whose_connection_ends_is_lost_after_five_seconds(gang: Gang) -> None:
    began = gang.clock.monotonic()
    gang.agents.pop(1).close()
    while not gone(gang):
        gang.turn(2)
        gang.clock.advance(0.1)
        assert gang.clock.monotonic() - began < 10
    assert gone(gang) == [e.AgentGone(1, certain=False)]
    assert gang.clock.monotonic() - began >= 5

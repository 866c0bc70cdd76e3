"""Where workers shall lie: who lies elsewhere works until others are ready in their place."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.runtime.membership import events as e


@pytest.fixture
def spread(runs: Any) -> Any:
    """Four workers, each with an agent of its own: two on node a, two on node b."""
    run = runs.fresh(e.Policy(wanted=4, maximum=8))
    for agent, node in enumerate("aabb"):
        run.tell(e.AgentJoined(agent, 1, agent * 1000, node=node))
    run.tell(e.Wanted(4, (("a", 2), ("b", 2))))
    run.warm(0, 1000, 2000, 3000)
    run.take()
    assert run.numbers == (0, 1000, 2000, 3000)
    return run


def test_fewer_workers_leave_the_node_that_is_given_up_and_not_the_highest_numbers(spread: Any) -> None:
    spread.tell(e.Wanted(2, (("b", 2),)))
    assert (spread.numbers, spread.view.leaving) == ((2000, 3000), (0, 1000))
    assert spread.view.cause == "resize"


def test_a_run_moves_when_workers_are_ready_at_the_other_place(spread: Any) -> None:
    spread.tell(e.Wanted(4, (("b", 2), ("c", 2))))
    assert len(spread.views) == 1, "nobody leaves before"
    for agent in (4, 5):
        spread.tell(e.AgentJoined(agent, 1, agent * 1000, node="c"))
    assert spread.started[-2:] == [4000, 5000]
    spread.warm(4000, 5000)
    assert spread.numbers == (2000, 3000, 4000, 5000)
    assert spread.view.leaving == (0, 1000)


def test_a_run_that_moves_is_never_narrower_than_it_need_be(spread: Any) -> None:
    spread.tell(e.Wanted(4, (("c", 4),)))
    for agent in (4, 5, 6, 7):
        spread.tell(e.AgentJoined(agent, 1, agent * 1000, node="c"))
    spread.warm(4000)
    spread.wait(3)
    assert spread.numbers == (0, 1000, 2000, 4000)


def test_a_lost_worker_is_not_replaced_where_the_run_shall_not_lie(spread: Any) -> None:
    spread.tell(e.Wanted(4, (("b", 4),)))
    started = list(spread.started)
    spread.die(0)
    assert spread.numbers == (1000, 2000, 3000)
    assert spread.started == started


def test_agents_on_nodes_without_names_are_where_they_are(runs: Any) -> None:
    run = runs.running(2)
    run.tell(e.Wanted(1))
    assert run.numbers == (0,)

"""Who may pass a job that waits for slots."""

from dataclasses import replace

import pytest

from orchestrator.scheduling.cluster import Demand, Node, Share, Window
from orchestrator.scheduling.decisions import Start
from orchestrator.scheduling.draft import Draft
from orchestrator.scheduling.fold import decide
from orchestrator.scheduling.jobs import Estimate, Job, Running
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.scheduling.state import State
from orchestrator.scheduling.walk import walk
from orchestrator.spec.policy import Order, Policy
from orchestrator.spec.presets import PRESETS, preset

NOW = 1000.0
FIFO = Order(by="fifo")


def job(number: int, workers: int, limit: float | None = None, **more) -> Job:
    return Job(f"j-{number}", number, NOW - 50, Demand(workers, workers), limit=limit, waits_since=NOW - 50, **more)


def runs(number: int, left: float | None, **where: int) -> Running:
    """A job that has run for 100 seconds and whose limit is that many seconds ahead."""
    held = job(number, sum(where.values()), None if left is None else left + 100)
    placement = tuple(Share(node, workers) for node, workers in where.items())
    return Running(held, placement, NOW - 100, NOW - 100, NOW - 100)


def started(backfill: str, *found: Job | Running, nodes: tuple[Node, ...] = (Node("a", 8),), **more) -> list[str]:
    return [
        start.job for start in decide(_snapshot(found, nodes), Policy(order=FIFO, backfill=backfill, **more)).starts
    ]


def _snapshot(found: tuple[Job | Running, ...], nodes: tuple[Node, ...]) -> Snapshot:
    pending = tuple(one for one in found if isinstance(one, Job))
    return Snapshot(NOW, nodes, pending, tuple(one for one in found if isinstance(one, Running)))


def reservations(backfill: str, *found: Job | Running, nodes: tuple[Node, ...] = (Node("a", 8),)) -> dict[str, float]:
    draft = Draft(State.of(_snapshot(found, nodes)), Policy(order=FIFO, backfill=backfill), NOW)
    walk(draft)
    return {reservation.job: reservation.at - NOW for reservation in draft.reservations}


FOUR = (
    # 8 slots: 4 are held for 100 seconds more, 2 for 60 more; 2 are free
    runs(101, 100, a=4),
    runs(102, 60, a=2),
    job(1, 5),  # 2 + 2 are too few: it starts in 100 seconds (the shadow time), when 8 - 5 = 3 slots are extra
    job(2, 2, 200),  # lasts longer than that, but fits beside: it takes 2 of the 3 extra slots
    job(3, 1, 90),  # over before, but nothing is free any more
    job(4, 2, 50),
)


def test_easy_is_as_computed_by_hand_for_four_jobs() -> None:
    assert started("easy", *FOUR) == ["j-2"]
    assert reservations("easy", *FOUR) == {"j-1": 100}
    longer = (*FOUR[:3], job(2, 2, 200), job(3, 2, 100))
    assert started("easy", *longer[:2], job(1, 7), *longer[3:]) == ["j-3"]
    assert started("easy", *longer[:2], job(1, 7), job(2, 1, 101), job(3, 1, 100), job(4, 1, 100)) == ["j-2", "j-3"]


def test_without_backfill_the_first_that_does_not_fit_holds_back_all_after_it() -> None:
    assert started("none", *FOUR) == []
    assert started("none", FOUR[0], FOUR[1], job(0, 1), *FOUR[2:]) == ["j-0"]


def test_where_others_may_skip_they_pass_whatever_it_costs_the_first() -> None:
    assert started("skip", runs(101, 100, a=6), job(1, 8), job(2, 2)) == ["j-2"]


def test_what_is_extra_is_used_up_by_those_who_last_longer() -> None:
    waiting = [job(1, 6), *(job(n, 1, 500) for n in (2, 3, 4))]
    assert started("easy", runs(101, 100, a=4), *waiting) == ["j-2", "j-3"]


def test_a_reservation_is_on_nodes_and_what_lies_beside_it_passes() -> None:
    nodes = (Node("a", 8), Node("b", 8))
    held = [runs(101, 50, a=6), runs(102, 500, b=6)]
    # j-1 gets node a; whoever lasts longer than 50 seconds may only use b
    assert reservations("easy", *held, job(1, 8), nodes=nodes) == {"j-1": 50}
    found = decide(_snapshot((*held, job(1, 8), job(2, 2, 60), job(3, 2, 60)), nodes), Policy(order=FIFO))
    assert found.starts == (Start("j-2", (Share("b", 2),)),)
    found = decide(_snapshot((*held, job(1, 8), job(2, 2, 60), job(3, 2, 50)), nodes), Policy(order=FIFO))
    assert found.starts == (Start("j-2", (Share("b", 2),)), Start("j-3", (Share("a", 2),)))


def test_easy_may_delay_the_second_job_and_conservative_does_not() -> None:
    held = (runs(101, 100, a=4), runs(102, 200, a=2))
    # j-1 takes 4 of 6 slots at 100, and j-2 all 8 at 200, unless j-3 still has 2 of them then
    waiting = (job(1, 4, 100), job(2, 8, 100))
    assert reservations("conservative", *held, *waiting) == {"j-1": 100, "j-2": 200}
    assert started("easy", *held, *waiting, job(3, 2, 250)) == ["j-3"]
    assert started("conservative", *held, *waiting, job(3, 2, 250)) == []
    assert started("conservative", *held, *waiting, job(3, 2, 200)) == ["j-3"]
    assert started("conservative", *held, *waiting, job(3, 2, 250), depth=1) == ["j-3"]


def test_a_job_of_unknown_length_never_ends_and_passes_only_beside_a_reservation() -> None:
    assert started("easy", runs(101, 100, a=6), job(1, 7), job(2, 2), job(3, 1)) == ["j-3"]
    assert reservations("easy", runs(101, None, a=6), job(1, 7)) == {}


def test_our_estimate_stands_in_for_a_limit_and_grows_when_it_is_outlived() -> None:
    held = replace(runs(101, None, a=6), job=job(101, 6, estimate=Estimate(150.0, 0.0)))
    assert reservations("easy", held, job(1, 7)) == {"j-1": 50}
    late = replace(held, job=replace(held.job, estimate=Estimate(100.0, 0.0)))
    assert reservations("easy", late, job(1, 7)) == {"j-1": 60}
    later = replace(held, job=replace(held.job, estimate=Estimate(40.0, 0.0)))
    assert reservations("easy", later, job(1, 7)) == {"j-1": 120}


def test_maintenance_is_waited_for_and_nothing_runs_into_it() -> None:
    down = (Node("a", 8, windows=(Window(NOW + 30, NOW + 130),)),)
    assert reservations("easy", job(1, 8, 31), nodes=down) == {"j-1": 130}
    assert started("easy", job(1, 8, 31), job(2, 1, 30), nodes=down) == ["j-2"]


@pytest.mark.parametrize("name", PRESETS)
def test_it_is_decided_again_when_maintenance_ends(name: str) -> None:
    shut = (Node("a", 8, windows=(Window(NOW - 10, NOW + 30), Window(NOW + 500, NOW + 600))),)
    assert decide(_snapshot((job(1, 8),), shut), preset(name)).wake == NOW + 30
    assert decide(_snapshot((), shut), preset("easy")).wake is None  # nobody waits for it


@pytest.mark.parametrize("backfill", ["easy", "conservative"])
def test_it_is_decided_again_when_a_reservation_is_due(backfill: str) -> None:
    policy = Policy(order=FIFO, backfill=backfill)
    assert decide(_snapshot((runs(101, 100, a=6), job(1, 7)), (Node("a", 8),)), policy).wake == NOW + 100

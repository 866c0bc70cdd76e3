"""Snapshots as JSON and back."""

import math

import pytest

from orchestrator.base.errors import UsageError
from orchestrator.scheduling.cluster import Constraints, Demand, Node, Share, Window
from orchestrator.scheduling.codec import dump, load_snapshot
from orchestrator.scheduling.jobs import Estimate, Job, Running
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.scheduling.teams import Team, Usage

WHERE = Constraints(("h200",), frozenset({"n-2", "n-1"}), same_rack=True)
JOB = Job("j-1", 1, 0.1, Demand(2, 4, 2, 3, 1 << 40, False, WHERE), estimate=Estimate(1 / 3), waits_for=("j-0",))
SNAPSHOT = Snapshot(
    now=1e9 + 0.125,
    nodes=(Node("n-1", 8, windows=(Window(5.0),)), Node("n-2", 4, "a", 32, 1 << 38, "r", "down", "gone")),
    pending=(JOB,),
    running=(Running(Job("j-2", 2, 0.2), (Share("n-1", 1),), 1.0, 2.0, 3.0, keeps=()),),
    teams=(Team("red", "all", 0.5, 4, 8),),
    usage=(Usage("red", 1e-9, 4.0),),
    max_workers=7,
    slot_kind="cpu",
)


def test_a_snapshot_comes_back_exactly() -> None:
    assert load_snapshot(dump(SNAPSHOT)) == SNAPSHOT


def test_placements_come_back_as_shares_and_open_ends_as_infinite() -> None:
    found = load_snapshot(dump(SNAPSHOT))
    assert found.running[0].placement[0].workers == 1
    assert found.nodes[0].windows[0].end == math.inf


def test_equal_snapshots_are_written_alike() -> None:
    assert dump(load_snapshot(dump(SNAPSHOT))) == dump(SNAPSHOT)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"now": "soon", "nodes": []}', '{"now": 1, "nodes": [{"slots": 1}]}']
)
def test_what_is_no_snapshot_is_refused_in_words(text: str) -> None:
    with pytest.raises(UsageError, match="not a snapshot"):
        load_snapshot(text)

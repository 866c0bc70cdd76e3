"""Snapshots as JSON and back."""

import json
import math
from typing import Any

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


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("max_workers", -7), "max_workers is -7: it must be 1 or more"),
        (("nodes", 0, "slots", -1), r"nodes\[0\]\.slots is -1: it must be 0 or more"),
        (("nodes", 1, "memory", 1 << 60), r"nodes\[1\]\.memory is .*: it must be a number of at most"),
        (("nodes", 1, "name", "n-1"), "nodes: name n-1 is there 2 times"),
        (("pending", 0, "demand", "workers_min", 0), r"pending\[0\]\.demand\.workers_min is 0: it must be 1 or more"),
        (("pending", 0, "demand", "workers_max", 1), "demand of j-1: workers_max is less than workers_min"),
        (("pending", 0, "demand", "slots", "two"), r"pending\[0\]\.demand\.slots: .*valid integer"),
        (("pending", 0, "estimate", "seconds", 0), r"pending\[0\]\.estimate\.seconds is 0.*: it must be more than 0"),
        (("pending", 0, "id", "j-2"), "pending and running: id j-2 is there 2 times"),
        (("running", 0, "placement", [["n-1", -1]]), r"running\[0\]\.placement\[0\]\.workers is -1"),
        (("running", 0, "placement", [["n-1", 1], ["n-1", 1]]), "placement of j-2: node n-1 is there 2 times"),
        (("now", math.nan), "now is nan: it must be a number of at most"),
    ],
)
def test_a_number_that_no_cluster_could_have_is_refused_with_its_place(change: tuple[Any, ...], said: str) -> None:
    document = json.loads(dump(SNAPSHOT))
    *path, name, value = change
    part = document
    for step in path:
        part = part[step]
    part[name] = value
    with pytest.raises(UsageError, match=f"not a snapshot: {said}") as error:
        load_snapshot(json.dumps(document))
    assert error.value.hint


def test_what_is_nested_beyond_reason_is_refused() -> None:
    with pytest.raises(UsageError, match="nested too deeply"):
        load_snapshot("[" * 100_000)

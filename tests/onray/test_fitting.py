"""Which parts of a run on a Ray cluster come and go, and what is said where none can begin."""

from pathlib import Path

from orchestrator.onray.fitting import Sight, stranded, to_bring, to_let_go, word_before
from orchestrator.onray.parts import Hosted
from orchestrator.rundir.allocations import AllocationFiles
from orchestrator.rundir.grant import Grant
from orchestrator.rundir.layout import RunDirectory
from orchestrator.runtime.placing import Part

SIGHT = Sight({"a": "id-a", "b": "id-b"})


def hosted(index: int, node: str, workers: int = 1, **more: object) -> Hosted:
    files = AllocationFiles(RunDirectory(Path("/none")), f"r.{index}")
    values = {"node": f"id-{node}", "state": "running"} | more
    return Hosted(Part(index, node, workers), files, Grant(), {}, None, **values)  # type: ignore[arg-type]


def leaving(index: int, node: str) -> Hosted:
    found = hosted(index, node)
    found._asked_at = 0.0
    return found


def brought(parts: list[Hosted], wanted: dict[str, int], sight: Sight = SIGHT, **more: object) -> list[tuple[str, int]]:
    ways = {"one_by_one": True, "replacements": 1} | more
    return to_bring(parts, wanted, sight, **ways)  # type: ignore[arg-type]


def test_workers_that_are_missing_are_brought_one_by_one_or_as_a_whole() -> None:
    assert brought([hosted(0, "a")], {"a": 1, "b": 2}) == [("b", 1), ("b", 1)]
    assert brought([hosted(0, "a")], {"a": 1, "b": 2}, one_by_one=False) == [("b", 2)]
    assert brought([leaving(0, "a")], {"a": 1}) == [("a", 1)], "one that leaves makes room"
    assert brought([], {"c": 1}) == [], "a node that is not there"


def test_what_dies_on_a_living_node_is_replaced_a_few_times_and_a_lost_node_uses_up_none_of_them() -> None:
    died = [hosted(index, "a", state="gone", lost=True) for index in range(2)]
    assert brought(died[:1], {"a": 1}) == [("a", 1)]
    assert brought(died, {"a": 1}) == []
    assert brought(died, {"a": 1}, Sight({"a": "another"})) == [("a", 1)], "the node was lost, and is back"
    ended = [hosted(index, "a", state="gone") for index in range(9)]
    assert brought(ended, {"a": 1}) == [("a", 1)], "what we have ended ourselves was not lost"


def test_nothing_is_brought_to_a_node_that_ray_drains() -> None:
    assert brought([], {"a": 1, "b": 1}, Sight(SIGHT.nodes, {"id-b": 9.0})) == [("a", 1)]


def test_surplus_goes_once_nobody_works_in_it_and_what_has_not_begun_goes_at_once() -> None:
    parts = [hosted(0, "a"), hosted(1, "b"), hosted(2, "b", state="waiting"), hosted(3, "b", state="arriving")]
    assert [one.part.index for one in to_let_go(parts, {"a": 1}, {0, 1})] == [2, 3]
    assert [one.part.index for one in to_let_go(parts, {"a": 1}, {0})] == [1, 2, 3]
    assert [one.part.index for one in to_let_go(parts, {"a": 1}, None)] == [2], "who works cannot be read"


def test_a_part_that_waits_for_a_node_that_is_gone_waits_for_nothing() -> None:
    parts = [hosted(0, "a", state="waiting"), hosted(1, "b", state="waiting"), hosted(2, "a")]
    assert [one.part.index for one in stranded(parts, Sight({"a": "another", "b": "id-b"}))] == [0]


def test_the_last_word_of_a_run_that_cannot_begin() -> None:
    def word(sight: Sight = SIGHT, called_off: str = "", late: float | None = None, missing: tuple[str, ...] = ()):  # type: ignore[no-untyped-def]
        found = word_before(["a", "b"], sight, called_off=called_off, missing=missing, late=late)
        return found and (found.outcome, found.failure_class, found.cause, found.message)

    drained = Sight(SIGHT.nodes, {"id-b": 9.0})
    assert word() is None
    assert word(drained, "cancel")[2] == "cancel"
    assert word(drained) == ("stopped", None, "preempt", "Ray drains b; nothing was started")
    told = "Ray had not all places within 5 s ({}); those that it had are given back"
    assert word(late=5.0, missing=("b",)) == ("failed", "infrastructure", None, told.format("b not free"))
    assert word(Sight({"a": "id-a"}), late=5.0) == ("failed", "infrastructure", None, told.format("b not there"))


def test_what_lies_on_a_node_that_ray_drains_has_until_its_deadline() -> None:
    sight = Sight(SIGHT.nodes, {"id-a": 130.0, "id-b": 0.0})
    assert [sight.left(one, 100.0) for one in ("id-a", "id-b", "id-c")] == [30.0, 3600.0, None]
    assert sight.left("id-a", 131.0) == 0.0
    assert sight.draining(["a", "c"]) == {"a": 130.0}

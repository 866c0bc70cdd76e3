"""Which parts of a run stay where its placement changes."""

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.runtime.placing import Part, missing_of, surplus_of

PARTS = [Part(0, "a", 1), Part(1, "a", 1), Part(2, "b", 1), Part(3, "b", 1)]


def test_the_oldest_parts_of_a_node_stay() -> None:
    assert surplus_of(PARTS, {"a": 1, "b": 2}) == {1}
    assert surplus_of(PARTS, {"b": 2}) == {0, 1}
    assert surplus_of(PARTS, {"a": 2, "b": 2}) == set()


def test_what_has_no_part_yet_is_missing() -> None:
    assert missing_of(PARTS, {"a": 3, "c": 2}) == {"a": 1, "c": 2}


def test_a_part_that_is_wider_than_what_is_wanted_goes_as_a_whole() -> None:
    wide = [Part(0, "a", 4)]
    assert surplus_of(wide, {"a": 2}) == {0}
    assert missing_of(wide, {"a": 2}) == {"a": 2}


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 3)), max_size=8),
    st.dictionaries(st.sampled_from("abc"), st.integers(1, 6)),
)
def test_what_stays_and_what_is_missing_are_what_is_wanted(
    kinds: list[tuple[str, int]], wanted: dict[str, int]
) -> None:
    parts = [Part(index, node, workers) for index, (node, workers) in enumerate(kinds)]
    surplus, missing = surplus_of(parts, wanted), missing_of(parts, wanted)
    for node in "abc":
        stays = sum(part.workers for part in parts if part.node == node and part.index not in surplus)
        assert stays + missing.get(node, 0) == wanted.get(node, 0)

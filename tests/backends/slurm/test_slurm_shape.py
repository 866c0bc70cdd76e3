"""Nodes and workers of an allocation."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.backends.protocol import Needs, Terms
from orchestrator.backends.slurm.inventory import NodeRow
from orchestrator.backends.slurm.shape import Shape, shape_of
from orchestrator.base.errors import LaunchRefused
from orchestrator.rundir.launch import Launch


def node(name: str, gpus: int = 4, cpus: int = 32, memory: int = 2**38, kind: str = "") -> NodeRow:
    gres = (("gpu", gpus), *([(f"gpu:{kind}", gpus)] if kind else []))
    return NodeRow(name, name, frozenset({"IDLE"}), cpus, 0, memory, 0, gres, ())


FOUR = [node(f"n{i}") for i in range(1, 5)]


def launch(**changes: Any) -> Launch:
    values = {"job": "j", "run": "j-r1", "token": 1, "argv": ("x",), "workdir": "/", "workers": 1, "gpus_per_worker": 1}
    return Launch(**{**values, **changes})


def shape(low: int, high: int, nodes: Any = FOUR, *, elastic: bool = False, **terms: Any) -> Shape:
    needs = Needs(**terms.pop("needs", {}))
    asked = Terms(low, high, needs=needs, **terms)
    return shape_of(asked, launch(elastic=elastic), nodes, gres="gpu", most=None)


def test_a_gang_lies_on_as_few_nodes_as_hold_it() -> None:
    assert shape(1, 1) == Shape(1, 1, 1)
    assert shape(4, 4) == Shape(1, 1, 4)
    assert shape(6, 6) == Shape(2, 2, 3)
    assert shape(16, 16) == Shape(4, 4, 4)


def test_where_equal_shares_would_be_too_many_there_are_more_nodes_instead() -> None:
    assert shape(9, 9) == Shape(3, 3, 3)
    assert shape(5, 5, [node(f"n{i}") for i in range(8)]) == Shape(5, 5, 1)


def test_a_gang_that_nowhere_splits_evenly_has_more_workers_where_it_may() -> None:
    assert shape(5, 8, elastic=True) == Shape(2, 2, 3)
    with pytest.raises(LaunchRefused, match="equal shares"):
        shape(5, 5)


def test_an_elastic_run_begins_with_its_fewest_workers() -> None:
    assert shape(2, 16, elastic=True) == Shape(1, 1, 2)


def test_workers_that_may_lie_anywhere_are_spread() -> None:
    assert shape(2, 2, needs={"anywhere": True}) == Shape(2, 2, 1)
    assert shape(6, 6, needs={"anywhere": True}) == Shape(3, 3, 2)
    assert shape(1, 4, needs={"anywhere": True}) == Shape(1, 4, 1)


def test_who_takes_what_it_gets_asks_for_a_range_of_nodes() -> None:
    assert shape(1, 3) == Shape(1, 3, 1)
    assert shape(4, 12) == Shape(1, 3, 4)
    assert shape(8, 40) == Shape(2, 4, 4)


def test_growth_takes_one_node_and_no_more_than_is_missing() -> None:
    assert shape(1, 2, growth=True) == Shape(1, 1, 2)
    assert shape(11, 11, growth=True) == Shape(1, 1, 4)


def test_cores_and_memory_bound_what_a_node_holds() -> None:
    small = [node(f"n{i}", gpus=8, cpus=4, memory=2**34) for i in range(4)]
    assert shape(4, 4, small) == Shape(1, 1, 4)
    assert shape(4, 4, small, needs={"memory": 2**33}) == Shape(2, 2, 2)


def test_nodes_that_it_must_not_use_do_not_count() -> None:
    mixed = [node("a", kind="h200"), node("b", kind="a100"), node("c", kind="a100")]
    assert shape(8, 8, mixed, needs={"gpu_types": ("A100",)}) == Shape(2, 2, 4)
    with pytest.raises(LaunchRefused, match="even one"):
        shape(1, 1, mixed, needs={"gpu_types": ("v100",)})
    with pytest.raises(LaunchRefused, match="hold 8"):
        shape(12, 12, mixed, needs={"not_on": ("a",)})


def test_a_partition_may_bound_the_nodes_of_a_job() -> None:
    with pytest.raises(LaunchRefused, match="hold 4"):
        shape_of(Terms(6, 6), launch(), FOUR, gres="gpu", most=1)


def test_what_never_fits_is_refused_with_what_the_largest_node_has() -> None:
    def refused(low: int, **worker: Any) -> str:
        asked, one = Terms(low, low, needs=Needs(memory=worker.pop("memory", 0))), launch(**worker)
        with pytest.raises(LaunchRefused) as caught:
            shape_of(asked, one, [*FOUR, node("fat", gpus=0, cpus=64)], gres="gpu", most=None, partition="batch")
        return caught.value.message

    gpus, fat = "the largest node of partition batch has 4 GPUs, 32 cores, 256 GiB", "batch has 64 cores, 256 GiB"
    assert refused(1, gpus_per_worker=5) == (
        f"a worker needs 5 GPUs, 1 core, and no node that it may use holds even one: {gpus}"
    )
    assert refused(1, gpus_per_worker=0, cpus_per_worker=65).endswith(fat)
    assert refused(5).endswith(f"its nodes hold 16, at most 4 on one, in equal shares; {gpus}")
    assert refused(1, gpus_per_worker=0, memory=2**39).startswith("a worker needs 1 core, 512 GiB, and no node")


def test_where_slurm_does_not_say_one_node_holds_all() -> None:
    assert shape(6, 6, None) == Shape(1, 1, 6)


def test_a_shape_is_told_in_words() -> None:
    assert Shape(1, 1, 1).text == "1 node x 1 worker"
    assert Shape(1, 4, 2).text == "1 to 4 nodes x 2 workers"


@given(
    rooms=st.lists(st.integers(0, 8), max_size=12),
    low=st.integers(1, 20),
    more=st.integers(0, 20),
    elastic=st.booleans(),
    anywhere=st.booleans(),
)
def test_a_shape_fits_and_keeps_to_what_is_asked(
    rooms: list[int], low: int, more: int, elastic: bool, anywhere: bool
) -> None:
    nodes = [node(f"n{i}", gpus=room) for i, room in enumerate(rooms)]
    try:
        found = shape(low, low + more, nodes, elastic=elastic, needs={"anywhere": anywhere})
    except LaunchRefused:
        assert not any(
            low <= count * each <= low + more and sum(room >= each for room in rooms) >= count
            for count in range(1, 13)
            for each in range(1, 9)
        )
        return
    assert low <= found.nodes_min * found.per_node
    assert found.nodes_max * found.per_node <= low + more
    assert sum(room >= found.per_node for room in rooms) >= found.nodes_max

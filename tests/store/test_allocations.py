"""Allocations by which runs grew, as the store keeps them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from store_records import JOB

from orchestrator.base.errors import Conflict
from orchestrator.lifecycle.states import GrowthState, RunState
from orchestrator.store import allocations, jobs, runs
from orchestrator.store.database import Store, open_store
from orchestrator.store.records import GrowthRecord, RunRecord
from orchestrator.testing.clock import SimulatedClock

RUN = RunRecord("j-1-r1", "j-1", 1, 1, "j-1-r1.0", "slurm", RunState.RUNNING, 2, 4, 2, 1.0)
GROWTH = GrowthRecord("j-1-r1.100", "j-1-r1", 100, 2, GrowthState.CREATED, 5.0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path / "store.sqlite", clock=SimulatedClock())
    with store.write() as connection:
        jobs.insert(connection, JOB)
        runs.insert(connection, RUN)
        allocations.insert(connection, GROWTH)
    yield store
    store.close()


def test_what_is_written_down_is_read_back_until_it_has_ended(store: Store) -> None:
    with store.read() as connection:
        assert allocations.unended(connection) == [GROWTH]
        assert allocations.waiting(connection) == 1
    with store.write() as connection:
        running = allocations.change(connection, GROWTH, state=GrowthState.RUNNING, started_at=6.0)
        assert allocations.waiting(connection) == 0
        ended = allocations.change(connection, running, state=GrowthState.ENDED, ended_at=7.0)
    with store.read() as connection:
        assert allocations.unended(connection) == []
        assert allocations.of_runs(connection, ["j-1-r1", "j-2-r1"]) == {"j-1-r1": [ended], "j-2-r1": []}


def test_a_change_of_what_somebody_else_has_changed_is_refused(store: Store) -> None:
    with store.write() as connection:
        allocations.change(connection, GROWTH, state=GrowthState.LAUNCHED)
        with pytest.raises(Conflict, match="no longer created"):
            allocations.change(connection, GROWTH, state=GrowthState.RUNNING)


def test_of_those_that_are_over_the_newest_are_enough(store: Store) -> None:
    with store.write() as connection:
        for number in range(101, 111):
            one = replace(GROWTH, id=f"j-1-r1.{number}", number=number, state=GrowthState.ENDED, stopping=number < 104)
            allocations.insert(connection, one)
    with store.read() as connection:
        found = allocations.of_runs(connection, ["j-1-r1"], ended=2)["j-1-r1"]
        assert [one.number for one in found] == [100, 102, 103, 109, 110]
        assert len(allocations.of_runs(connection, ["j-1-r1"])["j-1-r1"]) == 11

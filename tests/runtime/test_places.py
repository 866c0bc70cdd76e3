"""Room for workers: taken from the machine and given back while a run goes on."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.errors import BackendUnavailable
from orchestrator.base.slots import SlotLocks
from orchestrator.rundir.grant import Grant, Pool
from orchestrator.rundir.launch import Launch
from orchestrator.runtime.keeping import Keeper, Keeping, pair
from orchestrator.runtime.places import Places


def launch(**changes: Any) -> Launch:
    return Launch(**{"job": "j", "run": "j-r1", "token": 1, "argv": ("x",), "workdir": "/", "workers": 1} | changes)


@pytest.fixture
def ends() -> Iterator[tuple[Keeping, Keeper]]:
    ours, theirs = pair()
    yield Keeping(ours), Keeper(theirs)
    ours.close()
    theirs.close()


def pooled(locks: SlotLocks, held: int, each: int = 1) -> Grant:
    return Grant(pool=Pool.of(locks, locks.take(held), each))


def test_room_grows_as_far_as_the_machine_has_free_slots(tmp_path: Path, ends: Any) -> None:
    locks = SlotLocks(tmp_path / "slots", "cpu", ("0", "1", "2", "3", "4"))
    places = Places(pooled(locks, 2, each=2), launch(), ends[0])
    assert places.fit(1) is False
    assert places.fit(3) is True
    assert (places.room, locks.free()) == (2, 1)


def test_a_place_is_given_back_when_it_is_empty_and_not_wanted(tmp_path: Path, ends: Any) -> None:
    locks = SlotLocks(tmp_path / "slots", "cpu", ("0", "1", "2"))
    places = Places(pooled(locks, 3), launch(), ends[0])
    for number in range(3):
        places.occupy(number)
    assert places.fit(1) is False
    places.vacate(2)
    assert places.fit(1) is True
    assert (places.room, locks.free()) == (2, 1)


def test_a_worker_without_a_place_is_refused(ends: Any) -> None:
    places = Places(Grant(workers=1), launch(), ends[0])
    places.occupy(7)
    with pytest.raises(BackendUnavailable, match="worker 8: all 1 are taken"):
        places.occupy(8)


def test_each_worker_sees_the_gpus_of_its_own_place(tmp_path: Path, ends: Any) -> None:
    locks = SlotLocks(tmp_path / "slots", "gpu", ("4", "5", "6", "GPU-x"))
    places = Places(pooled(locks, 2, each=2), launch(gpus_per_worker=2), ends[0])
    places.fit(2)
    assert (places.occupy(0), places.occupy(1)) == (("4", "5"), ("6", "GPU-x"))


def test_without_a_pool_the_granted_devices_are_shared_out(ends: Any) -> None:
    places = Places(Grant(devices=("2", "3"), workers=2), launch(gpus_per_worker=1), ends[0])
    assert (places.occupy(1000), places.occupy(1001)) == (("2",), ("3",))
    assert places.fit(5) is False


def test_what_was_taken_stays_locked_when_the_agent_is_gone_and_the_guard_is_not(tmp_path: Path) -> None:
    locks = SlotLocks(tmp_path / "slots", "cpu", ("0",))
    ours, theirs = pair()
    keeper = Keeper(theirs)
    lease = locks.take(1)
    assert Keeping(ours).keep(lease)
    os.close(lease.handles[0])
    ours.close()  # the agent is dead, the guard has not looked yet
    assert locks.free() == 0
    keeper.take()
    assert locks.free() == 0
    assert not keeper.open
    os.close(keeper._held[0])
    assert locks.free() == 1


def test_the_guard_lets_go_of_what_was_given_back(tmp_path: Path, ends: Any) -> None:
    keeping, keeper = ends
    locks = SlotLocks(tmp_path / "slots", "cpu", ("0",))
    places = Places(pooled(locks, 0), launch(), keeping)
    for _ in range(3):
        places.fit(1)
        places.fit(0)
    keeper.take()
    assert (keeper._held, locks.free()) == ({}, 1)

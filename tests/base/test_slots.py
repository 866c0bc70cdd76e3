"""Slots of the machine as locked files."""

import os
import subprocess
from pathlib import Path

import pytest

from orchestrator.base.errors import BackendError, BackendUnavailable
from orchestrator.base.slots import SlotLocks, give_back


def test_slots_are_free_again_when_the_last_holder_is_gone(tmp_path: Path) -> None:
    locks = SlotLocks(tmp_path / "slots", "cpu", ("0", "1", "2"))
    with locks.hold(2) as lease:
        copy = os.dup(lease.handles[0])
        assert locks.free() == 1
        with pytest.raises(BackendUnavailable), locks.hold(2):
            pass
    assert locks.free() == 2
    os.close(copy)
    assert locks.free() == 3


def test_a_folder_of_locks_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "slots").symlink_to(tmp_path / "real")
    with pytest.raises(BackendError, match="does not belong"):
        SlotLocks(tmp_path / "slots", "cpu", ("0",)).free()


def test_a_slot_that_is_given_back_is_free_whoever_else_has_its_file_open(tmp_path: Path) -> None:
    locks = SlotLocks(tmp_path / "slots", "cpu", ("0", "1"))
    lease = locks.take(2)
    inherited = os.dup(lease.handles[1])
    give_back(lease.handles[1])
    assert locks.free() == 1
    assert locks.take(1).slots == (1,)
    os.close(inherited)


def test_a_take_that_finds_too_few_takes_none(tmp_path: Path) -> None:
    locks = SlotLocks(tmp_path / "slots", "cpu", ("0", "1"))
    with pytest.raises(BackendUnavailable, match="only 2 of 2"):
        locks.take(3)
    assert locks.free() == 2


def test_a_process_that_holds_slots_is_found_with_how_many(tmp_path: Path) -> None:
    locks = SlotLocks(tmp_path / "slots", "cpu", ("0", "1", "2"))
    with locks.hold(2) as lease, subprocess.Popen(["sleep", "60"], pass_fds=lease.handles) as holder:
        assert locks.openers() == {holder.pid: 2}
        holder.kill()
    assert locks.openers() == {}

"""One writer, whole transactions, and files that are refused by name."""

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import store_records
from sqlalchemy import Connection

from orchestrator.base.errors import Fenced, IllegalMove, NotFound, StoreError
from orchestrator.lifecycle.states import JobState
from orchestrator.store import events, jobs
from orchestrator.store.database import Store, open_store
from orchestrator.store.filesystem import NETWORK, file_system_type
from orchestrator.store.jobs import Stale
from orchestrator.store.tables import SCHEMA_VERSION, metadata
from orchestrator.testing.clock import SimulatedClock

CLOCK = SimulatedClock()
JOB = replace(store_records.JOB, failures={"data": 1}, depends_on=("j-0",))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "store.sqlite"


def filled(path: Path, count: int = 200) -> None:
    store = open_store(path, clock=CLOCK)
    with store.write() as connection:
        for number in range(count):
            jobs.insert(connection, replace(JOB, id=f"j-{number}", workload="x" * 500))
    store.close()


def test_what_is_written_is_read_back_after_a_reopening(path: Path) -> None:
    store = open_store(f"sqlite:///{path}", clock=CLOCK)
    with store.write() as connection:
        stored = jobs.insert(connection, JOB)
    assert replace(stored, sequence=0) == JOB
    store.close()
    again = open_store(path, clock=CLOCK)
    with again.read() as connection:
        assert jobs.get(connection, "j-1") == stored
    again.close()


def test_a_transaction_is_whole_or_absent(path: Path) -> None:
    store = open_store(path, clock=CLOCK)

    def half() -> None:
        with store.write() as connection:
            jobs.insert(connection, JOB)
            raise KeyError

    with pytest.raises(KeyError):
        half()
    with store.read() as connection:
        assert jobs.waiting(connection) == []
        assert events.after(connection, "j-1", 0, 10) == []
    store.close()


def test_a_reader_sees_one_moment_while_others_write(path: Path) -> None:
    store = open_store(path, clock=CLOCK)
    with store.read() as connection:
        assert jobs.waiting(connection) == []
        with store.write() as writing:
            jobs.insert(writing, JOB)
        assert jobs.waiting(connection) == []
    with store.read() as connection:
        assert len(jobs.waiting(connection)) == 1
    store.close()


def test_many_threads_may_write(path: Path) -> None:
    store = open_store(path, clock=CLOCK)

    def work(first: int) -> None:
        for number in range(first, first + 10):
            with store.write() as connection:
                jobs.insert(connection, replace(JOB, id=f"j-{number}"))

    threads = [threading.Thread(target=work, args=(100 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.read() as connection:
        assert sorted(job.sequence for job in jobs.waiting(connection)) == list(range(1, 41))
    store.close()


def test_a_move_needs_an_arrow_and_the_state_that_was_seen(path: Path) -> None:
    store = open_store(path, clock=CLOCK)
    with store.write() as connection:
        seen = jobs.insert(connection, JOB)
        jobs.move(connection, seen, JobState.HELD, reason="held", time=2.0)
    with store.write() as connection, pytest.raises(Stale, match="no longer queued"):
        jobs.move(connection, seen, JobState.STARTING, reason="start", time=3.0)
    with store.write() as connection, pytest.raises(IllegalMove):
        jobs.move(connection, seen, JobState.SUCCEEDED, reason="?", time=3.0)
    with store.write() as connection, pytest.raises(Stale):
        jobs.set_columns(connection, replace(seen, state=JobState.HELD, token=9), reason="from another run")
    with store.read() as connection:
        told = [(e.kind, e.message) for e in events.after(connection, "j-1", 0, 10)]
    assert told == [("submitted", "queued"), ("state", "held")]
    store.close()


def test_a_second_opener_is_refused_and_told_who_has_it(path: Path) -> None:
    store = open_store(path, clock=CLOCK)
    with pytest.raises(StoreError, match=rf"store.sqlite is in use by process {os.getpid()} on "):
        open_store(path, clock=CLOCK)
    with store.write() as connection:  # and the refusal harms nothing
        jobs.insert(connection, JOB)
    store.close()
    open_store(path, clock=CLOCK).close()


def test_another_process_is_refused_too_and_a_dead_one_is_not_waited_for(path: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom orchestrator.base.clock import SystemClock\n"
        "from orchestrator.store.database import open_store\n"
        "store = open_store(Path(sys.argv[1]), clock=SystemClock())\nprint('open', flush=True)\nsys.stdin.read()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "open\n"
    with pytest.raises(StoreError, match=f"process {child.pid} on"):
        open_store(path, clock=CLOCK)
    child.kill()
    child.communicate()
    open_store(path, clock=CLOCK).close()


def test_the_writes_of_a_holder_that_was_replaced_are_refused(path: Path) -> None:
    store = open_store(path, clock=CLOCK)
    with sqlite3.connect(path) as other:
        other.execute("UPDATE lease SET token = token + 1, holder = 'the new one'")
    other.close()
    with pytest.raises(Fenced, match="taken over by the new one"), store.write() as connection:
        jobs.insert(connection, JOB)
    with store.read() as connection:
        assert jobs.waiting(connection) == []
    store.close()


def test_an_empty_file_is_a_truncated_store_and_not_a_new_one(path: Path) -> None:
    filled(path, 1)
    path.write_bytes(b"")
    with pytest.raises(StoreError, match=r"store.sqlite is damaged: it is empty") as caught:
        open_store(path, clock=CLOCK)
    assert "copy a backup to its place" in str(caught.value)
    assert path.read_bytes() == b""


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_store_is_refused_by_name(path: Path, share: float) -> None:
    filled(path)
    content = path.read_bytes()
    cut = content[: int(len(content) * share) // 4096 * 4096 + 100]
    path.write_bytes(cut)
    with pytest.raises(StoreError, match=r"store.sqlite is damaged"):
        open_store(path, clock=CLOCK)
    assert path.read_bytes() == cut


def test_flipped_bits_in_the_structure_are_found(path: Path) -> None:
    filled(path)
    content = bytearray(path.read_bytes())
    for page in range(4096, len(content), 4096):
        content[page] ^= 0x40  # the kind of every page
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"store.sqlite is damaged"):
        open_store(path, clock=CLOCK)


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("name: not a database\n" * 100)
    with pytest.raises(StoreError, match="no SQLite database"):
        open_store(path, clock=CLOCK)


def test_a_newer_store_is_refused_and_left_as_it_is(path: Path) -> None:
    filled(path, 1)
    with sqlite3.connect(path) as other:
        other.execute("UPDATE alembic_version SET version_num = '9999'")
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=f"has schema 9999.*it knows {SCHEMA_VERSION}"):
        open_store(path, clock=CLOCK)
    assert path.read_bytes() == before


def test_damage_that_shows_while_the_store_is_open_is_named(path: Path) -> None:
    filled(path)
    store = open_store(path, clock=CLOCK)
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"store.sqlite is damaged"), store.read() as connection:
        jobs.newest(connection, states=None, name=None, limit=1000)
    assert store.verify() != []
    store.close()


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "lustre", "fuse.sshfs"])
def test_a_network_file_system_is_refused(path: Path, kind: str) -> None:
    with pytest.raises(StoreError, match=rf"network file system \({kind}\)") as caught:
        open_store(path, clock=CLOCK, type_of=lambda folder: kind)
    assert "ORCHESTRATOR_STATE_DIR" in caught.value.hint
    assert not path.exists()


def test_the_kernel_names_the_type_of_a_file_system() -> None:
    assert file_system_type(Path("/proc/self")) == "proc"
    assert file_system_type(Path("/")) not in NETWORK | {""}


def test_another_kind_of_database_is_refused_clearly() -> None:
    with pytest.raises(StoreError, match="mysql is no known kind of store"):
        open_store("mysql://localhost/x", clock=CLOCK)


def test_a_backup_taken_while_work_goes_on_can_be_opened_in_its_place(path: Path, tmp_path: Path) -> None:
    store = open_store(path, clock=CLOCK)
    with store.write() as connection:
        jobs.insert(connection, JOB)
    store.backup(tmp_path / "backup.sqlite")
    with pytest.raises(StoreError, match="exists"):
        store.backup(tmp_path / "backup.sqlite")
    assert store.verify() == []
    store.close()
    restored = open_store(tmp_path / "backup.sqlite", clock=CLOCK)
    with restored.read() as connection:
        assert jobs.get(connection, "j-1").name == "job"
    restored.close()


def test_the_store_is_for_its_owner_only(path: Path) -> None:
    filled(path, 1)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_every_commit_reaches_the_disk(path: Path) -> None:
    store: Store = open_store(path, clock=CLOCK)
    with store.write() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("synchronous", "journal_mode", "foreign_keys")
        }
    assert pragmas == {"synchronous": 2, "journal_mode": "wal", "foreign_keys": 1}
    store.close()


def test_migrations_and_tables_agree(path: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from sqlalchemy import create_engine

    from orchestrator.store.schema import MIGRATIONS

    filled(path, 1)
    with create_engine(f"sqlite:///{path}").connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == SCHEMA_VERSION


def test_opening_a_current_store_does_not_import_alembic(path: Path) -> None:
    filled(path, 1)
    script = (
        "import sys\nfrom pathlib import Path\nfrom orchestrator.base.clock import SystemClock\n"
        "from orchestrator.store.database import open_store\n"
        "open_store(Path(sys.argv[1]), clock=SystemClock()).close()\n"
        "sys.exit('alembic' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", script, str(path)], check=False).returncode == 0


def test_changes_of_the_queue_are_told_as_long_as_they_are_remembered(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.store.database._REMEMBERED", 2)
    monkeypatch.setattr("orchestrator.store.database._MANY", 2)
    store = open_store(path, clock=CLOCK)

    def add(*names: str) -> None:
        with store.write() as connection:
            for name in names:
                jobs.insert(connection, replace(JOB, id=name))

    began = store.queue_version
    assert store.queue_changes(began) == set()
    add("j-1")
    add("j-2", "j-3")
    assert store.queue_changes(began) == {"j-1", "j-2", "j-3"}
    assert store.queue_changes(began + 1) == {"j-2", "j-3"}
    add("j-4")
    assert store.queue_changes(began) is None
    assert store.queue_changes(began + 1) == {"j-2", "j-3", "j-4"}
    add("j-5", "j-6", "j-7")
    assert store.queue_changes(began + 2) is None
    assert store.queue_changes(store.queue_version) == set()
    store.close()


def test_the_version_of_the_queue_rises_only_with_jobs_that_wait(path: Path) -> None:
    store = open_store(path, clock=CLOCK)

    def after(change: Callable[[Connection], object]) -> int:
        before = store.queue_version
        with store.write() as connection:
            change(connection)
        return store.queue_version - before

    def start(connection: Connection) -> None:
        jobs.move(connection, jobs.get(connection, "j-1"), JobState.STARTING, reason="x", time=1.0, token=1)

    def undone(connection: Connection) -> None:
        jobs.add_attained(connection, "j-1", 1.0)
        jobs.get(connection, "j-none")

    assert after(lambda c: jobs.insert(c, JOB)) == 1
    assert after(lambda c: jobs.set_columns(c, jobs.get(c, "j-1"), priority=5)) == 1
    assert after(start) == 1
    assert after(lambda c: jobs.set_columns(c, jobs.get(c, "j-1"), progress={"done": 1})) == 0
    with pytest.raises(NotFound):
        after(undone)
    assert after(lambda c: None) == 0
    store.close()

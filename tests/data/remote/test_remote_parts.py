"""The parts of remote datasets that need no store."""

import errno
import os
import signal
import threading
import time
from pathlib import Path

import fsspec
import pytest

from orchestrator.base.errors import DataError, RemoteUnavailable, UsageError
from orchestrator.data.index import DatasetIndex
from orchestrator.data.remote.ahead import ReadAhead
from orchestrator.data.remote.cache import Cache
from orchestrator.data.remote.errors import Meaning, ObjectMissing, ShortBody, meaning, wording
from orchestrator.data.remote.locks import holding, locked, release, try_lock
from orchestrator.data.remote.retry import Attempts, Patience
from orchestrator.data.remote.settings import RemoteSettings
from orchestrator.data.remote.turns import turn
from orchestrator.spec.place import RemotePlace, parse_location


class FakeClock:
    def __init__(self) -> None:
        self.time, self.pauses = 0.0, []

    def now(self) -> float:
        return self.time

    monotonic = now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.time += seconds


@pytest.mark.parametrize(
    ("written", "url"),
    [("s3://bucket/data/cifar10", None), ("S3://bucket/x/", "s3://bucket/x"), ("gs://b/x%20y", "gs://b/x%20y")],
)
def test_a_url_names_a_remote_place(written, url) -> None:
    place = parse_location(written)
    assert isinstance(place, RemotePlace)
    assert place.url == (url or written)


@pytest.mark.parametrize("written", ["file:///data/x", "file://localhost/data/x", "/data/x", "local:///data/x"])
def test_a_file_url_or_a_path_names_a_folder(written) -> None:
    assert parse_location(written) == Path("/data/x")


@pytest.mark.parametrize(
    "written",
    [
        "s3://bucket/../other",
        "s3://bucket/%2e%2e/other",
        "s3://bucket/%252e%252e/other",
        "file:///data/../etc",
        "file:///data/%2e%2e/etc",
        "file://host/share",
        "file://relative",
        "s3://",
        "s3:///key",
        "s3://bucket/a?versionId=1",
        "s3://bucket/a#b",
        "s3://bucket/*",
        "simplecache::s3://bucket/a",
        "s3://bucket/a\nb",
        "s3://bucket/a%00b",
    ],
)
def test_a_url_that_does_more_than_name_a_place_is_refused(written) -> None:
    with pytest.raises(UsageError):
        parse_location(written)


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError, match="holds credentials") as failed:
        parse_location("s3://key:hunter2@bucket/data")
    assert "hunter2" not in str(failed.value)


def test_pauses_double_up_to_a_bound_with_full_jitter() -> None:
    patience = Patience(first_seconds=1, longest_seconds=5)
    assert [patience.pause(failures, 1.0) for failures in (1, 2, 3, 4, 5)] == [1, 2, 4, 5, 5]
    assert patience.pause(3, 0.25) == 1.0
    assert patience.pause(3, 0.0) == 0.0


def test_what_fails_is_tried_again_after_growing_pauses() -> None:
    clock, left = FakeClock(), [ConnectionResetError("a"), TimeoutError("b"), ShortBody("c")]

    def action() -> str:
        if left:
            raise left.pop(0)
        return "done"

    patience = Patience(first_seconds=1, longest_seconds=100)
    assert Attempts("it", patience, clock, lambda: 1.0).run(action) == "done"
    assert clock.pauses == [1, 2, 4]


def test_progress_renews_patience() -> None:
    clock = FakeClock()
    attempts = Attempts("it", Patience(tries=2, first_seconds=1), clock, lambda: 1.0)
    for _ in range(5):
        attempts.failed(TimeoutError())
        attempts.progressed()
    attempts.failed(TimeoutError())
    with pytest.raises(RemoteUnavailable, match="it cannot be fetched: tried 7 times"):
        attempts.failed(TimeoutError())


def test_the_time_without_progress_is_bounded() -> None:
    clock = FakeClock()
    attempts = Attempts("it", Patience(tries=99, first_seconds=8, stalled_seconds=20), clock, lambda: 1.0)
    with pytest.raises(RemoteUnavailable):
        attempts.run(lambda: (_ for _ in ()).throw(TimeoutError()))
    assert sum(clock.pauses) <= 20


def test_what_is_not_there_is_not_tried_again() -> None:
    clock = FakeClock()
    with pytest.raises(ObjectMissing):
        Attempts("it", Patience(), clock).run(Path("/nowhere/at/all").read_bytes)
    assert clock.pauses == []


def test_a_mistake_in_code_or_a_full_disk_is_no_failure_of_the_store() -> None:
    for error in (TypeError("x"), OSError(errno.ENOSPC, "full")):
        with pytest.raises(type(error)):
            Attempts("it", Patience(), FakeClock()).failed(error)


@pytest.mark.parametrize(
    ("status", "expected"),
    [(500, "again"), (503, "again"), (429, "again"), (404, "missing"), (403, "refused"), (416, "changed")],
)
def test_what_a_status_means(status, expected) -> None:
    error = OSError("said the driver")
    error.response = {"ResponseMetadata": {"HTTPStatusCode": status}}
    wrapped = PermissionError("translated")
    wrapped.__cause__ = error
    assert meaning(error) is Meaning(expected)
    assert meaning(wrapped) is Meaning(expected)


def test_a_secret_is_left_out_of_what_is_said(monkeypatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    assert wording(OSError("signed with hunter2\nand so on")) == "OSError: signed with … and so on"


def test_a_password_in_a_url_is_left_out_of_what_is_said() -> None:
    assert wording(OSError("no answer from http://me:hunter2@host/x")) == "OSError: no answer from http://…@host/x"


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_credentials_in_the_endpoint_are_refused_and_not_repeated(monkeypatch, variable) -> None:
    monkeypatch.setenv(variable, "http://me:hunter2@127.0.0.1:9")
    with pytest.raises(UsageError, match=f"{variable} holds credentials") as failed:
        DatasetIndex.open("s3://bucket/data")
    assert "hunter2" not in str(failed.value)


def test_a_cache_folder_that_is_a_file_is_named_with_its_variable(small, tmp_path, monkeypatch) -> None:
    fsspec.filesystem("memory").pipe_file("/cached/index.json", (small / "index.json").read_bytes())
    (tmp_path / "taken").touch()
    monkeypatch.setenv("ORCHESTRATOR_CACHE_DIR", str(tmp_path / "taken"))
    with pytest.raises(DataError, match=r"the cache cannot be used: .*taken") as failed:
        DatasetIndex.open("memory://cached")
    assert "ORCHESTRATOR_CACHE_DIR" in failed.value.hint


def test_the_size_of_the_cache_comes_from_the_environment(monkeypatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_CACHE_BYTES", "2GiB")
    assert RemoteSettings.from_environment().cache_bytes == 2 * 2**30
    monkeypatch.setenv("ORCHESTRATOR_CACHE_BYTES", "plenty")
    with pytest.raises(UsageError, match="ORCHESTRATOR_CACHE_BYTES=plenty"):
        RemoteSettings.from_environment()


def test_an_unbounded_cache_is_bounded_by_the_disk(tmp_path) -> None:
    assert 0 < Cache(tmp_path, None, FakeClock()).bound <= 64 * 2**30


def test_room_that_others_hold_is_waited_for_and_then_named(tmp_path) -> None:
    clock = FakeClock()
    cache = Cache(tmp_path, 100, clock)
    folder = cache.open_version("v")
    (folder.path / "table.bin").write_bytes(b"x" * 4096)
    with pytest.raises(RemoteUnavailable, match="no room for 50 bytes"):
        cache.reserve(folder.path / "a.arrow.part", 50, "", seconds=1.0)
    assert sum(clock.pauses) >= 1.0


def test_the_files_of_a_cache_are_seldom_counted_and_it_stays_within_its_bound(tmp_path, monkeypatch) -> None:
    scans, scan = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: scans.append(path) or scan(path))
    cache = Cache(tmp_path, 100_000, FakeClock())
    folder = cache.open_version("v").path

    def fetch(number: int) -> None:
        part = folder / f"{number}.arrow.part"
        cache.reserve(part, 1000, "", seconds=0)
        part.write_bytes(bytes(1000))
        cache.rename(part, folder / f"{number}.arrow")
        os.utime(folder / f"{number}.arrow", (number, number))

    for number in range(100):
        fetch(number)
    assert len(scans) == 2
    for number in range(100, 160):
        fetch(number)
        assert sum(name.endswith(".arrow") for name in os.listdir(folder)) <= 100
    assert len(scans) <= 2 + 60 / 5
    assert (folder / "159.arrow").exists()
    assert not (folder / "50.arrow").exists()


@pytest.mark.parametrize("content", ["", "[]", '{"bytes": "no", "left": 9}', '{"bytes": 0, "left": 0}'])
def test_a_count_of_a_cache_that_cannot_be_used_is_made_anew(tmp_path, content) -> None:
    cache = Cache(tmp_path, 10_000, FakeClock())
    folder = cache.open_version("v").path
    (folder / "old.arrow").write_bytes(bytes(9_000))
    (tmp_path / "held.json").write_text(content)
    cache.reserve(folder / "a.arrow.part", 5_000, "", seconds=0)
    assert not (folder / "old.arrow").exists()


def test_read_ahead_never_holds_more_than_its_budget() -> None:
    fetched: list[int] = []
    ahead = ReadAhead(fetched.append, lambda number: 10, budget=25, threads=4)
    ahead.want(range(6))
    _until(lambda: fetched == [0, 1])
    time.sleep(0.02)
    assert fetched == [0, 1]
    for number in range(4):
        ahead.taken(number)
        _until(lambda number=number: len(fetched) == min(6, number + 3))
    assert fetched == [0, 1, 2, 3, 4, 5]


def test_the_last_word_replaces_what_was_to_be_read_ahead() -> None:
    gate, fetched = threading.Event(), []

    def fetch(number: int) -> None:
        fetched.append(number)
        gate.wait(10)

    ahead = ReadAhead(fetch, lambda number: 1, budget=100, threads=1)
    ahead.want([1, 2, 3])
    _until(lambda: fetched == [1])
    ahead.want([7, 8])
    gate.set()
    _until(lambda: fetched == [1, 7, 8])


def test_read_ahead_goes_on_after_a_failure() -> None:
    fetched: list[int] = []

    def fetch(number: int) -> None:
        fetched.append(number)
        if number == 1:
            raise ValueError("unexpected")

    ReadAhead(fetch, lambda number: 1, budget=100, threads=1).want([1, 2])
    _until(lambda: fetched == [1, 2])


def _until(holds) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_a_lock_that_is_let_go_is_free_whatever_a_fork_has_inherited(tmp_path) -> None:
    with locked(tmp_path / "lock"):
        inherited = _sleeper()
    try:
        handle = try_lock(tmp_path / "lock")
        assert handle is not None
        release(handle)
    finally:
        os.kill(inherited, signal.SIGKILL)
        os.waitpid(inherited, 0)


def test_a_lock_whose_file_was_deleted_is_taken_anew(tmp_path) -> None:
    path = tmp_path / "shard.lock"
    with holding(path, "a shard", seconds=1, clock=FakeClock()):
        assert try_lock(path) is None
    assert not path.exists()
    handle = try_lock(path)
    assert handle is not None
    release(handle)


def test_waiting_for_another_process_ends_and_says_for_what(tmp_path) -> None:
    handle = try_lock(tmp_path / "shard.lock")
    with (
        pytest.raises(RemoteUnavailable, match="another process of this node has been fetching a shard for 1 s"),
        holding(tmp_path / "shard.lock", "a shard", seconds=1, clock=FakeClock()),
    ):
        pass
    release(handle)


def test_a_process_that_hangs_is_waited_for_with_a_warning_and_then_worked_around(tmp_path, caplog) -> None:
    clock, target = FakeClock(), tmp_path / "a.arrow"
    handle = try_lock(tmp_path / "a.arrow.lock")
    with turn(target, "a shard", Patience(idle_seconds=60), clock) as part:
        assert part == tmp_path / f"a.arrow.{os.getpid()}.part"
        assert try_lock(tmp_path / f"a.arrow.{os.getpid()}.lock") is None
    release(handle)
    assert clock.time == pytest.approx(60, abs=1)
    first, second = (record.getMessage() for record in caplog.records)
    assert f"{tmp_path}/a.arrow.lock, has been fetching a shard for 30 s" in first
    assert "has fetched nothing of a shard for 60 s; it is fetched beside that one" in second


def test_a_process_that_is_slow_is_waited_for(tmp_path) -> None:
    handle, part = try_lock(tmp_path / "a.arrow.lock"), tmp_path / "a.arrow.part"

    class Writing(FakeClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            part.write_bytes(bytes(int(self.time)))
            if self.time > 3:
                release(handle)
                self.sleep = super().sleep

    with turn(tmp_path / "a.arrow", "a shard", Patience(idle_seconds=2), Writing()) as mine:
        assert mine == part


def _sleeper() -> int:
    child = os.fork()
    if child == 0:
        signal.pause()
        os._exit(0)
    return child

"""The parts of the server process: controller thread, keeper of the forwarder, the word on where it listens."""

import json
import os
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.api.binding import ServeOptions, check_binding, listen, url_of
from orchestrator.api.context import Activity
from orchestrator.api.endpoint import Endpoint, hold, read_endpoint, remove_endpoint, write_endpoint
from orchestrator.api.forwarding import FIRST_BACKOFF_SECONDS, ForwarderKeeper
from orchestrator.api.loop import ControlThread
from orchestrator.base.errors import Conflict, Fenced, TimedOut, UsageError
from orchestrator.base.process import ProcessIdentity


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path))
    return tmp_path


def endpoint() -> Endpoint:
    own = ProcessIdentity.current()
    return Endpoint("http://127.0.0.1:1", "secret", own.pid, own.start_ticks, "0.1.0", "local")


class Waiting:
    """A controller that waits to be woken."""

    def __init__(self) -> None:
        self.woken = threading.Event()

    def run(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            assert self.woken.wait(10)

    def wake(self) -> None:
        self.woken.set()


class Fallen:
    """A controller whose store another server has taken over."""

    def run(self, stopping: threading.Event) -> None:
        raise Fenced("another server has taken the store over")

    def wake(self) -> None:
        pass


def test_stopping_wakes_the_controller_and_waits_for_it() -> None:
    ended: list[str] = []
    thread = ControlThread(Waiting(), lambda: ended.append("server"))
    thread.start()
    thread.stop()
    assert not thread._thread.is_alive()
    assert ended == []


def test_a_controller_that_falls_takes_the_server_with_it() -> None:
    ended = threading.Event()
    ControlThread(Fallen(), ended.set).start()
    assert ended.wait(10)


def test_the_word_of_a_live_server_is_believed_and_private() -> None:
    write_endpoint(endpoint())
    assert read_endpoint() == endpoint()


def test_the_word_of_a_dead_server_is_not_believed(state: Path) -> None:
    write_endpoint(replace(endpoint(), start_ticks=1))
    assert read_endpoint() is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"url": 1}', '{"url": "u", "more": 1}'])
def test_a_damaged_word_counts_as_none(state: Path, content: str) -> None:
    (state / "server").mkdir()
    (state / "server/server.json").write_text(content)
    assert read_endpoint() is None


def test_a_server_takes_back_its_own_word_only(state: Path) -> None:
    write_endpoint(replace(endpoint(), pid=1))
    remove_endpoint(os.getpid())
    assert json.loads((state / "server/server.json").read_text())["pid"] == 1


def test_a_held_lock_names_its_holder() -> None:
    with hold("lock"):
        with pytest.raises(Conflict, match=str(os.getpid())), hold("lock"):
            pass
        with pytest.raises(TimedOut), hold("lock", wait_seconds=0.05):
            pass
    with hold("lock"):
        pass


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback_needs_no_token_of_others(host: str) -> None:
    assert check_binding(ServeOptions(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "localhost.evil.example", ""])
def test_beyond_loopback_a_token_is_needed(host: str) -> None:
    with pytest.raises(UsageError, match="token"):
        check_binding(ServeOptions(host=host))
    assert not check_binding(ServeOptions(host=host, token="a long random text"))


def test_a_port_that_is_taken_is_a_usage_error() -> None:
    with listen(ServeOptions()) as taken:
        assert url_of(taken) == f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UsageError, match="cannot listen"):
            listen(ServeOptions(port=taken.getsockname()[1]))


def test_an_open_request_counts_as_use() -> None:
    now = [100.0]
    activity = Activity(lambda: now[0])
    with activity.request():
        now[0] += 1000
        assert activity.idle_seconds() == 0
    now[0] += 7
    assert activity.idle_seconds() == 7


class Keeper:
    """A keeper whose child writes a line when it starts and ends with a code."""

    def __init__(self, folder: Path, code: int) -> None:
        self.now = 0.0
        self.log = folder / "forwarder.log"
        self.waiting = True
        child = f"import sys; print('started', flush=True); sys.exit({code})"
        self.keeper = ForwarderKeeper(
            [sys.executable, "-c", child], self.log, lambda: self.waiting, monotonic=lambda: self.now
        )

    def round(self) -> None:
        """Start the child and see it end."""
        self.keeper.tick()
        child = self.keeper._child
        if child is not None:
            child.wait(20)

    @property
    def starts(self) -> int:
        return self.log.read_text().count("started") if self.log.exists() else 0


def test_no_forwarder_runs_while_nothing_waits(state: Path) -> None:
    keeper = Keeper(state, 0)
    keeper.waiting = False
    keeper.round()
    assert keeper.starts == 0


def test_a_forwarder_that_ended_well_is_started_again_when_something_waits(state: Path) -> None:
    keeper = Keeper(state, 0)
    keeper.round()
    keeper.round()
    assert keeper.starts == 2


def test_a_forwarder_that_fails_is_started_again_ever_more_rarely(state: Path) -> None:
    keeper = Keeper(state, 1)
    for now, starts in ((0, 1), (1, 1), (FIRST_BACKOFF_SECONDS, 1), (2 * FIRST_BACKOFF_SECONDS, 2)):
        keeper.now = float(now)
        keeper.round()
        assert keeper.starts == starts, now
    keeper.now += FIRST_BACKOFF_SECONDS
    keeper.round()
    assert keeper.starts == 2


def test_stopping_ends_the_forwarder(state: Path) -> None:
    argv = [sys.executable, "-c", "import time; time.sleep(60)"]
    keeper = ForwarderKeeper(argv, state / "log", lambda: True)
    keeper.tick()
    child = keeper._child
    assert child is not None
    keeper.stop()
    assert child.poll() is not None

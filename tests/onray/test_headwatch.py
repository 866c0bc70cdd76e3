"""Who dies with the head of a Ray cluster has said of what."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.onray import headwatch
from orchestrator.onray.headwatch import HeadWatch, Will
from orchestrator.rundir.layout import RunDirectory
from orchestrator.runtime.markers import read_will


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def head(port: int = 0) -> Iterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", port)) as server:
        yield server.getsockname()


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


@pytest.fixture
def lost() -> list[str]:
    return []


@pytest.fixture
def watch(run: RunDirectory, lost: list[str]) -> Iterator[Callable[[tuple[str, int]], HeadWatch]]:
    made: list[HeadWatch] = []

    def make(address: tuple[str, int]) -> HeadWatch:
        made.append(HeadWatch(f"{address[0]}:{address[1]}", lost.append, Will(run, 0)))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_while_the_head_is_away_and_soon_after_it_is_to_blame(
    run: RunDirectory,
    lost: list[str],
    watch: Callable[[tuple[str, int]], HeadWatch],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with head() as address:
        seen = watch(address)
        time.sleep(0.3)
        assert (seen.doubtful, read_will(run, 0)) == (False, None)
    until(lambda: seen.doubtful)
    until(lambda: read_will(run, 0) is not None)
    marker = read_will(run, 0)
    assert marker is not None
    assert (marker.outcome, marker.failure_class) == ("failed", "infrastructure")
    with head(address[1]):
        until(lambda: seen._silent_since is None)
        assert (seen.doubtful, read_will(run, 0)) == (True, marker), "another head may have answered"
        monkeypatch.setattr(headwatch.time, "monotonic", lambda now=time.monotonic: now() + 31)
        until(lambda: read_will(run, 0) is None)
    assert lost == []


def test_a_head_that_does_not_come_back_is_given_up(
    lost: list[str], watch: Callable[[tuple[str, int]], HeadWatch], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headwatch, "_PATIENCE_SECONDS", 0.5)
    with head() as address:
        watch(address)
    until(lambda: lost == ["head"])


def test_who_ends_in_good_order_leaves_no_will(
    run: RunDirectory, watch: Callable[[tuple[str, int]], HeadWatch]
) -> None:
    with head() as address:
        seen = watch(address)
    until(lambda: read_will(run, 0) is not None)
    seen.close()
    assert read_will(run, 0) is None

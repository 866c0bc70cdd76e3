"""Lives of a server that SIGKILL ends at a named point, and the same lives again on what it left."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from orchestrator.testing.world import World


class Probes:
    """Names the points where a server can be killed, and kills it at one of them.

    Args:
        kill_at: number of that point, counted from 1.
    """

    def __init__(self, kill_at: int | None = None) -> None:
        self.names: list[str] = []
        self._kill_at = kill_at

    def __call__(self, name: str) -> None:
        self.names.append(name)
        if len(self.names) == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


Life = Callable[[Path, Probes], World]
"""All that people and a server do in a folder; people ask again for what they had asked an earlier server."""
Check = Callable[[World], None]
"""That everything is as it has to be where the life was not disturbed; it may close the store."""


def is_killed(life: Life, root: Path, kill_at: int) -> bool:
    """Whether the life was ended by SIGKILL; it is a real process, and dies a real death."""
    child = os.fork()
    if child == 0:
        try:
            life(root, Probes(kill_at))
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def survive(life: Life, check: Check, template: Path, folder: Path, *, begin: str | None = None) -> list[str]:
    """Check a life that nobody disturbs, then lives that are killed at points of it and lived again.

    Args:
        life: that is lived.
        check: of its end.
        template: what every life begins on.
        folder: for the lives.
        begin: the point from which on CI takes a closer look.

    Returns:
        The points of the undisturbed life.
    """
    probes = Probes()
    check(life(Path(shutil.copytree(template, folder / "whole")), probes))
    for point in points_of(probes.names, begin):
        root = Path(shutil.copytree(template, folder / str(point)))
        assert is_killed(life, root, point), f"not killed at {probes.names[point - 1]} ({point})"
        check(life(root, Probes()))
        shutil.rmtree(root)
    return probes.names


def points_of(names: list[str], begin: str | None) -> list[int]:
    """Every point with ORCHESTRATOR_TEST_FULL; else every 30th, and those of interest.

    Of interest are ten from the first `begin` on; without that the first two of each name.
    """
    everything = range(1, len(names) + 1)
    if os.environ.get("ORCHESTRATOR_TEST_FULL"):
        return list(everything)
    if begin is None:
        return [n for n in everything if n % 30 == 0 or names[:n].count(names[n - 1]) <= 2]
    first = names.index(begin) + 1
    return [n for n in everything if n % 30 == 0 or first <= n < first + 10]


def until_it_runs(world: World, job: str) -> None:
    """Steps until a job has been started, or for a while."""
    for _ in range(6):
        if world.state(job) not in {"queued", "starting"}:
            return
        world.step()


def until_it_is_claimed_for(world: World, job: str) -> None:
    """Steps until slots are being freed for a job that waits, or it waits no more."""
    while world.state(job) == "queued" and world.record(job).claim is None:
        world.step()

"""A Ray that does not start at once; it is pretended."""

import subprocess
import sys
from types import SimpleNamespace

import psutil
import pytest

from orchestrator.base.errors import TimedOut
from orchestrator.onray import private


class Ray(SimpleNamespace):
    """So many attempts leave a process behind and fail."""

    def __init__(self, failing: int) -> None:
        self.failing = failing
        self.left: list[subprocess.Popen[bytes]] = []

    def init(self, **options: object) -> None:
        self.left.append(subprocess.Popen(["sleep", "600"]))
        if len(self.left) <= self.failing:
            raise RuntimeError("The current node timed out during startup.")

    def shutdown(self) -> None:
        pass


@pytest.fixture
def other() -> "subprocess.Popen[bytes]":
    """A process of this one that Ray has nothing to do with."""
    return subprocess.Popen(["sleep", "600"])


def test_a_ray_that_does_not_start_is_tried_again_and_nothing_of_the_attempt_is_left(
    monkeypatch: pytest.MonkeyPatch, other: "subprocess.Popen[bytes]"
) -> None:
    ray = Ray(failing=2)
    monkeypatch.setitem(sys.modules, "ray", ray)
    try:
        private._start(num_cpus=1)
        assert [process.poll() is None for process in (other, *ray.left)] == [True, False, False, True]
    finally:
        for process in (other, *ray.left):
            process.kill()
            process.wait()


def test_a_ray_that_never_starts_ends_the_run_in_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = Ray(failing=99)
    monkeypatch.setitem(sys.modules, "ray", ray)
    with pytest.raises(TimedOut, match="Ray did not start on this node: The current node timed out"):
        private._start(num_cpus=1)
    assert [psutil.pid_exists(process.pid) for process in ray.left] == [False] * 3

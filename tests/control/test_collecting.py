"""The loop makes full collections of garbage between two passes, and not after each."""

import gc
import threading
from pathlib import Path

import pytest

from orchestrator.control.loop import COLLECT_SECONDS
from orchestrator.testing.world import World


def test_garbage_is_collected_between_two_passes_once_it_is_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, stopping = World(tmp_path, slots=1), threading.Event()
    told: list[str] = []

    def step() -> float:
        told.append("pass")
        world.clock.advance(COLLECT_SECONDS * 0.4)
        if told.count("pass") == 5:
            stopping.set()
        return 0.0

    monkeypatch.setattr(world.controller, "step", step)
    monkeypatch.setattr(gc, "collect", lambda: told.append("collection"))
    world.controller.run(stopping)
    assert told == ["pass", "pass", "pass", "collection", "pass", "pass"]

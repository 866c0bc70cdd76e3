"""Makes the kits importable by their tests; a store that was made once, and a check of every decision."""

import sys
from pathlib import Path

import pytest

from orchestrator.control.mirror import Mirror
from orchestrator.scheduling import fold
from orchestrator.scheduling.decisions import Decisions
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.testing.world import World

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a world in which nothing has happened; to be copied."""
    root = tmp_path_factory.mktemp("template")
    World(root).store.close()
    return root


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A controller, a store and an engine in this process, on a clock that the test moves."""
    return World(tmp_path)


@pytest.fixture
def held_decisions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every decision is held against the one that is made from nothing."""
    original = Mirror.decide

    def decide(self: Mirror, snapshot: Snapshot) -> Decisions:
        found = original(self, snapshot)
        assert found == fold.decide(snapshot, self._policy)
        return found

    monkeypatch.setattr(Mirror, "decide", decide)

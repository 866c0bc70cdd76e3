"""Makes the kit of the crash tests importable by them, and a store that was made once."""

import sys
from pathlib import Path

import pytest

from orchestrator.testing.world import World

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a world in which nothing has happened; to be copied."""
    root = tmp_path_factory.mktemp("template")
    World(root).store.close()
    return root

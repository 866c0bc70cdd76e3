"""Makes the toy task and the pool of workers importable by these tests."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from elastic_pool import Pool


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    """Processes for one training of several workers after another."""
    found = Pool()
    yield found
    found.close()

"""A dashboard that behaves as Ray's does, and a backend that talks to it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # makes the kit importable by the tests

from ray_kit import FakeRay, Site


@pytest.fixture(scope="module")
def dashboard() -> Iterator[FakeRay]:
    """One for a file; each test finds it empty."""
    made = FakeRay()
    yield made
    made.close()


@pytest.fixture
def ray(dashboard: FakeRay) -> Iterator[FakeRay]:
    """Without jobs, faults or memory of other tests."""
    dashboard.reset()
    yield dashboard
    dashboard.reset()


@pytest.fixture
def site(ray: FakeRay, tmp_path: Path) -> Iterator[Site]:
    """A server's backend on it."""
    made = Site(ray, tmp_path)
    yield made
    made.close()

"""A job whose metrics are spooled and replayed."""

from pathlib import Path

import pytest

from orchestrator.rundir.layout import JobDirectory


@pytest.fixture
def job(tmp_path: Path) -> JobDirectory:
    directory = JobDirectory.under(tmp_path, "job-1")
    directory.create()
    return directory

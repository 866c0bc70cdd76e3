"""Workloads in files, such as those that come with the package, as tests of what follows from them need them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from orchestrator.spec.load import parse_workload
from orchestrator.spec.source import read_document
from orchestrator.spec.workload import Workload


def workload_in(path: Path, overrides: Sequence[str] = ()) -> Workload:
    """The workload in a file, read as the commands do it.

    Args:
        path: the file.
        overrides: texts such as `optim.lr=0.1`.

    Raises:
        UsageError: the file cannot be read.
        SpecError: the workload is wrong; the message says everything that is.
    """
    return parse_workload(read_document(path), str(path), overrides)

"""How documents become workloads and back; tests put their own functions in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from orchestrator.backends.protocol import Capacity
from orchestrator.planning.check import check_submission
from orchestrator.spec.load import freeze_workload, parse_workload, thaw_workload
from orchestrator.spec.profile import ClusterProfile
from orchestrator.spec.workload import Workload

_THAWED = 256
"""Workloads that are remembered."""


class Check(Protocol):
    """Refuses what can never run; returns warnings."""

    def __call__(
        self, workload: Workload, profile: ClusterProfile, capacity: Capacity, *, workdir: Path, state_dir: Path
    ) -> list[str]:
        """See `planning.check.check_submission`."""
        ...


@dataclass(frozen=True)
class Workloads:
    """The functions that know documents.

    Attributes:
        parse: (text, file name, overrides) to a workload; raises SpecError.
        check: refuses what the cluster can never run.
        freeze: a workload as the text of `spec.yaml`.
        thaw: the inverse.
    """

    parse: Callable[[str, str, Sequence[str]], Workload]
    check: Check
    freeze: Callable[[Workload], str]
    thaw: Callable[[str], Workload]

    @classmethod
    def standard(cls) -> Workloads:
        """Those of `spec.load` and `planning.check`."""
        # Shared between threads, and only read: what a run is made of is asked for more than once, and a copy of one
        # costs as much as reading it anew.
        return cls(parse_workload, check_submission, freeze_workload, lru_cache(_THAWED)(thaw_workload))

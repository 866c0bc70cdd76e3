"""Small searches for tests of engines, and what they find."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml

from orchestrator.base.paths import bundled
from orchestrator.rundir.layout import RunDirectory
from orchestrator.search.records import TrialRecord, TrialRecords
from orchestrator.testing.lab import Lab

FoundHere = Callable[[dict[str, Any]], list[Any]]


def sweep(engine: str, epochs: int = 1, **search: Any) -> dict[str, Any]:
    """Two trials of the sweep that comes with the package, on two workers, each of which takes a node."""
    document: dict[str, Any] = yaml.safe_load((bundled("workloads") / "regnet_sweep.yaml").read_text())
    return document | {
        "search": document["search"] | {"engine": engine, "trials": 2, "bootstrap": 0} | search,
        "optim": document["optim"] | {"weight_decay": 5e-4},  # text to YAML 1.1
        "train": document["train"] | {"epochs": epochs},
        "resources": {"workers": 2, "cpus_per_worker": 4, "memory_per_worker": "8GiB"},
        "env": {"OMP_NUM_THREADS": "1"},
        "retry": {"application": 0, "backoff": "1s"},
    }


def trials(lab: Lab, job: str) -> list[TrialRecord]:
    """The records of a search."""
    return list(TrialRecords(last_run(lab, job).job, 1).load().values())


def results(lab: Lab, job: str) -> list[Any]:
    """What a search has found, as JSON values."""
    return [[t.index, t.state, t.seed, dict(t.parameters), dict(t.metrics)] for t in trials(lab, job)]


def last_run(lab: Lab, job: str) -> RunDirectory:
    """One that reaches the time limit that is estimated for a quiet machine is followed by another."""
    return lab.run(job, len(lab.job(job).runs))


def log(lab: Lab, job: str, name: str) -> str:
    """One log of its newest run."""
    return (last_run(lab, job).logs / f"{name}.log").read_text()


def logs(lab: Lab, job: str) -> str:
    """All logs of all of its runs."""
    files = sorted(last_run(lab, job).job.path.glob("runs/*/logs/*.log"))
    return "\n".join(f"{path.parent.parent.name} {path.name}:\n{path.read_text()}" for path in files)

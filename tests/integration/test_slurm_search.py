"""Searches on a real Slurm: on Ray over several nodes of one allocation, and without Ray as one array of jobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.base.paths import bundled
from orchestrator.base.process import processes_with_environment
from orchestrator.base.slots import SLOTS_VARIABLE
from orchestrator.rundir.allocations import MARK
from orchestrator.rundir.layout import RunDirectory
from orchestrator.search.records import TrialRecord, TrialRecords
from orchestrator.testing.dev_cluster import DevCluster
from orchestrator.testing.lab import Lab

pytestmark = [pytest.mark.slow, pytest.mark.slurm, pytest.mark.ray, pytest.mark.timeout(900)]

SLURM = {"partition": "batch", "look_every": 0.5, "warn_before": 30.0}


@pytest.fixture
def lab(slurm: DevCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path))
    made = Lab.on_slurm(tmp_path, SLURM)
    yield made
    made.close()


def sweep(engine: str, epochs: int = 1) -> dict[str, Any]:
    """Two trials of the sweep that comes with the package, on two workers, each of which takes a node."""
    document: dict[str, Any] = yaml.safe_load((bundled("workloads") / "regnet_sweep.yaml").read_text())
    return document | {
        "search": document["search"] | {"engine": engine, "trials": 2, "bootstrap": 0},
        "optim": document["optim"] | {"weight_decay": 5e-4},  # text to YAML 1.1
        "train": document["train"] | {"epochs": epochs},
        "resources": {"workers": 2, "cpus_per_worker": 4, "memory_per_worker": "8GiB"},
        "env": {"OMP_NUM_THREADS": "1"},
        "retry": {"application": 0},
    }


def trials(lab: Lab, job: str) -> list[TrialRecord]:
    return list(TrialRecords(last_run(lab, job).job, 1).load().values())


def results(lab: Lab, job: str) -> list[tuple[object, ...]]:
    return [(t.index, t.state, t.seed, t.parameters, t.metrics) for t in trials(lab, job)]


def last_run(lab: Lab, job: str) -> RunDirectory:
    """One that reaches the time limit that is estimated for a quiet machine is followed by another."""
    return lab.run(job, len(lab.job(job).runs))


def log(lab: Lab, job: str, name: str) -> str:
    return (last_run(lab, job).logs / f"{name}.log").read_text()


def logs(lab: Lab, job: str) -> str:
    files = sorted(last_run(lab, job).job.path.glob("runs/*/logs/*.log"))
    return "\n".join(f"{path.parent.parent.name} {path.name}:\n{path.read_text()}" for path in files)


def test_a_search_on_ray_over_two_nodes_one_as_an_array_and_one_on_this_machine_find_the_same(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_ray = lab.submit(sweep("ray"))
    lab.finish()
    assert lab.job(on_ray).state == "succeeded", logs(lab, on_ray)
    assert "joining Ray at" in log(lab, on_ray, "rank-1")
    assert "the search is over" in log(lab, on_ray, "rank-1")

    array = lab.submit(sweep("array"))
    lab.finish()
    assert lab.job(array).state == "succeeded", logs(lab, array)
    assert [state for _, state, *_ in results(lab, array)] == ["succeeded"] * 2
    assert results(lab, array) == results(lab, on_ray)
    assert not any(
        processes_with_environment(MARK, f"{last_run(lab, job).run}.{agent}")
        for job in (on_ray, array)
        for agent in (0, 1)
    )

    monkeypatch.setenv(SLOTS_VARIABLE, str(tmp_path / "slots"))
    local = Lab(tmp_path / "local", cores=8)
    here = local.submit(sweep("array"))
    local.finish()
    found = results(local, here)
    local.close()
    assert found == results(lab, array)


def test_a_task_of_an_array_whose_node_is_lost_leaves_its_trial_to_the_others(lab: Lab, slurm: DevCluster) -> None:
    array = lab.submit(sweep("array", epochs=4))
    lab.until(lambda: sum(trial.state == "running" for trial in trials(lab, array)) == 2)
    slurm.kill_node_noticed(next(name for name, state in slurm.states().items() if state.startswith("alloc")))
    lab.finish()
    assert lab.job(array).state == "succeeded", logs(lab, array)
    assert [trial.state for trial in trials(lab, array)] == ["succeeded"] * 2
    assert "is tried again: its worker was lost" in logs(lab, array)

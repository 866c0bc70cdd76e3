"""Searches on a real Slurm: on Ray over several nodes of one allocation, and without Ray as one array of jobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from search_kit import FoundHere, last_run, log, logs, results, sweep, trials

from orchestrator.base.process import processes_with_environment
from orchestrator.rundir.allocations import MARK
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


def test_a_search_on_ray_over_two_nodes_one_as_an_array_and_one_on_this_machine_find_the_same(
    lab: Lab, found_here: FoundHere
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

    assert results(lab, array) == found_here(sweep("array"))


def test_a_task_of_an_array_whose_node_is_lost_leaves_its_trial_to_the_others(lab: Lab, slurm: DevCluster) -> None:
    array = lab.submit(sweep("array", epochs=4))
    lab.until(lambda: sum(trial.state == "running" for trial in trials(lab, array)) == 2)
    slurm.kill_node_noticed(next(name for name, state in slurm.states().items() if state.startswith("alloc")))
    lab.finish()
    assert lab.job(array).state == "succeeded", logs(lab, array)
    assert [trial.state for trial in trials(lab, array)] == ["succeeded"] * 2
    assert "is tried again: its worker was lost" in logs(lab, array)

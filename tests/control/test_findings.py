"""What `results` tells of a search while it runs, and of one that ended."""

import json
import math
from typing import Any

import pytest

from orchestrator.spec.messages import SearchView
from orchestrator.testing.world import World

SEARCH = {
    "model": {"family": "regnetx", "stem": "cifar", "stem_width": 16},
    "search": {
        "trials": 6,
        "space": {"depth": "4..12", "w0": "16..64", "wa": "8..64", "wm": "2..3", "group_width": "8..32"},
    },
}
ERRORS = [(0.3, 10), (0.1, 30), (0.2, 20), (0.2, 40)]
"""Error and flops of trials; the last is worse than the one before."""


def write_trial(world: World, job: str, index: int, state: str, **more: Any) -> None:
    folder = world.job_directory(job).trials
    folder.mkdir(parents=True, exist_ok=True)
    record = {"index": index, "state": state, "parameters": {"depth": index}, "seed": 2**62 + index, **more}
    (folder / f"{index:05d}.json").write_text(json.dumps(record))


def measure(world: World, job: str, index: int, state: str = "succeeded") -> None:
    error, flops = ERRORS[index]
    write_trial(world, job, index, state, metrics={"val_error": error}, complexity={"flops": flops, "params": 1})


def found_by(world: World, job: str) -> SearchView:
    found = world.service.results(job).search
    assert found is not None
    return found


@pytest.fixture
def search(world: World) -> str:
    """A search that runs for long, and tells of none of its trials."""
    job = world.train("start", *["wait"] * 50, workers="1", **SEARCH)
    world.step(3)
    assert world.state(job) == "running"
    return job


def test_of_a_search_that_runs_its_trials_are_told_as_they_are_now(world: World, search: str) -> None:
    assert found_by(world, search).missing == 6
    for index in range(4):
        measure(world, search, index)
    write_trial(world, search, 4, "running", metrics={"val_error": 0.01})
    results = world.service.results(search)
    assert [trial.state for trial in results.trials] == ["succeeded"] * 4 + ["running"]
    assert [trial.seed for trial in results.trials] == [2**62 + index for index in range(5)]
    found = found_by(world, search)
    assert (found.total, found.missing, found.states) == (6, 2, {"succeeded": 4, "running": 1})
    assert (found.best, found.caveat) == (1, "")
    assert found.fronts == {"flops": [0, 2, 1], "params": [1]}
    assert found.edf is not None
    assert (found.edf.models, found.edf.min, found.edf.median, found.edf.max) == (4, 0.1, pytest.approx(0.2), 0.3)
    assert [(below.error, below.models) for below in found.edf.below] == [
        (0.15, 1),
        (0.2, 1),
        (0.25, 3),
        (0.3, 3),
        (0.35, 4),
    ]


def test_what_trials_said_last_is_kept_where_their_files_are_gone(world: World) -> None:
    job = world.train("start", "trial:0", "succeed", workers="1", **SEARCH)
    world.finish()
    for path in world.job_directory(job).trials.iterdir():
        path.unlink()
    assert found_by(world, job).states == {"succeeded": 1}


def test_a_scheduler_that_ends_trials_early_is_a_caveat(world: World) -> None:
    early = SEARCH["search"] | {"scheduler": {"type": "asha"}}
    job = world.train("start", *["wait"] * 9, workers="1", **(SEARCH | {"search": early}))
    world.step(3)
    measure(world, job, 0)
    measure(world, job, 1, "stopped")
    found = found_by(world, job)
    assert not found.equal_budgets
    assert found.caveat.startswith("unequal budgets (asha)")
    assert found.best == 0  # a trial that was ended early is on the front, and never the best
    assert found.fronts["flops"] == [0, 1]


def test_a_population_of_one_model_has_no_front_and_a_caveat(world: World) -> None:
    pbt = SEARCH | {
        "model": {"depth": 4, "w0": 16, "wa": 8, "wm": 2, "group_width": 8},
        "search": {"trials": 2, "scheduler": {"type": "pbt", "vary": {"lr": "0.01..1"}}},
    }
    job = world.train("start", *["wait"] * 9, workers="1", **pbt)
    world.step(3)
    measure(world, job, 0)
    found = found_by(world, job)
    assert found.caveat.startswith("one model, trials that copy each other (pbt)")
    assert (found.best, found.equal_budgets, found.fronts) == (0, True, {})


def test_a_trial_whose_numbers_are_none_harms_no_other(world: World, search: str) -> None:
    measure(world, search, 0)
    write_trial(world, search, 1, "succeeded", metrics={"val_error": math.nan, "val_loss": 2}, complexity={"flops": 1})
    write_trial(world, search, 2, "succeeded", metrics=[1])
    (world.job_directory(search).trials / "00003.json").write_text('{"state":')
    results = world.service.results(search)
    assert [trial.index for trial in results.trials] == [0, 1, 2]
    assert results.trials[1].metrics == {"val_loss": 2}
    assert "cannot be read" in results.trials[2].message
    assert found_by(world, search).fronts["flops"] == [0]


def test_models_that_are_no_plain_sample_are_a_caveat(world: World) -> None:
    job = world.train("start", workers="1", **(SEARCH | {"search": SEARCH["search"] | {"sampler": "tpe"}}))
    assert found_by(world, job).caveat == "models chosen by tpe: no EDF of the paper's kind"


@pytest.mark.parametrize("kind", ["submit", "train"])
def test_what_is_no_search_has_no_such_findings(world: World, kind: str) -> None:
    job = world.submit() if kind == "submit" else world.train("start", "succeed")
    assert world.service.results(job).search is None

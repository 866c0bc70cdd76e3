from dataclasses import replace

import pytest

from orchestrator.base.errors import Conflict, Fenced, NotFound
from orchestrator.blueprint.workload import population_of
from orchestrator.rundir.fence import raise_fence
from orchestrator.rundir.layout import JobDirectory
from orchestrator.search.population import fresh_trials, parameters_of_trial, resumed_trials, trial_seed
from orchestrator.search.records import TrialRecord, TrialRecords, trial_file
from orchestrator.spec.messages import TrialView
from orchestrator.spec.regnet import RegNetWorkload


def test_the_same_seed_samples_the_same_trials(
    workload: RegNetWorkload, job: JobDirectory, trials: tuple[TrialRecord, ...]
) -> None:
    again = fresh_trials(population_of(workload, in_channels=1, num_classes=10), workload, job)
    assert again == trials
    assert len({trial.seed for trial in trials}) == 3


def test_trial_seeds_fit_a_workload_and_are_pinned() -> None:
    assert trial_seed(1, 0) == trial_seed(1, 0)
    assert trial_seed(1, 0) != trial_seed(2, 0)
    assert all(0 <= trial_seed(1, index) < 2**63 for index in range(1000))


def test_a_trial_rebuilds_its_model_from_record_and_workload(
    workload: RegNetWorkload, trials: tuple[TrialRecord, ...]
) -> None:
    designs = population_of(workload, in_channels=1, num_classes=10).designs
    assert [parameters_of_trial(trial, workload.model) for trial in trials] == [d.parameters for d in designs]


def test_records_are_read_back_as_they_were_written(job: JobDirectory, trials: tuple[TrialRecord, ...]) -> None:
    records = TrialRecords(job, 1)
    records.save_all(trials)
    assert tuple(records.load().values()) == trials
    assert records.load_one(2) == trials[2]


def test_a_record_is_what_the_api_shows(job: JobDirectory, trials: tuple[TrialRecord, ...]) -> None:
    TrialRecords(job, 1).save(replace(trials[1], metrics={"val_error": 0.25}))
    view = TrialView.model_validate_json(trial_file(job, 1).read_text())
    assert (view.index, view.state, view.metrics) == (1, "pending", {"val_error": 0.25})


def test_a_damaged_record_counts_as_absent(job: JobDirectory, trials: tuple[TrialRecord, ...]) -> None:
    records = TrialRecords(job, 1)
    records.save_all(trials)
    trial_file(job, 0).write_text("{")
    trial_file(job, 1).write_text('{"index": 1}')
    assert list(records.load()) == [2]
    with pytest.raises(NotFound):
        records.load_one(0)


def test_a_fenced_driver_writes_no_record(job: JobDirectory, trials: tuple[TrialRecord, ...]) -> None:
    raise_fence(job, 2)
    with pytest.raises(Fenced):
        TrialRecords(job, 1).save(trials[0])


def test_a_restart_keeps_what_is_over_and_runs_the_rest_again(trials: tuple[TrialRecord, ...]) -> None:
    kept = {
        0: replace(trials[0], state="succeeded", metrics={"val_error": 0.1}),
        1: replace(trials[1], state="running", epochs=2, samples=200),
        2: replace(trials[2], state="failed", message="broke", attempts=3),
    }
    resumed = resumed_trials(trials, kept)
    assert [trial.state for trial in resumed] == ["succeeded", "pending", "pending"]
    assert resumed[0] == kept[0]
    assert (resumed[1].epochs, resumed[2].attempts, resumed[2].message) == (2, 3, "")


def test_records_of_another_population_are_refused(trials: tuple[TrialRecord, ...]) -> None:
    with pytest.raises(Conflict, match="trial 1"):
        resumed_trials(trials, {1: replace(trials[1], seed=7)})

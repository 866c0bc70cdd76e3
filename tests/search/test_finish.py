import csv
import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from orchestrator.blueprint.outcome import choose_best
from orchestrator.recipes.ending import Ending
from orchestrator.rundir.layout import JobDirectory
from orchestrator.runtime.context import RunContext
from orchestrator.runtime.durable import DurableEvents
from orchestrator.search.finish import Origin, publish
from orchestrator.search.records import Generation, TrialRecord, TrialRecords
from orchestrator.search.setting import Setting
from orchestrator.search.trialprocess import TrialProcess
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.spec.search import TrialScheduler
from orchestrator.tracking.protocol import Discard

ORIGIN = Origin(40, {"invalid": 37}, "digits", "abc", {"train": 100, "validation": 40, "test": 40})


def finished(trials: tuple[TrialRecord, ...], errors: list[float]) -> list[TrialRecord]:
    return [
        replace(trial, state="succeeded", metrics={"val_error": error}, epochs=4)
        for trial, error in zip(trials, errors, strict=True)
    ]


def test_the_lowest_validation_error_wins(trials: tuple[TrialRecord, ...]) -> None:
    best = choose_best(finished(trials, [0.3, 0.1, 0.2]))
    assert best is not None
    assert best.index == 1


def test_of_equal_errors_the_one_with_fewer_flops_wins_then_the_earlier_one(trials: tuple[TrialRecord, ...]) -> None:
    equal = finished(trials, [0.1, 0.1, 0.1])
    costs = [{"flops": 5}, {"flops": 3}, {"flops": 3}]
    best = choose_best([replace(t, complexity=c) for t, c in zip(equal, costs, strict=True)])
    assert best is not None
    assert best.index == 1


def test_trials_that_did_not_finish_are_no_candidates(trials: tuple[TrialRecord, ...]) -> None:
    early = [replace(t, state="stopped") for t in finished(trials, [0.3, 0.1, 0.2])]
    assert choose_best(early) is None


def test_results_are_files_for_people(
    job: JobDirectory, workload: RegNetWorkload, trials: tuple[TrialRecord, ...]
) -> None:
    asked = []

    def evaluate(record: TrialRecord) -> Mapping[str, float]:
        asked.append(record.index)
        return {"loss": 0.5, "error": 0.04}

    ended = finished(trials, [0.3, 0.1, 0.2])
    found = publish(job, workload, ended, ended[1], ORIGIN, evaluate)
    summary = json.loads((job.results / "summary.json").read_text())
    assert asked == [1]
    assert summary["best"]["index"] == 1
    assert summary["best"]["val_error"] == 0.1
    assert summary["best"]["test_accuracy"] == pytest.approx(0.96)
    assert summary["trials"] == {"total": 3, "succeeded": 3}
    assert summary["edf"]["median"] == 0.2
    assert summary["population"] == {"draws": 40, "rejected": {"invalid": 37}}
    assert summary["dataset"] == {"name": "digits", "version": "abc", "splits": ORIGIN.splits}
    names = {path.name for path in found.files}
    assert {"edf.png", "edf.csv", "trials.csv", "summary.json", "error_vs_depth.png", "error_vs_flops.png"} <= names
    assert {"pareto_flops.png", "pareto_activations.png"} <= names
    assert all(path.read_bytes() for path in found.files)
    assert (job.results / "edf.png").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader((job.results / "trials.csv").open()))
    assert [row["val_error"] for row in rows] == ["0.3", "0.1", "0.2"]


def test_the_summary_holds_the_pareto_fronts(
    job: JobDirectory, workload: RegNetWorkload, trials: tuple[TrialRecord, ...]
) -> None:
    costs = [{"flops": 3, "params": 1}, {"flops": 2, "params": 2}, {"flops": 1, "params": 3}]
    ended = [replace(t, complexity=c) for t, c in zip(finished(trials, [0.2, 0.1, 0.3]), costs, strict=True)]
    found = publish(job, workload, ended, ended[1], ORIGIN, no_test).summary["pareto"]
    assert found == {
        "flops": [{"index": 2, "flops": 1, "val_error": 0.3}, {"index": 1, "flops": 2, "val_error": 0.1}],
        "params": [{"index": 0, "params": 1, "val_error": 0.2}, {"index": 1, "params": 2, "val_error": 0.1}],
    }


def test_the_table_of_trials_holds_no_formula(
    job: JobDirectory, workload: RegNetWorkload, trials: tuple[TrialRecord, ...]
) -> None:
    ended = finished(trials, [0.3, 0.1, 0.2])
    broken = [*ended[:2], replace(ended[2], state="failed", message="=cmd()")]
    publish(job, workload, broken, ended[1], ORIGIN, no_test)
    assert [row["message"] for row in csv.DictReader((job.results / "trials.csv").open())] == ["", "", "'=cmd()"]


def test_the_same_results_make_the_same_plots(
    job: JobDirectory, workload: RegNetWorkload, trials: tuple[TrialRecord, ...]
) -> None:
    ended = finished(trials, [0.3, 0.1, 0.2])
    first, second = (
        [path.read_bytes() for path in publish(job, workload, ended, ended[1], ORIGIN, no_test).files] for _ in range(2)
    )
    assert first == second


def no_test(_: TrialRecord) -> Mapping[str, float]:
    return {"loss": 0.0, "error": 0.0}


def test_a_population_of_one_model_is_told_by_what_varied_and_the_best_by_its_descent(
    job: JobDirectory, workload: RegNetWorkload, trials: tuple[TrialRecord, ...]
) -> None:
    assert workload.search is not None
    pbt = TrialScheduler.model_validate({"type": "pbt", "vary": {"lr": "0.01..1"}})
    search = workload.search.model_copy(update={"scheduler": pbt})
    # Trial 1 copied trial 0 after epoch 1 and stayed as it was after epoch 2; trial 0 changed nothing.
    lines = ([(1, 0), (2, 0)], [(1, 0), (2, 1)], [(1, 2), (2, 0)])
    rates = ([0.1, 0.1, 0.1], [0.9, 0.12, 0.12], [0.3, 0.3, 0.08])
    ended = [
        replace(
            trial,
            parameters={"lr": rate[-1]},
            lineage=tuple(
                Generation(at, 0.5, source, {"lr": lr}) for (at, source), lr in zip(line, rate, strict=False)
            ),
        )
        for trial, line, rate in zip(finished(trials, [0.3, 0.1, 0.2]), lines, rates, strict=True)
    ]
    publish(job, workload.model_copy(update={"search": search}), ended, ended[1], ORIGIN, lambda record: {})
    summary = json.loads((job.results / "summary.json").read_text())
    assert summary["best"]["lineage"] == [
        {"trial": 0, "to_epoch": 1, "parameters": {"lr": 0.1}},
        {"trial": 1, "to_epoch": 4, "parameters": {"lr": 0.12}},
    ]
    assert (list(summary["likely_best"]), summary["pareto"]) == (["lr"], {})
    assert {path.name for path in job.results.glob("*.png")} == {"edf.png", "error_vs_lr.png"}


BUDGET = "the budget of 1 core hours is used up"


def end_of(job: JobDirectory, workload: RegNetWorkload, trials: list[TrialRecord], why: str = BUDGET) -> Ending:
    run = job.run("job-1-r1")
    context = RunContext(0, 1, run, job, 1, DurableEvents(run, "rank-0", 1))
    setting = Setting(context, workload, Discard(), ORIGIN, TrialRecords(job, 1), tuple(trials), 100)
    return setting.finish(trials, TrialProcess(), why)


def test_a_search_whose_rule_ends_it_before_any_trial_finished_ends_with_what_it_has(
    job: JobDirectory, workload: RegNetWorkload, trials: tuple[TrialRecord, ...]
) -> None:
    cut = [replace(trial, state="stopped", message=BUDGET) for trial in trials]
    cut[1] = replace(cut[1], metrics={"val_error": 0.25}, epochs=3.0)
    ending = end_of(job, workload, cut)
    assert ending.outcome == "succeeded"
    assert ending.message == (
        f"none of 3 trials finished: {BUDGET}; the lowest val error is 0.2500, of trial 1 after 3 of 4 epochs"
    )
    summary = json.loads((job.results / "summary.json").read_text())
    assert (summary["trials"], "best" in summary) == ({"total": 3, "stopped": 3}, False)
    rows = list(csv.DictReader((job.results / "trials.csv").open()))
    assert [(row["val_error"], row["epochs"]) for row in rows] == [("", "0"), ("0.25", "3.0"), ("", "0")]


def test_a_search_that_has_found_nothing_says_so_and_is_not_run_again_where_a_rule_would_end_it_again(
    job: JobDirectory, workload: RegNetWorkload, trials: tuple[TrialRecord, ...]
) -> None:
    broken = replace(trials[0], state="failed", message="RuntimeError: no", failure_class="infrastructure")
    cut = [broken, *(replace(trial, state="stopped", message=BUDGET) for trial in trials[1:])]
    ending = end_of(job, workload, cut)
    assert (ending.outcome, ending.failure_class) == ("failed", "permanent")
    assert ending.message == f"none of 3 trials finished: {BUDGET}; 1 failed: RuntimeError: no"
    ending = end_of(job, workload, [replace(broken, index=trial.index) for trial in trials], why="")
    assert (ending.outcome, ending.failure_class) == ("failed", "infrastructure")
    assert ending.message == "none of 3 trials finished: RuntimeError: no"

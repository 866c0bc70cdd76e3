"""The main job, as `make demo` runs it: from YAML to EDF.

Fewer models and epochs by default; those of the demo, all 24, with ORCHESTRATOR_TEST_FULL=1.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.mlflow, pytest.mark.slow, pytest.mark.timeout(900)]

SWEEP = "workloads/regnet_sweep.yaml"
FULL = bool(os.environ.get("ORCHESTRATOR_TEST_FULL"))
TRIALS, EPOCHS = (24, 12) if FULL else (4, 6)
Answer = Callable[..., Any]


@pytest.fixture(scope="module")
def demo(orchestrator: Callable[..., Any], answer: Answer) -> dict[str, Any]:
    return _submitted(orchestrator, answer, *_size())


def _size(trials: int = TRIALS) -> tuple[str, ...]:
    return ("--set", f"search.trials={trials}", "--set", f"train.epochs={EPOCHS}")


def _submitted(orchestrator: Callable[..., Any], answer: Answer, *options: str) -> dict[str, Any]:
    job = orchestrator("submit", SWEEP, "--watch", *options).stdout.split()[0]
    return answer("results", job)


def _measured(results: dict[str, Any]) -> list[tuple[Any, ...]]:
    trials = sorted(results["trials"], key=lambda trial: trial["index"])
    return [(t["index"], t["parameters"], t["complexity"], t["metrics"]) for t in trials]


def test_all_models_of_the_plan_are_trained(demo: dict[str, Any], answer: Answer) -> None:
    planned = answer("plan", SWEEP, *_size())["population"]["members"]
    trained = sorted(demo["trials"], key=lambda t: t["index"])
    assert {t["state"] for t in trained} == {"succeeded"}
    assert [t["complexity"]["flops"] for t in trained] == [m["flops"] for m in planned]
    assert len(trained) == TRIALS


def test_the_chosen_model_is_better_than_95_percent_on_test_images(demo: dict[str, Any]) -> None:
    best = demo["summary"]["best"]
    assert best["val_error"] == min(t["metrics"]["val_error"] for t in demo["trials"])
    assert best["test_accuracy"] > 0.95


def test_it_leaves_plots_and_tables_for_people(demo: dict[str, Any]) -> None:
    files = {f["name"]: Path(f["path"]) for f in demo["files"]}
    assert {"edf.png", "edf.csv", "trials.csv", "summary.json", "error_vs_depth.png"} <= files.keys()
    assert {"pareto_flops.png", "pareto_activations.png"} <= files.keys()
    assert files["edf.png"].read_bytes().startswith(b"\x89PNG")
    assert len(files["trials.csv"].read_text().splitlines()) == TRIALS + 1


def test_mlflow_has_one_parent_and_a_finished_child_for_each_trial(demo: dict[str, Any]) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=demo["tracking"]["uri"])
    experiment = client.get_experiment_by_name("orchestrator")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=100)
    parents = [r for r in runs if "mlflow.parentRunId" not in r.data.tags]
    children = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == parents[0].info.run_id]
    assert (len(parents), len(children)) == (1, TRIALS)
    assert {r.info.status for r in runs} == {"FINISHED"}
    steps = [m.step for m in client.get_metric_history(children[0].info.run_id, "val_error")]
    assert steps == [1078 * epoch for epoch in range(1, EPOCHS + 1)]
    plots = client.list_artifacts(parents[0].info.run_id, "plots")
    assert {"edf.png", "pareto_flops.png"} <= {Path(f.path).name for f in plots}


@pytest.mark.full
def test_the_same_seed_gives_the_same_population_and_the_same_results(
    demo: dict[str, Any], orchestrator: Callable[..., Any], answer: Answer
) -> None:
    one_by_one = _submitted(orchestrator, answer, *_size(), "--set", "resources.workers=1")
    assert _measured(one_by_one) == _measured(demo)
    assert one_by_one["summary"]["best"] == demo["summary"]["best"]


def test_with_shuffled_labels_nothing_is_learned_and_without_much_is(
    demo: dict[str, Any], orchestrator: Callable[..., Any], answer: Answer
) -> None:
    guessed = _submitted(orchestrator, answer, *_size(1), "--set", "data.shuffle_labels=true")["summary"]["best"]
    (learned,) = [trial["metrics"] for trial in demo["trials"] if trial["index"] == guessed["index"]]
    assert learned["val_error"] < 0.1
    assert guessed["val_error"] > 0.8
    assert guessed["test_accuracy"] < 0.2

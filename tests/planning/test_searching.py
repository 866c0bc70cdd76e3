"""What the plan says of how a search goes about its population."""

import pytest

from orchestrator.base.paths import bundled
from orchestrator.blueprint.workload import known_population
from orchestrator.planning.searching import search_lines, search_plan
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.testing.workloads import workload_in

SWEEP = bundled("workloads") / "regnet_sweep.yaml"
GPU = ("resources.workers=2..4", "resources.cpus_per_worker=8", "resources.gpus_per_worker=1")


def said(*overrides: str) -> list[str]:
    workload = workload_in(SWEEP, overrides)
    assert isinstance(workload, RegNetWorkload)
    known = len(known_population(workload, in_channels=1, num_classes=10).designs)
    return [line.strip() for line in search_lines(search_plan(workload, known))]


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ((), "1..2 trials at once, each with 1 core"),
        (("search.concurrency=1",), "1 trial at once, each with 1 core"),
        (GPU, "2..4 trials at once, each with 8 cores and 1 GPU"),
        ((*GPU, "search.trial={cpus: 2, gpus: 0.5}"), "4..8 trials at once, each with 2 cores and 0.5 GPU"),
        ((*GPU, "resources.workers=3", "search.trial={cpus: 5, gpus: 0.5}"), "3..4 trials at once, each with 5 cores"),
        ((*GPU, "search.trial={cpus: 2, gpus: 0.25}", "search.trials=5"), "5 trials at once, each with 2 cores and"),
    ],
)
def test_a_plan_says_how_many_trials_run_at_once_and_what_each_has(overrides: tuple[str, ...], line: str) -> None:
    assert said(*overrides)[0].startswith(f"search     plain sampling; {line}")


def test_a_plan_says_where_cores_leave_gpus_idle() -> None:
    assert said(*GPU, "search.trial.gpus=0.25")[1:] == [
        "a worker has room for 4 trials by its GPUs, 1 by its cores (search.trial.cpus)"
    ]


def test_a_plan_says_what_is_not_known_before_tpe_suggests_it_and_what_that_depends_on() -> None:
    several, alone = said("search.sampler=tpe"), said("search.sampler=tpe", "search.concurrency=1")
    assert several[:2] == [
        "search     TPE (Optuna); 1..2 trials at once, each with 1 core",
        "14 further models as they are suggested, 24 in all",
    ]
    assert "the same seed gives the same result with concurrency: 1 and scheduler: none only" in several[2]
    assert alone[2] == "the same seed suggests the same models, for one trial runs at a time"


def test_a_plan_says_which_rules_end_a_search_early() -> None:
    assert said("search.stop={core_hours: 2.5, edf_settled: {distance: 0.1, last: 5}}")[1:] == [
        "ends early once its trials have used 2.5 core hours",
        "ends early once the last 5 models move the EDF by 0.1 or less (KS distance), after 50 models at the latest",
    ]


def test_a_plan_of_population_based_training_tells_its_generations() -> None:
    model = "model={depth: 4, w0: 16, wa: 8, wm: 2, group_width: 8}"
    pbt = "{type: pbt, interval_epochs: 5, vary: {lr: 0.01..1, weight_decay: 1e-5..1e-3}}"
    assert said(model, f"search={{trials: 8, scheduler: {pbt}}}")[1:] == [
        "population based training: 3 generations of 5 epochs; after each the worst 2 trials of 8 go on as copies of "
        "as many of the best",
        "all trials train the model of the section model; they differ in lr (0.01..1) and weight_decay (1e-05..0.001)",
    ]

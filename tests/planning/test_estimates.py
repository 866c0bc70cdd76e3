"""What a workload has to do, from its recipe, and what the plan says of how long that takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.backends.local import LocalBackend
from orchestrator.backends.protocol import Capacity, NodeFacts
from orchestrator.base.hardware import cpu_name
from orchestrator.base.paths import bundled
from orchestrator.blueprint.features import Features
from orchestrator.planning import estimate
from orchestrator.planning.dataset import dataset_facts
from orchestrator.planning.devices import device_of
from orchestrator.planning.document import PlanDocument
from orchestrator.planning.estimate import NO_HISTORY, History, estimate_of, trial_budget, work_of
from orchestrator.planning.estimate_plan import estimate_lines, estimate_plan, estimate_warnings
from orchestrator.planning.plan import make_plan
from orchestrator.planning.recorded import local_history, measurement_of
from orchestrator.scheduling.estimates.forecast import RunEstimate
from orchestrator.scheduling.estimates.history import Finished
from orchestrator.scheduling.estimates.measurement import Measurement
from orchestrator.spec.load import load_profile, parse_workload
from orchestrator.spec.profile import ClusterProfile
from orchestrator.spec.search import TrialScheduler
from orchestrator.spec.workload import Workload
from orchestrator.store.looks import MeasurementRecord
from orchestrator.testing.workloads import workload_in

SWEEP = bundled("workloads") / "regnet_sweep.yaml"
TRAINING = bundled("workloads") / "regnet_cifar10.yaml"
COMMAND = bundled("workloads") / "command.yaml"
FEATURES = Features("regnet", 7.1e6, 1.4e5, 2.6e5, 30, 3072, 32, 4)
MEASURED = Measurement("r1", "regnet", cpu_name(), FEATURES, 1, 50_000.0, 100.0, memory=9e8)


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., PlanDocument]:
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path / "state"))
    profile = load_profile(bundled("cluster") / "local.yaml")
    backend = LocalBackend(profile, state=tmp_path / "state", slots=tmp_path / "slots")

    def make(path: Path, *overrides: str, history: History = NO_HISTORY) -> PlanDocument:
        return make_plan(workload_in(path, overrides), profile, backend, workdir=tmp_path, history=history)

    return make


def work(path: Path, tmp_path: Path, *overrides: str):  # type: ignore[no-untyped-def]
    workload = workload_in(path, overrides)
    facts = dataset_facts(workload.data.dataset, workdir=tmp_path, state_dir=tmp_path)  # type: ignore[union-attr]
    return work_of(workload, facts)


def test_the_work_of_a_training_by_hand(tmp_path: Path) -> None:
    found = work(TRAINING, tmp_path, "train.epochs=10", "train.evaluate_every_epochs=4")
    [training] = found.trainings
    assert training.samples == 450_000
    assert training.evaluated == 3 * 5_000 + 10_000  # after epochs 4, 8 and 10; then the test split
    assert (found.workers_min, found.workers_max, found.search) == (1, 2, False)
    assert (training.features.inputs, training.features.virtual_workers) == (3 * 32 * 32, 4)


def test_a_training_that_ends_after_some_steps_has_less_to_do(tmp_path: Path) -> None:
    [training] = work(TRAINING, tmp_path, "train.epochs=10", "train.max_steps=352").trainings
    assert training.samples == 45_000
    assert training.evaluated == 5_000


def test_the_work_of_a_search_is_that_of_its_trials(tmp_path: Path) -> None:
    found = work(SWEEP, tmp_path)
    assert (found.trials, len(found.trainings), found.search, found.budget) == (24, 24, True, 1.0)
    assert len({training.features for training in found.trainings}) == 24
    few = work(SWEEP, tmp_path, "search.trials=10")
    assert few.trainings == found.trainings[:10]


def test_of_a_large_search_the_first_trials_stand_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = work(SWEEP, tmp_path)
    monkeypatch.setattr(estimate, "MOST_TRIALS", 5)
    found = work(SWEEP, tmp_path)
    assert (found.trials, found.trainings) == (24, whole.trainings[:5])


@pytest.mark.parametrize(
    ("scheduler", "budget"),
    [
        (TrialScheduler(), 1.0),
        (TrialScheduler(type="asha", grace_epochs=1, reduction_factor=3), (1 + 2 / 3 + 6 / 9) / 9),
        (TrialScheduler(type="asha", grace_epochs=9, reduction_factor=3), 1.0),
        (TrialScheduler(type="median"), 0.6),
    ],
)
def test_trials_that_end_early_cost_less(scheduler: TrialScheduler, budget: float) -> None:
    assert trial_budget(scheduler, 9) == pytest.approx(budget)


def test_a_plan_says_how_long_it_takes_and_from_what(plan: Callable[..., PlanDocument]) -> None:
    found = plan(TRAINING).estimate
    assert found is not None
    assert found.low < found.seconds < found.high
    assert [width.workers for width in found.widths] == [1, 2]
    assert found.widths[0].seconds > found.widths[1].seconds == found.seconds
    assert found.widths[1].slot_hours == pytest.approx(found.seconds * 2 / 3600)
    assert "nothing was measured" in found.source
    assert found.memory_per_worker is not None
    assert found.limit is not None
    assert found.limit > found.high


def test_more_epochs_take_longer(plan: Callable[..., PlanDocument]) -> None:
    seconds = [plan(TRAINING, f"train.epochs={n}").estimate.seconds for n in (1, 2, 5)]  # type: ignore[union-attr]
    assert seconds == sorted(seconds)


def test_a_plan_learns_from_what_was_measured(plan: Callable[..., PlanDocument]) -> None:
    history = History(measurements=tuple(replace(MEASURED, run=f"r{i}") for i in range(3)))
    found, before = plan(TRAINING, history=history).estimate, plan(TRAINING).estimate
    assert found is not None
    assert before is not None
    assert found.error < before.error
    assert "3 measurements" in found.source


def test_the_text_names_time_other_widths_memory_and_a_limit(plan: Callable[..., PlanDocument]) -> None:
    text = plan(TRAINING).render()
    for part in (
        "  time  ",
        "on 2 workers, 8 of 10 times",
        "core-hours",
        "with fewer workers: 1:",
        "a worker holds about",
    ):
        assert part in text
    assert "would be kept by 99 of 100" in text


def test_a_command_is_known_by_its_earlier_runs_else_by_its_limit(plan: Callable[..., PlanDocument]) -> None:
    by_limit = plan(COMMAND).estimate
    assert by_limit is not None
    assert (by_limit.source, by_limit.limit) == ("from its time limit", None)
    known = plan(COMMAND, history=History(finished=(Finished("hello", "ann", "", 33.0),))).estimate
    assert known is not None
    assert known.seconds == pytest.approx(33)


def test_of_a_command_without_history_and_limit_nothing_is_said() -> None:
    workload = parse_workload("name: x\ncommand: 'true'\n", "w.yaml")
    assert estimate_of(workload, None) is None


def test_what_will_not_fit_or_end_in_time_is_warned_of() -> None:
    workload = workload_in(TRAINING, ["time_limit=10m", "resources.memory_per_worker=1GiB"])
    expected = RunEstimate(3600.0, 0.3, 2, {1: 7000.0, 2: 3600.0}, device="cpu:x", memory=3e9)
    capacity = Capacity(slots=2, free=2, largest_gang=2, nodes=(NodeFacts("n", 2, 2, memory=2**31),))
    warnings = list(estimate_warnings(workload, expected, capacity))
    assert any("time_limit is 10 min, and it probably takes 60 min" in warning for warning in warnings)
    assert any("memory_per_worker is 1.0 GiB, and a worker probably holds 2.8 GiB" in warning for warning in warnings)
    assert any("the largest node has 2.0 GiB" in warning for warning in warnings)
    assert list(estimate_warnings(workload, replace(expected, seconds=60.0, memory=1e8), capacity)) == []


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("50s", ["half of them or more"]),
        ("1m", ["about 5 of 10 such runs"]),
        ("90s", ["about 2 of 10 such runs"]),
        ("3m", []),
    ],
)
def test_a_limit_that_some_such_runs_would_not_keep_is_warned_of(limit: str, said: list[str]) -> None:
    workload = workload_in(COMMAND, [f"time_limit={limit}"])
    known = estimate_of(workload, None, History(finished=(Finished("hello", "ann", "", 60.0),)), owner="ann")
    by_limit, capacity = estimate_of(workload, None), Capacity(slots=2, free=2, largest_gang=2)
    assert known is not None
    assert by_limit is not None
    assert [warning.rpartition(" end ")[2] for warning in estimate_warnings(workload, known, capacity)] == said
    assert not list(estimate_warnings(workload, by_limit, capacity))


@pytest.mark.parametrize(
    ("resources", "device"),
    [("", cpu_name()), ("gpus_per_worker: 1", "a100"), ("gpus_per_worker: 1\n  gpu_types: [h200]", "h200")],
)
def test_the_device_is_that_of_the_nodes_that_it_may_lie_on(resources: str, device: str) -> None:
    profile = load_profile(bundled("cluster") / "local.yaml")
    nodes = [node.model_copy(update={"gpu_type": kind}) for kind in ("a100", "h200") for node in profile.nodes]
    text = f"name: x\ncommand: 'true'\nresources:\n  cpus_per_worker: 1\n  {resources}\n"
    workload: Workload = parse_workload(text, "w.yaml")
    assert device_of(workload, profile.model_copy(update={"nodes": nodes})) == device


def test_where_the_profile_names_no_types_those_that_the_engine_knows_count() -> None:
    workload = parse_workload("name: x\ncommand: 'true'\nresources: {gpus_per_worker: 1}\n", "w.yaml")
    capacity = Capacity(2, 2, 2, "gpu", (NodeFacts("n1", 2, 2, gpu_type="h200"),))
    assert device_of(workload, ClusterProfile(name="lab", backend="slurm"), capacity) == "h200"


@pytest.mark.parametrize(("gpus", "told"), [(0, "2 core-hours"), (1, "1 GPU-hours")])
def test_who_takes_cores_and_no_gpu_is_reckoned_in_core_hours(gpus: int, told: str) -> None:
    resources = f"{{workers: 2, cpus_per_worker: 2, gpus_per_worker: {gpus}}}"
    workload = parse_workload(f"name: x\ncommand: 'true'\nresources: {resources}\n", "w.yaml")
    capacity = Capacity(2, 2, 2, "gpu", (NodeFacts("n1", 2, 2, cpus=4),), cores_apart=True)
    plan = estimate_plan(workload, RunEstimate(1800.0, 0.1, 2, {2: 1800.0}), capacity, {})
    assert plan.slot_kind == ("gpu" if gpus else "cpu")
    assert next(estimate_lines(plan)).endswith(f"; {told}")


def test_a_store_that_is_not_there_is_no_history(tmp_path: Path) -> None:
    assert local_history(tmp_path) == NO_HISTORY
    (tmp_path / "orchestrator.db").write_bytes(b"no database")
    assert local_history(tmp_path) == NO_HISTORY


def test_documents_of_another_version_are_passed_over() -> None:
    record = MeasurementRecord("r", -1, 1, "j", "regnet", "h200", 1.0, {"seconds": 3.0})
    assert measurement_of(record) is None
    whole = replace(record, document={"seconds": 3.0, "samples": 9.0, "features": FEATURES.to_json(), "memory": None})
    found = measurement_of(whole)
    assert found is not None
    assert (found.features, found.seconds, found.memory) == (FEATURES, 3.0, None)

"""How long a training takes with other numbers of workers is what its recipe says of them, in plan and what-if."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.backends.local import LocalBackend
from orchestrator.backends.protocol import Capacity, NodeFacts
from orchestrator.base.hardware import cpu_name
from orchestrator.base.paths import bundled
from orchestrator.cli.commands.plan import _estimate
from orchestrator.planning.dataset import dataset_facts
from orchestrator.planning.document import PlanDocument
from orchestrator.planning.estimate import NO_HISTORY, estimate_of, seconds_of_widths
from orchestrator.planning.plan import make_plan
from orchestrator.planning.whatif import offline_view
from orchestrator.spec.load import load_profile
from orchestrator.spec.workload import Workload
from orchestrator.testing.workloads import workload_in

# 512 samples a step in slices of 16: 32 of them
BATCH = ("train.batch_size=512", "train.samples_per_virtual_worker=16")
SIZES = (8, 16, 24, 32)


def training(*overrides: str) -> Workload:
    return workload_in(bundled("workloads") / "regnet_cifar10.yaml", (*BATCH, *overrides))


def exactly(workers: int, tmp_path: Path) -> float:
    """Seconds of a workload that really asks for so many."""
    workload = training(f"resources.workers={workers}")
    facts = dataset_facts("cifar10", workdir=tmp_path, state_dir=tmp_path)
    found = estimate_of(workload, facts, NO_HISTORY, cpu_name())
    assert found is not None
    return found.seconds


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PlanDocument:
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path / "state"))
    profile = load_profile(bundled("cluster") / "local.yaml")
    backend = LocalBackend(profile, state=tmp_path / "state", slots=tmp_path / "slots")
    return make_plan(training("resources.workers=1"), profile, backend, workdir=tmp_path, widths=SIZES)


def test_a_job_of_one_width_takes_with_another_what_a_job_of_that_width_takes(tmp_path: Path) -> None:
    facts = dataset_facts("cifar10", workdir=tmp_path, state_dir=tmp_path)
    workload = training("resources.workers=1")
    found = seconds_of_widths(workload, facts, NO_HISTORY, cpu_name(), SIZES)
    assert found == {workers: pytest.approx(exactly(workers, tmp_path)) for workers in SIZES}
    assert found[24] == pytest.approx(found[16], rel=0.1)  # two slices each, 24 as 16: ceil(32 / 24) = ceil(32 / 16)
    assert found[8] > 1.5 * found[16]


def test_the_plan_tells_the_queue_what_the_recipe_says_of_each_width(plan: PlanDocument, tmp_path: Path) -> None:
    view = _estimate(plan)
    assert view is not None
    assert plan.estimate is not None
    assert view.widths == {workers: pytest.approx(exactly(workers, tmp_path)) for workers in SIZES}
    assert view.exponent == plan.estimate.exponent
    assert [width.workers for width in plan.estimate.asked] == list(SIZES)


def test_a_what_if_of_another_width_ends_when_the_recipe_says(plan: PlanDocument) -> None:
    view, capacity = _estimate(plan), Capacity(64, 64, 64, "cpu", (NodeFacts("n", 64, 64),))
    assert view is not None
    profile = load_profile(bundled("cluster") / "local.yaml")
    found = offline_view(training("resources.workers=1"), capacity, profile, SIZES, estimate=view, now=1_000.0)
    ends = {option.workers_max: option.end.at - 1_000.0 for option in found.options if option.end is not None}
    known = {1: view.seconds, **view.widths}
    assert ends == {workers: pytest.approx(seconds) for workers, seconds in known.items()}


def test_what_has_no_recipe_says_nothing_of_other_widths() -> None:
    workload = workload_in(bundled("workloads") / "command.yaml", ())
    assert seconds_of_widths(workload, None, NO_HISTORY, cpu_name(), SIZES) == {}


def test_the_exponent_of_an_elastic_job_leaves_the_start_up_out(tmp_path: Path) -> None:
    facts = dataset_facts("cifar10", workdir=tmp_path, state_dir=tmp_path)
    found = estimate_of(training("resources.workers=1..8", "train.max_steps=3"), facts, NO_HISTORY, cpu_name())
    assert found is not None
    assert 0.7 < found.exponent < 1.0
    assert found.seconds > 0.3 * found.widths[1]  # most of it is the start-up, which more workers do not shorten

"""What an engine with a queue of its own is asked for a workload, without one that runs."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from orchestrator.backends.protocol import Capacity, LaunchPlan, LaunchRequest, Observation, Others, Standing
from orchestrator.base.errors import BackendUnavailable
from orchestrator.base.paths import bundled
from orchestrator.planning.plan import make_plan
from orchestrator.planning.queueing import Ask, dry_run_view
from orchestrator.rundir.layout import JobDirectory
from orchestrator.spec.answers import EstimateView
from orchestrator.spec.load import parse_workload
from orchestrator.spec.profile import ClusterProfile
from orchestrator.spec.workload import Workload

COMMAND = "name: x\ncommand: [x]\nteam: vision\npriority: -2\n"
TRAINING = (bundled("workloads") / "regnet_cifar10.yaml").read_text()
SILENT = BackendUnavailable("squeue does not answer")


@dataclass
class Queueing:
    """An engine that says what it is asked, and nothing else."""

    answers: bool = True
    asked: list[LaunchRequest] = field(default_factory=list)
    name: str = "slurm"
    queues: bool = True

    def plan(self, request: LaunchRequest) -> LaunchPlan:
        self.asked.append(request)
        why = "our estimate"
        return LaunchPlan(("sbatch",), {}, 4, "#!/bin/bash\n#SBATCH --nodes=1\n", "1 node x 4 workers", 600.0, why)

    def expected_start(self, request: LaunchRequest) -> float | None:
        self.asked.append(request)
        return 100.0

    def capacity(self) -> Capacity:
        if not self.answers:
            raise SILENT
        return Capacity(8, 8, 8, "gpu")

    def launch(self, request: LaunchRequest) -> None:
        raise AssertionError("a plan starts nothing")

    def observe(self, allocations: Sequence[str]) -> Mapping[str, Observation]:
        return {}

    def adjust(self, allocation: str, standing: Standing) -> str:
        raise AssertionError("a plan changes nothing")

    def stop(self, allocation: str, *, grace_seconds: float) -> None:
        raise AssertionError("a plan stops nothing")

    def kill(self, allocation: str) -> None:
        raise AssertionError("a plan ends nothing")

    def list(self) -> Sequence[str]:
        return []

    def others(self, node: str) -> Others:
        return Others()

    def close(self) -> None:
        pass


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., Ask]:
    def make(text: str, *overrides: str, estimate: EstimateView | None = None, **profile: Any) -> Ask:
        cluster = ClusterProfile.model_validate({"name": "lab", "backend": "slurm", **profile})
        directory = JobDirectory.under(tmp_path, "j-x").run("j-x-r1")
        return Ask(workload(text, *overrides), cluster, str(tmp_path), directory, {}, estimate)

    return make


def workload(text: str, *overrides: str) -> Workload:
    return parse_workload(text, "w.yaml", overrides)


def test_a_command_takes_what_it_gets_of_what_it_asks_for(ask: Callable[..., Ask]) -> None:
    request = ask(COMMAND, "resources.workers=2..6", limits={"max_workers": 4}).request()
    assert request.terms is not None
    assert (request.terms.workers_min, request.terms.workers_max, request.launch.workers) == (2, 4, 4)
    assert request.terms.standing == Standing(priority=-2, team="vision")


def test_a_training_is_never_asked_for_wider_than_the_cluster_allows(ask: Callable[..., Ask]) -> None:
    for limit, most in ((None, 6), (5, 5), (4, 5)):
        wide = ("resources.workers=5..6", "train.samples_per_virtual_worker=16")
        terms = ask(TRAINING, *wide, limits={"max_workers": limit}).request().terms
        assert terms is not None
        assert (terms.workers_min, terms.workers_max) == (5, most)


def test_where_workers_may_lie_goes_with_the_request(ask: Callable[..., Ask]) -> None:
    more = ("resources.gpus_per_worker=1", "resources.memory_per_worker=2GiB", "resources.not_on=[n1]")
    request = ask(COMMAND, *more, "resources.same_rack=true", "resources.placement=anywhere").request()
    assert request.terms is not None
    needs = request.terms.needs
    assert (needs.memory, needs.not_on, needs.same_rack, needs.anywhere) == (2 * 2**30, ("n1",), True, True)


@pytest.mark.parametrize(("own", "clusters", "told"), [("1h", None, 3600), (None, "2h", 7200), ("1h", "2h", 3600)])
def test_the_shorter_of_two_time_limits_counts(
    ask: Callable[..., Ask], own: str | None, clusters: str | None, told: float
) -> None:
    overrides = [] if own is None else [f"time_limit={own}"]
    limits = {} if clusters is None else {"max_time": clusters}
    assert ask(COMMAND, *overrides, limits=limits).request().time_limit == told


def test_the_engine_is_told_the_upper_bound_of_the_estimate_at_the_width_it_begins_with(
    ask: Callable[..., Ask],
) -> None:
    def expected(width: int | None, **estimate: Any) -> float:
        known = EstimateView(**{"seconds": 100.0, "error": 0.0, "exponent": 1.0, **estimate})
        terms = ask(TRAINING, "resources.workers=2..4", estimate=known).request(width).terms
        assert terms is not None
        assert terms.expected is not None
        return terms.expected

    assert expected(None) == pytest.approx(200.0)
    assert expected(4) == pytest.approx(100.0)
    assert expected(4, widths={4: 130.0}) == pytest.approx(130.0)
    assert expected(4, error=0.5) > 200.0
    bare = ask(TRAINING).request().terms
    assert bare is not None
    assert bare.expected is None


def test_each_width_is_asked_once_and_ends_as_the_estimate_says(ask: Callable[..., Ask]) -> None:
    engine = Queueing()
    known = EstimateView(seconds=60.0, exponent=1.0)
    view = dry_run_view(ask(COMMAND, "resources.workers=1..4", estimate=known), engine, (), now=40.0, live=False)
    assert [(o.workers_min, o.workers_max) for o in view.options] == [(1, 4), (1, 1), (2, 2), (4, 4)]
    assert [o.end.at for o in view.options if o.end] == [160.0, 340.0, 220.0, 160.0]
    assert {o.waits for o in view.options} == {60.0}
    assert len(engine.asked) == 4


def test_what_is_ours_runs_by_the_interpreter_that_the_nodes_have(ask: Callable[..., Ask]) -> None:
    there = {"slurm": {"python": "/nodes/bin/python"}}
    assert ask(TRAINING, **there).request().launch.argv[0] == "/nodes/bin/python"
    assert ask(COMMAND, **there).request().launch.argv == ("x",)
    assert ask(TRAINING).request().launch.argv[0] == sys.executable


def test_a_growing_training_says_what_it_begins_with(ask: Callable[..., Ask]) -> None:
    grows = {"slurm": {"growth": {"partition": "spare"}}}
    notes = dry_run_view(ask(TRAINING, **grows), Queueing(), (), now=0.0, live=False).notes
    assert "it begins with 1 of up to 2 workers; the others join as partition spare has room" in notes
    notes = dry_run_view(ask(TRAINING), Queueing(), (), now=0.0, live=False).notes
    assert "it keeps the 1 worker that it begins with: the profile has no `slurm.growth`" in notes


@pytest.mark.parametrize("answers", [True, False])
def test_a_plan_shows_the_script_its_shape_and_its_limit_whether_the_engine_answers_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path / "state"))
    profile = ClusterProfile(name="lab", backend="slurm")
    plan = make_plan(workload(COMMAND), profile, Queueing(answers), workdir=tmp_path)
    launch = plan.launch
    assert (launch.shape, launch.limit, launch.limit_why) == ("1 node x 4 workers", 600.0, "our estimate")
    text = plan.render()
    assert "  shape      1 node x 4 workers; Slurm ends it after 10 min\n             our estimate\n" in text
    assert "    #SBATCH --nodes=1" in text
    assert any("whether it has room for this was not checked" in warning for warning in plan.warnings) is not answers


def test_an_engine_without_a_queue_that_is_silent_is_no_base_for_a_plan(tmp_path: Path) -> None:
    engine = Queueing(answers=False, queues=False)
    with pytest.raises(BackendUnavailable):
        make_plan(workload(COMMAND), ClusterProfile(name="lab", backend="slurm"), engine, workdir=tmp_path)

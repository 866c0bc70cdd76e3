"""The driver on a real Ray, with a trainer that counts its starts."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from orchestrator.blueprint.workload import known_population
from orchestrator.onray.cluster import Reserved
from orchestrator.onray.private import Signals, private_ray
from orchestrator.rundir.events import read_events
from orchestrator.rundir.layout import JobDirectory
from orchestrator.runtime.durable import DurableEvents
from orchestrator.runtime.environment import RAY
from orchestrator.search.driver import SearchRun, tune_trials, workers_of_nodes
from orchestrator.search.ledger import Ledger
from orchestrator.search.population import fresh_trials, resumed_trials
from orchestrator.search.records import TrialRecord, TrialRecords
from orchestrator.search.tpe import TpeSampler
from orchestrator.search.voice import Voice
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.tracking.records import Metrics, Record
from orchestrator.tracking.spool import Spool, read_segment

pytestmark = pytest.mark.ray

MakeWorkload = Callable[..., RegNetWorkload]


@dataclass(frozen=True)
class Rig:
    """A Ray, and the trainer that its workers import."""

    scratch: Path
    trainer: str

    def search(
        self,
        job: JobDirectory,
        workload: RegNetWorkload,
        should_stop: Callable[[], bool] = lambda: False,
        attempt: int = 1,
    ) -> tuple[bool, tuple[TrialRecord, ...]]:
        """One run of the job; what earlier runs left is resumed."""
        records = TrialRecords(job, attempt)
        run = job.run(f"job-1-r{attempt}")
        fresh = fresh_trials(known_population(workload, in_channels=1, num_classes=10), workload, job)
        search = workload.search
        sampler = TpeSampler(workload, job, 1, 10) if search is not None and search.sampler == "tpe" else None
        with Spool(job, "search", attempt, interval=0) as spool:
            voice = Voice(DurableEvents(run, "rank-0", attempt), spool, "job-1")
            trials = resumed_trials(fresh, records.load())
            curves = search is not None and search.scheduler.ends_trials_early
            ledger = Ledger(trials, records, voice, epochs=4, samples_per_epoch=100, curves=curves)
            search_run = SearchRun(job, run, attempt, slots=2, on_lost=lost, trainer=self.trainer, sampler=sampler)
            scratch = self.scratch / f"{job.path.parent.parent.name}-{attempt}"
            ended = tune_trials(search_run, workload, ledger, should_stop, scratch, Signals.current())
        return ended, tuple(records.load().values())


def lost(daemon: str) -> None:
    raise AssertionError(f"Ray's {daemon} died")


@pytest.fixture(scope="module")
def rig(trainer: str) -> Iterator[Rig]:
    with private_ray(2, 0, lost) as (scratch, _):
        yield Rig(scratch, trainer)


def starts(job: JobDirectory, index: int) -> int:
    path = job.path / f"starts-{index}"
    return len(path.read_text()) if path.exists() else 0


def spooled(job: JobDirectory) -> list[Record]:
    found: list[Record] = []
    number = 0
    while (part := read_segment(job.tracking / "search", number)) is not None:
        found += part
        number += 1
    return found


@pytest.fixture(scope="module")
def searched(
    rig: Rig, tmp_path_factory: pytest.TempPathFactory, make_workload: MakeWorkload
) -> list[tuple[JobDirectory, tuple[TrialRecord, ...]]]:
    """The same search with one trial at a time, and with two."""
    found = []
    for concurrency in (1, 2):
        job = JobDirectory.under(tmp_path_factory.mktemp(f"c{concurrency}"), "job-1")
        job.create()
        ended, records = rig.search(job, make_workload(concurrency=concurrency))
        assert ended
        found.append((job, records))
    return found


def test_every_trial_runs_once_and_its_result_does_not_depend_on_concurrency(
    searched: list[tuple[JobDirectory, tuple[TrialRecord, ...]]],
) -> None:
    found = []
    for job, records in searched:
        assert [(r.state, r.epochs, r.samples, r.attempts) for r in records] == [("succeeded", 4, 400, 1)] * 3
        assert [starts(job, index) for index in range(3)] == [1, 1, 1]
        events = list(read_events(job.run("job-1-r1"), {}))
        succeeded = [e.data["index"] for e in events if e.data.get("state") == "succeeded"]
        assert sorted(succeeded) == [0, 1, 2]
        assert [e.data["done"] for e in events if e.kind == "progress"][-1] == 3
        steps = [r.step for r in spooled(job) if isinstance(r, Metrics) and r.key == "job-1/trial-1"]
        assert steps == [100, 200, 300, 400]
        found.append([(r.index, r.seed, r.parameters, r.metrics) for r in records])
    assert found[0] == found[1]


def test_trials_get_as_much_of_the_processor_as_anybody_else(
    searched: list[tuple[JobDirectory, tuple[TrialRecord, ...]]],
) -> None:
    found = {path.read_text() for job, _ in searched for path in job.path.glob("niceness-*")}
    assert found == {str(os.nice(0))}


def test_a_restart_runs_only_what_is_missing(
    rig: Rig, job: JobDirectory, workload: RegNetWorkload, trials: tuple[TrialRecord, ...]
) -> None:
    over = [replace(trials[i], state="succeeded", epochs=4, metrics={"val_error": 0.5}) for i in (0, 2)]
    TrialRecords(job, 1).save_all([*over, replace(trials[1], state="running", epochs=2, samples=200)])
    (job.path / "saved-1").write_text("2")
    ended, records = rig.search(job, workload, attempt=2)
    assert ended
    assert [starts(job, index) for index in range(3)] == [0, 1, 0]
    assert [records[0], records[2]] == over
    assert (records[1].state, records[1].epochs) == ("succeeded", 4)
    steps = [r.step for r in spooled(job) if isinstance(r, Metrics)]
    assert steps == [300, 400]


def test_a_trial_that_fails_is_tried_again_and_ends_no_other(
    rig: Rig, job: JobDirectory, make_workload: MakeWorkload
) -> None:
    (job.path / "fail-1").touch()
    ended, records = rig.search(job, make_workload(retries=1))
    assert ended
    assert [r.state for r in records] == ["succeeded", "failed", "succeeded"]
    assert starts(job, 1) == 2
    assert (records[1].message, records[1].failure_class) == ("RuntimeError: the trial broke", "application")


def test_trials_that_are_lost_with_their_process_use_up_no_retry(
    rig: Rig, job: JobDirectory, make_workload: MakeWorkload
) -> None:
    (job.path / "die-0").touch()

    def spare() -> bool:
        if TrialRecords(job, 1).load_one(0).failures:
            (job.path / "die-0").unlink(missing_ok=True)
        return False

    ended, records = rig.search(job, make_workload(trials=1, retries=0), should_stop=spare)
    assert ended
    assert (records[0].state, records[0].failures) == ("succeeded", {"infrastructure": 1})
    assert starts(job, 0) == 2


def test_several_trials_share_a_slot_where_each_takes_a_part_of_it(
    rig: Rig, job: JobDirectory, make_workload: MakeWorkload
) -> None:
    workload = make_workload(trials=5, trial={"cpus": 1})
    workload = workload.model_copy(update={"resources": workload.resources.model_copy(update={"cpus_per_worker": 2})})
    for index in range(5):
        (job.path / f"hold-{index}").touch()

    def all_four() -> bool:
        return all((job.path / f"held-{index}").exists() for index in range(4))

    ended, records = rig.search(job, workload, should_stop=all_four)
    assert not ended
    assert [(record.state, record.epochs) for record in records] == [("pending", 1)] * 4 + [("pending", 0)]
    assert starts(job, 4) == 0


def test_slots_are_counted_by_nodes_and_those_that_have_not_come_are_nodes_of_their_own(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert workers_of_nodes(2) == [2]
    assert workers_of_nodes(4) == [2, 1, 1]
    reserved = Reserved("127.0.0.1:1", "group", {"a": 3, "b": 1}, {"CPU": 4})
    monkeypatch.setenv(RAY, reserved.to_text())
    assert workers_of_nodes(4) == [3, 1]


def test_a_budget_that_is_used_up_ends_what_runs_after_its_epoch_and_begins_no_more(
    rig: Rig, job: JobDirectory, make_workload: MakeWorkload
) -> None:
    done = "the budget of 1e-09 core hours is used up"
    ended, records = rig.search(job, make_workload(trials=5, concurrency=1, stop={"core_hours": 1e-9}))
    assert ended
    assert [record.state for record in records] == ["stopped"] * 5
    assert 1 <= records[0].epochs < 4
    assert [record.message for record in records] == [done] * 5
    assert [record.epochs for record in records[1:]] == [0] * 4
    assert [starts(job, index) for index in range(5)] == [1, 0, 0, 0, 0]


def test_trials_that_only_fail_use_up_a_budget_too(rig: Rig, job: JobDirectory, make_workload: MakeWorkload) -> None:
    for index in range(4):
        (job.path / f"fail-{index}").touch()
    ended, records = rig.search(job, make_workload(trials=4, concurrency=1, stop={"core_hours": 1e-9}))
    assert ended
    assert {record.state for record in records} == {"stopped"}
    assert [starts(job, index) for index in range(4)] == [1, 0, 0, 0]


def test_a_killed_driver_of_tpe_and_asha_runs_no_trial_again_that_was_over(
    rig: Rig, tmp_path: Path, job: JobDirectory, make_workload: MakeWorkload
) -> None:
    asha = {"type": "asha", "grace_epochs": 2, "reduction_factor": 2}
    workload = make_workload(trials=13, sampler="tpe", scheduler=asha, concurrency=1)
    (job.path / "hold-11").touch()
    left = JobDirectory.under(tmp_path / "killed", "job-1")

    def as_if_killed() -> bool:
        """What a driver leaves that is killed while its second suggestion runs."""
        if (job.path / "held-11").exists() and not left.path.exists():
            shutil.copytree(job.path, left.path)
            (job.path / "hold-11").unlink()
            (left.path / "hold-11").unlink()
        return False

    ended, whole = rig.search(job, workload, should_stop=as_if_killed)
    assert ended
    assert {record.state for record in whole} == {"succeeded", "stopped"}
    before = TrialRecords(left, 1).load()
    assert [before[index].over for index in range(12)] == [True] * 11 + [False]
    left.run("job-1-r2").create()
    ended, resumed = rig.search(left, workload, attempt=2)
    assert ended
    assert [starts(left, index) for index in range(13)] == [1] * 11 + [2, 1]
    assert list(resumed[:11]) == [before[index] for index in range(11)]
    assert [record.parameters for record in resumed[:12]] == [record.parameters for record in whole[:12]]


def test_a_stop_request_ends_the_search_with_its_records_and_a_restart_resumes(
    rig: Rig, job: JobDirectory, workload: RegNetWorkload
) -> None:
    (job.path / "hold-0").touch()
    (job.path / "hold-1").touch()

    noted: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: noted.append(number))

    def terminated() -> bool:
        if not noted and all((job.path / f"held-{index}").exists() for index in (0, 1)):
            os.kill(os.getpid(), signal.SIGTERM)
        return bool(noted)

    ended, records = rig.search(job, workload, should_stop=terminated)
    signal.signal(signal.SIGTERM, before)
    assert not ended
    assert [(r.state, r.epochs) for r in records] == [("pending", 1), ("pending", 1), ("pending", 0)]
    for index in (0, 1):
        (job.path / f"hold-{index}").unlink()
    ended, records = rig.search(job, workload, attempt=2)
    assert ended
    assert [r.state for r in records] == ["succeeded"] * 3
    assert [starts(job, index) for index in range(3)] == [2, 2, 1]


def test_asha_ends_trials_early(rig: Rig, job: JobDirectory, make_workload: MakeWorkload) -> None:
    scheduler = {"type": "asha", "grace_epochs": 1, "reduction_factor": 2}
    ended, records = rig.search(job, make_workload(trials=6, scheduler=scheduler))
    assert ended
    assert {record.state for record in records} == {"succeeded", "stopped"}
    for record in records:
        assert (record.epochs == 4) == (record.state == "succeeded")
        assert [epoch for epoch, _ in record.curve] == list(range(1, int(record.epochs) + 1))
        assert record.curve[-1][1] == record.val_error


def test_every_scheduler_of_the_workload_is_one_of_tunes(make_workload: MakeWorkload) -> None:
    from orchestrator.search.schedulers import tune_scheduler

    found = {}
    for kind in ("none", "asha", "hyperband", "median"):
        search = make_workload(scheduler={"type": kind}).search
        assert search is not None
        kinds = type(tune_scheduler(search.scheduler, 4)).__mro__
        found[kind] = next(each.__name__ for each in kinds if each.__module__.startswith("ray."))
    assert found == {
        "none": "FIFOScheduler",
        "asha": "AsyncHyperBandScheduler",
        "hyperband": "HyperBandScheduler",
        "median": "MedianStoppingRule",
    }


def test_synchronous_halving_is_a_function_of_the_seed(rig: Rig, tmp_path: Path, make_workload: MakeWorkload) -> None:
    found = []
    for concurrency in (1, 2):
        job = JobDirectory.under(tmp_path / f"c{concurrency}", "job-1")
        job.create()
        scheduler = {"type": "hyperband", "reduction_factor": 2}
        _, records = rig.search(job, make_workload(trials=6, scheduler=scheduler, concurrency=concurrency))
        found.append([(r.index, r.state, r.epochs, r.metrics) for r in records])
    assert found[0] == found[1]

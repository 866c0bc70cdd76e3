"""What a worker says: of several only the leader is heard, and a new one says again what the run is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ranks import events, new_run, spooled

from orchestrator.recipes.earlier import Earlier, earlier_runs
from orchestrator.recipes.speaker import Speaker
from orchestrator.recipes.telling import Telling
from orchestrator.rundir.events import EventWriter
from orchestrator.rundir.layout import RunDirectory
from orchestrator.runtime.context import RunContext
from orchestrator.runtime.durable import DurableEvents
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.tracking.spool import Spool
from orchestrator.training.config import EpochReport
from orchestrator.training.progress import Progress

Tiny = Callable[..., RegNetWorkload]
NOTHING = Earlier()


@pytest.fixture
def run(tiny: Tiny, tmp_path: Path) -> RunDirectory:
    return new_run(tmp_path, tiny())


def worker(run: RunDirectory, number: int, workload: RegNetWorkload, earlier: Earlier = NOTHING) -> Telling:
    writer = f"rank-{number}"
    context = RunContext(number, 1, run, run.job, 1, DurableEvents(run, writer, 1, pause=0.0))
    return Telling(context, workload, Speaker(Spool(run.job, writer, 1, interval=0), speaks=number == 0), earlier)


def report(epoch: int, error: float) -> EpochReport:
    return EpochReport(epoch, 1078 * epoch, 1.0, 0.1, None, {"loss": 2.0, "error": error})


def test_only_the_leader_is_heard(run: RunDirectory, tiny: Tiny) -> None:
    first, second = worker(run, 0, tiny()), worker(run, 1, tiny())
    for telling in (first, second):
        telling.announce()
    first.leads(True)
    second.leads(False)
    for telling in (first, second):
        telling.epoch(report(1, 0.5))
    assert [path.name for path in run.job.tracking.iterdir()] == ["rank-0"]
    assert [record["step"] for record in spooled(run, "metrics")] == [1078]


def test_a_new_leader_says_what_the_run_is_and_goes_on_with_a_writer_of_its_own(run: RunDirectory, tiny: Tiny) -> None:
    first, second = worker(run, 0, tiny()), worker(run, 1, tiny())
    first.leads(True)
    second.leads(False)
    for telling in (first, second):
        telling.epoch(report(1, 0.5))
    second.leads(True)
    second.epoch(report(2, 0.7))
    second.progress(Progress(2156, 2156, None, None, 2))
    assert sorted(path.name for path in run.job.tracking.iterdir()) == ["rank-0", "rank-1"]
    assert [record["name"] for record in spooled(run, "start")] == ["tiny"]
    assert [record["step"] for record in spooled(run, "metrics")] == [1078, 2156]
    [progress] = events(run, "progress")
    assert (progress.writer, progress.data["best"]) == ("rank-1", 0.5)


def test_goodput_is_an_event_and_a_metric_summed_over_the_runs_of_a_job(run: RunDirectory, tiny: Tiny) -> None:
    telling = worker(run, 0, tiny(), Earlier(500, {"useful_seconds": 10.0, "idle_seconds": 1.0}))
    telling.tell("goodput", useful_seconds=2.0, redone_seconds=0.5, idle_seconds=0.25)
    telling.epoch(report(1, 0.5))
    assert events(run, "goodput")[0].data == {"useful_seconds": 2.0, "redone_seconds": 0.5, "idle_seconds": 0.25}
    [record] = spooled(run, "metrics")
    assert {name: value for name, value in record["values"].items() if name.startswith("goodput/")} == {
        "goodput/useful_seconds": 12.0,
        "goodput/redone_seconds": 0.5,
        "goodput/idle_seconds": 1.25,
    }


def test_what_earlier_runs_reached_is_read_from_their_last_events(run: RunDirectory, tiny: Tiny) -> None:
    old = EventWriter(run, "rank-0", 1)
    for samples in (64, 128):
        old.append("progress", samples=samples)
    old.append("goodput", useful_seconds=3.0, redone_seconds=0.0, idle_seconds=1.0)
    leader = EventWriter(run, "rank-1", 1)
    leader.append("goodput", useful_seconds=4.0, redone_seconds=0.5, idle_seconds=1.0)
    leader.append("progress", samples=192)
    (run.events / "rank-1" / "00000002.json").write_text("{")
    current = new_run(run.path.parents[3], tiny(), number=2)
    EventWriter(current, "rank-0", 2).append("progress", samples=999)
    found = earlier_runs(current)
    assert found == Earlier(192, {"useful_seconds": 4.0, "redone_seconds": 0.5, "idle_seconds": 1.0})


def test_workers_that_start_anew_in_the_same_run_go_on_with_its_sums(run: RunDirectory, tiny: Tiny) -> None:
    before = EventWriter(run, "rank-1000", 1)
    before.append("progress", samples=192)
    before.append("goodput", useful_seconds=3.0, redone_seconds=0.0, idle_seconds=1.0, sent_bytes_per_step=7)
    found = earlier_runs(run, own=True)
    assert (found.samples, found.seconds) == (192, {})
    telling = worker(run, 2000, tiny(), found)
    telling.tell("goodput", useful_seconds=2.0, redone_seconds=0.5, idle_seconds=0.0, sent_bytes_per_step=9)
    telling.leads(True)
    telling.epoch(report(1, 0.5))
    sums = {"useful_seconds": 5.0, "redone_seconds": 0.5, "idle_seconds": 1.0}
    assert events(run, "goodput")[-1].data == sums | {"sent_bytes_per_step": 9}
    values = spooled(run, "metrics")[-1]["values"]
    assert {name: values[f"goodput/{name}"] for name in sums} == sums


def test_a_first_run_has_nothing_before_it(run: RunDirectory) -> None:
    assert earlier_runs(run) == Earlier()


def test_a_stopped_leader_has_written_all_it_said(run: RunDirectory, tiny: Tiny) -> None:
    speaker = Speaker(Spool(run.job, "rank-0", 1, interval=1e9), speaks=True)
    speaker.metrics("job-a", 64, {"lr": 0.1})
    speaker.let(False)
    speaker.metrics("job-a", 128, {"lr": 0.2})
    assert [record["step"] for record in spooled(run, "metrics")] == [64]
    assert not speaker.speaks


def test_a_worker_that_joins_late_knows_the_best_value_of_before(run: RunDirectory, tiny: Tiny) -> None:
    joined = worker(run, 1, tiny())
    joined.adopted([report(1, 0.5), report(2, 0.6)])
    joined.leads(True)
    joined.progress(Progress(2156, 2156, None, None, 2))
    [progress] = events(run, "progress")
    assert (progress.data["best"], progress.data["best_label"]) == (0.5, "val error")

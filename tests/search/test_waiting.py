"""How long, and how often, the processes of a search look for each other; without Ray."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.files import write_atomic
from orchestrator.onray import join
from orchestrator.onray.meeting import Head, RayMeeting
from orchestrator.rundir.layout import JobDirectory
from orchestrator.runtime.context import RunContext, StopRequest
from orchestrator.runtime.durable import DurableEvents
from orchestrator.runtime.signals import SignalInbox
from orchestrator.search import arrayworker, driver
from orchestrator.search.arrayworker import ArrayWorker
from orchestrator.search.attempt import work_name
from orchestrator.search.claims import Claims
from orchestrator.search.finish import Origin
from orchestrator.search.ledger import Ledger, Progress
from orchestrator.search.lives import Life, Lives
from orchestrator.search.overview import Overview
from orchestrator.search.records import TrialRecord, TrialRecords
from orchestrator.search.setting import Setting
from orchestrator.search.voice import Voice
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.tracking.protocol import Discard

HEAD = Head("10.0.0.1:6379", "secret")


class Clock:
    """In place of the module `time`: who sleeps, or asks, makes it go on."""

    def __init__(self, step: float = 0.0) -> None:
        self.now, self._step = 0.0, step

    def monotonic(self) -> float:
        self.now += self._step
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Inbox(SignalInbox):
    """Nobody sends a signal; with each wait an hour goes by."""

    def __init__(self, clock: Clock, then: Callable[[], object]) -> None:
        self._clock, self._then, self._waits = clock, then, 0

    def wait(self, seconds: float | None, also: Any = ()) -> set[Any]:
        self._clock.sleep(3600)
        self._waits += 1
        if self._waits == 20:
            self._then()
        return set()


@pytest.mark.parametrize("comes", [True, False])
def test_a_node_waits_for_the_head_as_long_as_the_search_is_not_over(
    job: JobDirectory, monkeypatch: pytest.MonkeyPatch, comes: bool
) -> None:
    clock, meeting = Clock(), RayMeeting(job.run("job-1-r1"))
    monkeypatch.setattr(join, "time", clock)
    then = (lambda: meeting.announce(HEAD)) if comes else meeting.end
    assert join._Watch(Inbox(clock, then), meeting).wait_for_head() == (HEAD if comes else None)
    assert clock.now == 20 * 3600


def test_other_nodes_are_told_to_go_while_ray_is_still_there(
    job: JobDirectory, workload: RegNetWorkload, trials: tuple[TrialRecord, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    meeting, told = RayMeeting(job.run("job-1-r1")), list[bool]()

    @contextmanager
    def ray(*options: object) -> Iterator[tuple[Path, Head]]:
        yield job.path, HEAD
        told.append(meeting.over())

    monkeypatch.setattr(driver, "private_ray", ray)
    monkeypatch.setattr(driver, "_gather", lambda *asked: True)
    monkeypatch.setattr(driver, "tune_trials", lambda *asked: True)
    voice = Voice(DurableEvents(job.run("job-1-r1"), "rank-0", 1), Discard(), "job-1")
    ledger = Ledger(trials, TrialRecords(job, 1), voice, epochs=4, samples_per_epoch=100)
    run = driver.SearchRun(job, job.run("job-1-r1"), 1, 2, lambda daemon: None, elsewhere=1)
    assert driver.run_trials(run, workload, ledger, lambda: False)
    assert (meeting.head(), told) == (HEAD, [True])


class Minute(RunContext):
    """A run that is asked to stop after a minute."""

    clock: Clock

    def should_stop(self) -> StopRequest | None:
        return StopRequest("drain") if self.clock.now > 60 else None


def test_a_worker_that_only_waits_looks_at_others_trials_every_few_seconds(
    job: JobDirectory, workload: RegNetWorkload, trials: tuple[TrialRecord, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, clock, looks = job.run("job-1-r1"), Clock(), list[int]()
    Minute.clock = clock
    folder, records = run.path / "array", TrialRecords(job, 1)
    other = Life(folder / "workers", 0)
    claims = Claims(folder / "claims", 0, Lives(folder / "workers"))
    assert all(claims.take(work_name(trial.index)) for trial in trials)
    records.save_all(trials)
    write_atomic(folder / "ready", b"")
    load_one = records.load_one

    def look(index: int) -> TrialRecord:
        looks.append(index)
        return load_one(index)

    monkeypatch.setattr(records, "load_one", look)
    monkeypatch.setattr(arrayworker, "time", clock)
    context = Minute(1, 2, run, job, 1, DurableEvents(run, "rank-1", 1))
    origin = Origin(3, {}, "digits", "v1", {"train": 100, "validation": 10})
    setting = Setting(context, workload, Discard(), origin, records, trials, 100)
    try:
        ending = ArrayWorker(setting).work()
    finally:
        other.leave()
    assert ending.outcome == "stopped"
    assert 20 * len(trials) < len(looks) < 40 * len(trials)


def test_a_look_reads_nothing_of_trials_that_nobody_has_begun(
    job: JobDirectory, workload: RegNetWorkload, trials: tuple[TrialRecord, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, records, looks, asked = job.run("job-1-r1"), TrialRecords(job, 1), list[int](), list[str]()
    context = RunContext(0, 2, run, job, 1, DurableEvents(run, "rank-0", 1))
    origin = Origin(3, {}, "digits", "v1", {"train": 100, "validation": 10})
    worker = ArrayWorker(Setting(context, workload, Discard(), origin, records, trials, 100))
    records.save_all(trials)
    worker._claims.take(work_name(trials[1].index))
    worker._overview = Overview(trials, records)
    worker._progress = Progress(trials, worker._voice, planned=100)
    load_one, current = records.load_one, worker._claims.current
    monkeypatch.setattr(records, "load_one", lambda index: looks.append(index) or load_one(index))
    monkeypatch.setattr(worker._claims, "current", lambda what: asked.append(what) or current(what))
    worker._look()
    assert (looks, asked) == ([trials[1].index], [])

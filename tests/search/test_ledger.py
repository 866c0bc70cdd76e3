from collections.abc import Callable
from dataclasses import replace

import pytest

from orchestrator.rundir.events import read_events
from orchestrator.rundir.layout import JobDirectory
from orchestrator.runtime.durable import DurableEvents
from orchestrator.search.ledger import Ledger
from orchestrator.search.records import TrialRecord, TrialRecords
from orchestrator.search.voice import Voice
from orchestrator.tracking.protocol import Discard

RUN = "job-1-r1"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_ledger(
    job: JobDirectory, trials: tuple[TrialRecord, ...], clock: Clock
) -> Callable[[tuple[TrialRecord, ...]], Ledger]:
    def make(members: tuple[TrialRecord, ...]) -> Ledger:
        voice = Voice(DurableEvents(job.run(RUN), "rank-0", 1), Discard(), "job-1", now=clock)
        return Ledger(members or trials, TrialRecords(job, 1), voice, epochs=4, samples_per_epoch=100)

    return make


@pytest.fixture
def ledger(open_ledger: Callable[[tuple[TrialRecord, ...]], Ledger]) -> Ledger:
    return open_ledger(())


def result(epoch: int, error: float | None, **more: object) -> dict[str, object]:
    known = {} if error is None else {"val_error": error}
    return {"epoch": epoch, "samples": epoch * 100, "train_loss": 1.0, "seconds": float(epoch), **known, **more}


def progress(job: JobDirectory) -> list[dict[str, object]]:
    return [dict(event.data) for event in read_events(job.run(RUN), {}) if event.kind == "progress"]


def test_all_trials_have_a_record_from_the_start(ledger: Ledger, job: JobDirectory) -> None:
    assert [r.state for r in TrialRecords(job, 1).load().values()] == ["pending"] * 3
    assert ledger.pending == (0, 1, 2)


def test_a_finished_trial_keeps_the_metrics_of_its_last_epoch(ledger: Ledger) -> None:
    ledger.began(0)
    ledger.reported(0, result(3, 0.2))
    ledger.reported(0, result(4, 0.3, end="finished"))
    ledger.ended(0, stopping=False)
    record = ledger.trials[0]
    assert (record.state, record.epochs, record.samples, record.seconds) == ("succeeded", 4, 400, 4)
    assert record.metrics == {"train_loss": 1.0, "val_error": 0.3}


def test_a_trial_that_tune_ends_was_ended_by_the_scheduler(ledger: Ledger) -> None:
    ledger.began(0)
    ledger.reported(0, result(2, 0.2))
    ledger.ended(0, stopping=False)
    assert ledger.trials[0].state == "stopped"


def test_a_trial_that_ends_with_the_whole_search_waits_for_the_next_run(ledger: Ledger) -> None:
    ledger.began(0)
    ledger.reported(0, result(2, 0.2))
    ledger.ended(0, stopping=True)
    assert (ledger.trials[0].state, ledger.trials[0].epochs) == ("pending", 2)


def test_a_paused_trial_goes_on_and_its_seconds_add_up(ledger: Ledger) -> None:
    ledger.began(0)
    ledger.reported(0, result(2, 0.2))
    ledger.paused(0)
    ledger.began(0)
    ledger.reported(0, result(4, 0.1, end="finished", seconds=3.0))
    assert (ledger.trials[0].attempts, ledger.trials[0].seconds) == (2, 5.0)


def test_a_failure_that_no_second_attempt_can_mend_is_one(ledger: Ledger) -> None:
    ledger.began(0)
    ledger.reported(0, {"epoch": 0, "end": "failed", "message": "other data", "failure_class": "permanent"})
    record = ledger.trials[0]
    assert (record.state, record.message, record.failure_class) == ("failed", "other data", "permanent")


def test_samples_that_a_trial_skipped_are_kept_with_its_results(ledger: Ledger) -> None:
    ledger.began(0)
    ledger.reported(0, result(1, 0.2, **{"data/skipped_samples": 3.0}))
    assert ledger.trials[0].metrics["data/skipped_samples"] == 3


def test_a_number_that_is_none_is_not_recorded(ledger: Ledger) -> None:
    ledger.began(0)
    ledger.reported(0, result(1, float("nan")))
    assert "val_error" not in ledger.trials[0].metrics


def test_progress_counts_trials_and_says_what_is_left(ledger: Ledger, job: JobDirectory, clock: Clock) -> None:
    ledger.began(0)
    ledger.began(1)
    ledger.tell_progress({}, force=True)
    clock.now = 10
    ledger.reported(0, result(4, 0.2, end="finished"))
    ledger.reported(1, result(1, 0.1))
    ledger.tell_progress({1: 200})
    told = progress(job)[-1]
    assert (told["done"], told["total"], told["samples"]) == (1, 3, 600)
    assert told["samples_per_second"] == 60
    assert told["eta_seconds"] == 10
    assert (told["best"], told["best_label"]) == (0.2, "val error")  # of what is finished, where anything is


def test_what_a_search_waits_for_is_said_and_then_taken_back(ledger: Ledger, job: JobDirectory, clock: Clock) -> None:
    ledger.tell_progress({}, force=True, message="starting Ray on 1 slot")
    clock.now = 2
    ledger.tell_progress({})
    assert [told["message"] for told in progress(job)] == ["starting Ray on 1 slot", ""]


def test_progress_that_does_not_move_is_said_rarely(ledger: Ledger, job: JobDirectory, clock: Clock) -> None:
    for second in range(21):
        clock.now = second
        ledger.tell_progress({})
    assert len(progress(job)) == 3


def test_what_earlier_runs_did_is_no_part_of_this_ones_speed(
    open_ledger: Callable[[tuple[TrialRecord, ...]], Ledger],
    job: JobDirectory,
    trials: tuple[TrialRecord, ...],
    clock: Clock,
) -> None:
    done = replace(trials[0], state="succeeded", epochs=4, samples=400, metrics={"val_error": 0.5})
    half = replace(trials[1], epochs=2, samples=200)
    ledger = open_ledger((done, half, trials[2]))
    ledger.tell_progress({}, force=True)
    clock.now = 10
    ledger.began(1)
    ledger.reported(1, result(3, 0.4))
    ledger.tell_progress({})
    told = progress(job)[-1]
    assert (told["done"], told["samples"], told["eta_seconds"]) == (1, 100, 50)


def test_a_curve_is_kept_where_it_is_asked_for_and_holds_each_epoch_once(
    job: JobDirectory, trials: tuple[TrialRecord, ...], ledger: Ledger
) -> None:
    voice = Voice(DurableEvents(job.run(RUN), "rank-0", 1), Discard(), "job-1")
    keeps = Ledger(trials, TrialRecords(job, 1), voice, epochs=4, samples_per_epoch=100, curves=True)
    for each in (ledger, keeps):
        each.began(0)
        for epoch, score in ((1, 0.5), (2, 0.4), (2, 0.3), (3, float("nan"))):
            each.reported(0, result(epoch, score, score=score))
    assert ledger.trials[0].curve == ()
    assert keeps.trials[0].curve == ((1.0, 0.5), (2.0, 0.4))
    assert TrialRecords(job, 1).load_one(0).curve == keeps.trials[0].curve

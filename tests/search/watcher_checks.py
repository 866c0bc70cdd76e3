"""A trial that fails, with a stop rule or while the run is asked to stop; a search that finds no further model."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from ray.tune.search import Searcher

from orchestrator.onray.private import Signals
from orchestrator.rundir.layout import JobDirectory
from orchestrator.runtime.durable import DurableEvents
from orchestrator.search.ledger import Ledger
from orchestrator.search.records import TrialRecord, TrialRecords
from orchestrator.search.stopping import StopRule
from orchestrator.search.suggested import Suggested
from orchestrator.search.trial import CLOSED_FILE
from orchestrator.search.voice import Voice
from orchestrator.search.watcher import Watcher
from orchestrator.spec.search import StopRules, TrialShare
from orchestrator.tracking.protocol import Discard


@dataclass
class Trial:
    """A trial as Tune tells of it, whose process has died."""

    index: int
    error_file: str = ""
    config: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.config = {"index": self.index}


@dataclass
class Rig:
    """A watcher, and what happens to it."""

    watcher: Any
    ledger: Ledger
    meeting: Path
    asked: bool = False
    now: float = 0.0

    def fails(self, index: int, *, again: bool = False) -> None:
        """A trial has failed after an hour."""
        self.watcher.on_trial_start(1, [], Trial(index))
        self.now += 3600
        (self.watcher.on_trial_recover if again else self.watcher.on_trial_error)(1, [], Trial(index))

    def record(self, index: int) -> TrialRecord:
        return self.ledger.trials[index]


@pytest.fixture
def rig(tmp_path: Path, job: JobDirectory, trials: tuple[TrialRecord, ...]) -> Rig:
    voice = Voice(DurableEvents(job.run("job-1-r1"), "rank-0", 1), Discard(), "job-1")
    ledger = Ledger(trials, TrialRecords(job, 1), voice, epochs=4, samples_per_epoch=100, now=lambda: made.now)
    rule = StopRule(StopRules(core_hours=2), TrialShare(1, 0))
    watcher = Watcher(ledger, tmp_path, lambda: made.asked, Signals.current(), rule)
    made = Rig(watcher, ledger, tmp_path)
    return made


@pytest.mark.parametrize("again", [True, False])
def test_a_budget_is_looked_at_when_a_trial_fails(rig: Rig, again: bool) -> None:
    rig.fails(0, again=again)
    assert (rig.watcher.closed, rig.watcher.draining) == ("", False)
    rig.fails(1, again=again)
    assert rig.watcher.closed == "the budget of 2 core hours is used up"
    assert (rig.meeting / CLOSED_FILE).exists()
    assert rig.watcher.drained


@pytest.mark.parametrize("again", [True, False])
def test_a_trial_that_fails_while_the_run_stops_goes_on_in_the_next(rig: Rig, again: bool) -> None:
    rig.watcher.on_trial_start(1, [], Trial(0))
    rig.asked = True
    rig.watcher.on_step_begin(1, [])
    assert not rig.watcher.drained
    rig.fails(0, again=again)
    record = rig.record(0)
    assert (record.state, record.message, record.failures, record.seconds) == ("pending", "", {}, 3600.0)
    assert (rig.watcher.drained, rig.watcher.closed) == (True, "")


@pytest.mark.parametrize(
    ("failure_class", "state"), [("infrastructure", "pending"), ("application", "pending"), ("permanent", "failed")]
)
def test_what_a_trial_reports_as_its_failure_while_the_run_stops_counts_where_it_would_fail_again(
    rig: Rig, failure_class: str, state: str
) -> None:
    rig.watcher.on_trial_start(1, [], Trial(0))
    rig.asked = True
    rig.watcher.on_step_begin(1, [])
    told = {"epoch": 0, "score": 1.0, "end": "failed", "message": "killed", "failure_class": failure_class}
    rig.watcher.on_trial_result(1, [], Trial(0), told)
    rig.watcher.on_trial_complete(1, [], Trial(0))
    assert rig.record(0) == replace(
        rig.record(0), state=state, message="" if state == "pending" else "killed", failures={}
    )


class Exhausted:
    """A sampler that finds nothing more."""

    exhausted = "no further model"

    def __init__(self, *, over: bool) -> None:
        self._over = over

    def over(self, trials: object) -> bool:
        return self._over

    def suggest(self, trials: object) -> None:
        return None


@pytest.mark.parametrize(("over", "why"), [(True, ""), (False, "no further model")])
def test_a_search_that_finds_no_further_model_ends_and_says_why(rig: Rig, over: bool, why: str) -> None:
    sampler: Any = Exhausted(over=over)
    searcher = Suggested(sampler, rig.ledger, 4, lambda: False)
    given = [searcher.suggest(trial) for trial in "abcd"]
    assert given == [{"index": 0}, {"index": 1}, {"index": 2}, Searcher.FINISHED]
    assert rig.ledger.closed == why

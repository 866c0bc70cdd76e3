"""A trial whose node is about to be taken away."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.onray import leaving
from orchestrator.onray.leaving import Leaving
from orchestrator.rundir.layout import JobDirectory
from orchestrator.search.records import TrialRecord, TrialRecords
from orchestrator.search.trial import STOP_FILE, TrialFailed, TrialTask, execute


def test_a_trial_leaves_a_node_that_is_about_to_be_taken_away_and_says_that_this_was_no_end(
    job: JobDirectory, trials: tuple[TrialRecord, ...], trainer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaving, "own_node", lambda: "a")
    run, told = job.run("job-1-r1"), list[dict[str, Any]]()
    TrialRecords(job, 1).save(trials[0])
    meeting = run.path / "trials"
    meeting.mkdir()
    task = TrialTask(str(job.path), 1, 0, trainer, str(meeting), str(run.path))
    driver = Leaving(run)
    driver.say({"a"})
    with pytest.raises(TrialFailed, match="preempted: its node"):
        execute(task, told.append)
    assert not any("end" in one for one in told)
    (meeting / STOP_FILE).touch()
    execute(task, told.append)
    assert told[-1]["end"] == "stopped"
    (meeting / STOP_FILE).unlink()
    driver.say(())
    execute(task, told.append)
    assert told[-1]["end"] == "finished"

"""What `orchestrator status JOB` says of the time that a job takes."""

from __future__ import annotations

from orchestrator.cli.jobtext import job_details, job_table
from orchestrator.spec.messages import Expected, JobView, Progress

JOB = JobView(
    id="j-1",
    name="job",
    kind="regnet",
    owner="ann",
    team="default",
    priority=0,
    state="running",
    terminal=False,
    reason="runs",
    profile="local",
    workers="1..2",
    created_at=1.0,
    directory="/d",
)
WHOLE = Expected(seconds=7200.0, low=5400.0, high=9600.0, source="from 14 measurements of this very model on h200")


def test_what_is_left_and_the_whole_are_told_with_their_intervals() -> None:
    text = job_details(
        JOB.model_copy(update={"left": Expected(seconds=600.0, low=500.0, high=720.0), "expected": WHOLE})
    )
    assert "left       10m 00s, 8 of 10 times 8m 20s to 12m 00s" in text
    assert "2h 00m in all, 8 of 10 times 1h 30m to 2h 40m; from 14 measurements of this very model on h200" in text


def test_what_is_left_is_told_once_and_only_while_the_job_runs() -> None:
    progress = Progress(done=5, total=10, unit="epochs", samples_per_second=595, eta_seconds=87)
    left = Expected(seconds=84.0, low=60.0, high=120.0)
    running = JOB.model_copy(update={"progress": progress, "left": left, "expected": WHOLE, "started_at": 2.0})
    text = job_details(running)
    assert "5/10 epochs, 595 samples/s\n" in text
    assert "before it ran: 2h 00m in all" in text
    assert "1m 24s left" in job_table([running])
    waiting = job_details(running.model_copy(update={"state": "queued", "left": None}))
    assert "5/10 epochs\n" in waiting


def test_of_a_job_that_is_over_and_of_an_unknown_one_nothing_is_expected() -> None:
    over = JOB.model_copy(update={"state": "succeeded", "terminal": True, "expected": WHOLE})
    for job in (over, JOB):
        assert "8 of 10 times" not in job_details(job)

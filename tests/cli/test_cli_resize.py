"""`resize` and `checkpoint`, and what `status` tells of workers and of goodput, against a fake service."""

from pathlib import Path
from typing import Any

import pytest
from api_fakes import TOKENS, FakeService

from orchestrator.spec.messages import EventView, Goodput, JobView

pytestmark = pytest.mark.usefixtures("live")


def change(service: FakeService, job: str, **fields: Any) -> None:
    service.jobs[job] = service.jobs[job].model_copy(update=fields)


def change_run(service: FakeService, job: str, **fields: Any) -> None:
    change(service, job, runs=[service.jobs[job].runs[-1].model_copy(update=fields)])


def test_resize_waits_until_the_job_has_its_workers(cli, service: FakeService) -> None:
    service.add("j-a", state="running")
    service.script["j-a"] = ["running", "running", "resizing", "resizing", "running"]
    outcome = cli("resize", "j-a", "2")
    assert outcome.code == 0
    assert service.resized == [("j-a", 2)]
    assert outcome.out.startswith("j-a running on 2 workers; 1 of them now (")


def test_resize_without_waiting_says_that_it_is_on_its_way(cli, service: FakeService) -> None:
    service.add("j-a", state="running")
    assert cli("resize", "j-a", "1", "--no-wait").out == "j-a resizing to 1 worker\n"


def test_a_resize_that_was_called_off_is_told_with_its_reason_and_6(cli, service: FakeService) -> None:
    service.add("j-a", state="running")
    service.script["j-a"] = ["running", "running", "resizing", "running"]
    service.gets = 1
    outcome = cli("resize", "j-a", "2", "--json")
    assert outcome.code == 6
    assert outcome.document["error"]["code"] == "not_resized"
    assert "j-a was not resized: it is running: scripted" in outcome.document["error"]["message"]


def test_a_refused_resize_keeps_its_words(cli, service: FakeService) -> None:
    service.add("j-a")
    outcome = cli("resize", "j-a", "2")
    assert outcome.code == 6
    assert "only a running job can be resized" in outcome.err


@pytest.mark.parametrize("workers", ["0", "-1", "two", "2.5", "9" * 5000])
def test_workers_are_whole_numbers(cli, service: FakeService, workers: str) -> None:
    service.add("j-a", state="running")
    outcome = cli("resize", "j-a", workers)
    assert outcome.code == 2
    assert f"'{workers[:30]}" in outcome.err
    assert "workers? It takes a whole number, from 1 to 1,000,000" in outcome.err
    assert service.resized == []


def test_a_viewer_resizes_nothing(cli, service: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    service.add("j-a", state="running")
    monkeypatch.setenv("ORCHESTRATOR_TOKEN", TOKENS["viewer"])
    assert cli("resize", "j-a", "2").code == 4
    assert cli("checkpoint", "j-a").code == 4
    assert service.resized == []


def test_checkpoint_tells_where_it_is(cli, service: FakeService) -> None:
    service.add("j-a", state="running")
    service.answers = [("checkpoint", {"path": "/runs/c-640", "samples": 640, "asked": 2})]
    outcome = cli("checkpoint", "j-a")
    assert (outcome.code, outcome.out) == (0, "j-a checkpoint: /runs/c-640\n")
    assert cli("checkpoint", "j-a", "--json").document["data"]["checkpoint"]["data"]["samples"] == 640


def test_an_older_checkpoint_is_not_the_one_that_was_asked_for(cli, service: FakeService) -> None:
    service.add("j-a", state="running")
    service.answers = [("checkpoint", {"path": "old"})]
    service.checkpoint("j-a")
    service.answers = []
    outcome = cli("checkpoint", "j-a", "--timeout", "0.2")
    assert outcome.code == 7
    assert "j-a wrote no checkpoint within 0s; it may still come" in outcome.err


def test_a_checkpoint_that_was_begun_before_the_request_is_not_the_one_that_was_asked_for(
    cli, service: FakeService
) -> None:
    service.add("j-a", state="running")
    service.answers = [("checkpoint", {"path": "old", "asked": 0}), ("checkpoint", {"path": "new", "asked": 1})]
    assert cli("checkpoint", "j-a").out == "j-a checkpoint: new\n"
    service.answers = [("checkpoint", {"path": "of another request", "asked": 1})]
    assert cli("checkpoint", "j-a", "--timeout", "0.2").code == 7


def test_a_job_that_ends_first_is_told(cli, service: FakeService) -> None:
    service.add("j-a", state="running")
    service.script["j-a"] = ["running", "running", "running", "failed"]
    outcome = cli("checkpoint", "j-a")
    assert outcome.code == 6
    assert "wrote no checkpoint any more: it is failed" in outcome.err


def test_status_tells_the_workers_that_a_job_has_and_should_have(cli, service: FakeService) -> None:
    service.add("j-a", state="running")
    change_run(service, "j-a", world_size=3, wanted=4)
    assert "3 of 1..2" in cli("status").out
    assert "3 of 4" in cli("status", "j-a").out


def test_status_tells_what_the_time_was_spent_on(cli, service: FakeService) -> None:
    service.add("j-a", state="running")
    change(service, "j-a", goodput=Goodput(useful_seconds=90, redone_seconds=2, idle_seconds=8))
    assert "goodput    90% useful: 1m 30s useful, 2s redone, 8s idle" in cli("status", "j-a").out
    assert cli("status", "j-a", "--json").document["data"]["job"]["goodput"]["redone_seconds"] == 2


def test_status_of_a_job_that_counts_nothing_has_no_such_line(cli, service: FakeService, tmp_path: Path) -> None:
    service.add("j-a", state="running")
    assert "goodput" not in cli("status", "j-a").out


def led_by(service: FakeService, job: str, number: int) -> None:
    event = EventView(
        id=len(service.history[job]) + 1,
        job=job,
        run=f"{job}-r1",
        time=1.0,
        kind="resized",
        message="now on 1 worker",
        data={"members": [{"number": number, "pid": 1}]},
    )
    service.history[job].append(event)


def test_logs_are_those_of_the_worker_that_leads_now(cli, service: FakeService) -> None:
    service.add("j-a", state="running")
    service.log("j-a", "rank-0.log", b"the first\n")
    service.log("j-a", "rank-3.log", b"the next\n")
    assert cli("logs", "j-a").out == "the first\n"
    led_by(service, "j-a", 3)
    assert cli("logs", "j-a").out == "the next\n"
    assert cli("logs", "j-a", "--rank", "0").out == "the first\n"


def test_another_agent_that_joins_changes_no_leader_and_another_run_does(cli, service: FakeService) -> None:
    service.add("j-a", state="running")
    service.log("j-a", "rank-0.log", b"the first\n")
    service.log("j-a", "rank-3.log", b"the next\n")
    led_by(service, "j-a", 3)
    agent_of(service, "j-a", 1)
    assert cli("logs", "j-a").out == "the next\n"
    service.log("j-a", "rank-0.log", b"again the first\n", run=2)
    agent_of(service, "j-a", 2)
    led_by(service, "j-a", 3)
    assert cli("logs", "j-a").out == "again the first\n"


def agent_of(service: FakeService, job: str, run: int) -> None:
    last = len(service.history[job])
    told = {"run": f"{job}-r{run}", "time": 1.0, "kind": "agent_started", "message": "its agent runs on here"}
    service.history[job].append(EventView(id=last + 1, job=job, **told))


def test_following_goes_on_with_the_next_leader(cli, service: FakeService) -> None:
    service.add("j-a", state="running")
    service.log("j-a", "rank-0.log", b"the first\n")
    service.log("j-a", "rank-3.log", b"the next\n")
    looks = service.get

    def get(job: str) -> JobView:
        led_by(service, "j-a", 3)
        return looks(job)

    service.script["j-a"] = ["running", "running", "succeeded"]
    cli_follow = cli("logs", "-f", "j-a")
    assert cli_follow.out == "the first\n"
    service.script["j-a"] = ["running", "running", "succeeded"]
    service.get = get  # type: ignore[method-assign]
    assert "the next\n" in cli("logs", "-f", "j-a").out


def told(service: FakeService, job: str, kind: str, message: str, **data: Any) -> None:
    last = len(service.history[job])
    event = EventView(id=last + 1, job=job, time=1.0, kind=kind, message=message, data=data)
    service.history[job].append(event)


def test_checkpoints_do_not_drown_a_history(cli, service: FakeService) -> None:
    service.add("j-a", state="running")
    for samples in range(1, 1201):
        told(service, "j-a", "checkpoint", f"checkpoint at {samples:,} samples")
    told(service, "j-a", "data_skipped", "a shard")
    told(service, "j-a", "checkpoint", "checkpoint at 9,999 samples")
    status, events = cli("status", "j-a").out, cli("events", "j-a").out
    assert "  checkpoint at 9,999 samples, " in status
    assert status.count(" samples") == 1
    assert "submitted" in status
    assert events.count("\n") == 4
    assert "1,200 checkpoints, the last one at 1,200 samples" in events
    assert events.endswith("checkpoint at 9,999 samples\n")
    assert len(cli("events", "j-a", "--json").document["data"]) == 1203
    assert cli("status", "j-a", "--json").document["data"]["checkpoint"]["id"] == 1203


def test_a_resize_that_is_done_is_told_once_and_a_loss_as_a_loss(cli, service: FakeService) -> None:
    service.add("j-a", state="running")
    told(service, "j-a", "state", "asked to resize from 2 to 1 workers", **{"from": "running", "to": "resizing"})
    told(service, "j-a", "state", "runs on 1 worker, resized", **{"from": "resizing", "to": "running", "workers": 1})
    told(service, "j-a", "resized", "now on 1 worker, as asked", cause="resize")
    told(service, "j-a", "resized", "now on 1 worker: a worker was lost", cause="lost")
    for command in ("status", "events"):
        out = cli(command, "j-a").out
        assert "asked to resize" in out
        assert "runs on 1 worker, resized" not in out
        assert "resized       now on 1 worker, as asked" in out
        assert "worker_lost   now on 1 worker: a worker was lost" in out


def test_a_preemption_is_told_once(cli, service: FakeService) -> None:
    service.add("j-a", state="queued")
    for before, after in (("running", "recovering"), ("recovering", "queued")):
        told(service, "j-a", "state", "preempted for j-b; starts again", **{"from": before, "to": after})
    assert cli("events", "j-a").out.count("preempted for j-b") == 1


def test_the_log_of_a_later_leader_says_where_the_beginning_is(cli, service: FakeService) -> None:
    service.add("j-a", state="running")
    service.log("j-a", "rank-0.log", b"the first\n")
    service.log("j-a", "rank-3.log", b"the next\n")
    assert "--rank 0" not in cli("logs", "j-a").err
    led_by(service, "j-a", 3)
    assert "the first one's, with the beginning, is in --rank 0" in cli("logs", "j-a").err
    assert "--rank 0" not in cli("logs", "j-a", "--rank", "3").err


def test_an_empty_log_of_a_worker_that_does_not_lead_says_who_writes(cli, service: FakeService) -> None:
    service.add("j-a", state="running")
    service.log("j-a", "rank-0.log", b"")
    service.log("j-a", "rank-1.log", b"")
    assert "only the worker that leads writes" not in cli("logs", "j-a", "--rank", "1").err  # a command
    change(service, "j-a", kind="regnet")
    assert (
        "is empty: only the worker that leads writes, which is in rank-0.log" in cli("logs", "j-a", "--rank", "1").err
    )
    assert "only the worker" not in cli("logs", "j-a").err

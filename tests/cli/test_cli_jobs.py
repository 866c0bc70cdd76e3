"""The commands on jobs, against a fake service over real HTTP: output, envelopes, exit codes."""

import json
import os
import signal
import threading
from pathlib import Path

import pytest
from api_fakes import TOKENS, FakeService, make_client

from orchestrator.base.errors import Conflict
from orchestrator.base.paths import bundled
from orchestrator.cli.connect import check_profile, check_tracking
from orchestrator.spec.messages import TrialView
from orchestrator.spec.objectstore import other_store, store_fingerprints

pytestmark = pytest.mark.usefixtures("live")

TRIALS = [
    TrialView(index=0, state="succeeded", parameters={"depth": 4}, metrics={"val_error": 0.2}, epochs=12, seconds=9),
    TrialView(index=1, state="succeeded", parameters={"depth": 8}, metrics={"val_error": 0.05}, epochs=12, seconds=99),
    TrialView(index=2, state="failed", parameters={"depth": 6}, message="=1+1"),
]


def test_submit_prints_the_jobs_identifier_alone(cli, service: FakeService, workload: Path) -> None:
    outcome = cli("submit", workload)
    (job,) = service.jobs
    assert (outcome.code, outcome.out) == (0, f"{job}\n")
    assert f"orchestrator status {job}" in outcome.err


def test_submit_sends_the_text_the_overrides_and_where_the_user_stood(
    cli, service: FakeService, workload: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli("submit", "hello.yaml", "--set", "priority=3", "--key", "mine").code == 0
    (request,) = service.requests
    assert request.source == workload.read_text()
    assert (request.overrides, request.client_key, request.workdir) == (["priority=3"], "mine", str(tmp_path))
    assert request.filename == "hello.yaml"


def test_submit_sends_where_the_users_shell_finds_programs(
    cli, service: FakeService, workload: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/mine/bin:/usr/bin:/bin")
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV"):
        monkeypatch.delenv(name, raising=False)
    assert cli("submit", workload).code == 0
    (request,) = service.requests
    assert request.environment == {"PATH": "/mine/bin:/usr/bin:/bin"}


def test_each_submit_has_a_key_of_its_own_unless_one_is_given(cli, service: FakeService, workload: Path) -> None:
    for key in ([], [], ["--key", "k"], ["--key", "k"]):
        assert cli("submit", workload, *key).code == 0
    assert len(service.jobs) == 3


def test_several_workloads_are_submitted_together_in_their_order(cli, service: FakeService, workload: Path) -> None:
    other = workload.with_name("other.yaml")
    other.write_text(workload.read_text())
    outcome = cli("submit", workload, other, "--key", "k")
    assert (outcome.code, outcome.out.split()) == (0, list(service.jobs))
    assert [(request.filename, request.client_key) for request in service.requests] == [
        (str(workload), "k-0"),
        (str(other), "k-1"),
    ]
    assert cli("submit", workload, other, "--watch").code == 2
    assert "is named twice" in cli("submit", "-", "-").err


def test_a_wrong_workload_is_refused_before_anything_is_sent(cli, service: FakeService, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text("name: x\ncomand: [echo]\n")
    outcome = cli("submit", path)
    assert outcome.code == 2
    assert "wrong.yaml:2:1" in outcome.err
    assert service.requests == []


def test_a_missing_file_is_a_usage_error(cli, service: FakeService, tmp_path: Path) -> None:
    outcome = cli("submit", tmp_path / "absent.yaml", "--json")
    assert outcome.code == 2
    assert "absent.yaml" in outcome.document["error"]["message"]


def test_watch_returns_0_and_shows_what_was_found(cli, service: FakeService, workload: Path) -> None:
    service.default_script = ["starting", "running", "succeeded"]
    service.trials["j-00000000"] = TRIALS
    outcome = cli("submit", workload, "--watch")
    assert outcome.code == 0
    assert outcome.out.startswith("j-00000000\n")
    assert "edf.png" in outcome.out
    assert "orchestrator results j-00000000" in outcome.err
    assert "orchestrator mlflow" in outcome.err


def test_watch_returns_1_where_the_job_failed_and_shows_its_last_words(
    cli, service: FakeService, workload: Path
) -> None:
    service.default_script = ["running", "failed"]
    service.log("j-00000000", "rank-0.log", b"Traceback\nValueError: nope\n")
    outcome = cli("submit", workload, "--watch")
    assert outcome.code == 1
    assert "ValueError: nope" in outcome.err
    assert "scripted to be failed" in outcome.err
    assert "orchestrator logs j-00000000" in outcome.err


def test_the_logs_of_a_job_that_never_ran_are_not_named(cli, service: FakeService, workload: Path) -> None:
    service.default_script = ["failed"]
    outcome = cli("submit", workload, "--watch")
    assert "orchestrator why j-00000000" in outcome.err
    assert "orchestrator logs" not in outcome.err


def test_watch_as_json_is_one_document_even_where_the_job_failed(cli, service: FakeService, workload: Path) -> None:
    service.default_script = ["failed"]
    document = cli("submit", workload, "--watch", "--json").document
    assert document["error"]["code"] == "job_failed"
    assert document["data"]["job"]["state"] == "failed"


def test_watch_gives_up_after_the_timeout_with_7_and_the_job_goes_on(cli, service: FakeService, workload: Path) -> None:
    outcome = cli("submit", workload, "--watch", "--timeout", "0.01")
    assert outcome.code == 7
    assert "orchestrator status j-00000000" in outcome.err
    assert service.jobs["j-00000000"].state == "queued"


def test_an_interrupted_watch_returns_130_and_the_way_back(cli, service: FakeService, workload: Path) -> None:
    timer = threading.Timer(1.0, signal.raise_signal, [signal.SIGINT])
    timer.start()
    outcome = cli("submit", workload, "--watch")
    timer.join()
    assert outcome.code == 130
    assert "j-00000000 goes on" in outcome.err
    assert "orchestrator logs -f j-00000000" in outcome.err
    assert service.jobs["j-00000000"].state == "queued"


def test_status_shows_the_server_and_why_a_job_waits(cli, service: FakeService) -> None:
    service.add("j-a")
    service.add("j-b", state="succeeded", name="over")
    outcome = cli("status")
    assert "1 of 2 slots free" in outcome.out
    assert "waits for 1 slot; 0 of 2 are free" in outcome.out
    assert "j-b" not in outcome.out


def test_status_of_a_job_shows_its_runs_and_its_history(cli, service: FakeService) -> None:
    service.add("j-a")
    outcome = cli("status", "j-a")
    assert "j-a-r1" in outcome.out
    assert "submitted" in outcome.out
    assert "3/24 trials" in outcome.out


def test_jobs_can_be_filtered(cli, service: FakeService) -> None:
    service.add("j-a", state="failed", name="one")
    service.add("j-b", name="two")
    assert "j-b" not in cli("jobs", "--state", "failed").out
    assert "j-a" not in cli("jobs", "--name", "two").out
    assert cli("jobs", "--name", "three").out == "no jobs\n"


def test_logs_are_printed_as_they_are_into_a_pipe(cli, service: FakeService) -> None:
    service.add("j-a", state="succeeded")
    service.log("j-a", "rank-0.log", b"one\r\x1b[31mtwo\n" * 100_000)
    assert cli("logs", "j-a").out == "one\r\x1b[31mtwo\n" * 100_000


def test_an_empty_log_is_said_to_be_so(cli, service: FakeService) -> None:
    service.add("j-a", state="running")
    service.log("j-a", "rank-0.log", b"")
    outcome = cli("logs", "j-a")
    assert (outcome.code, outcome.out) == (0, "")
    assert "no output yet" in outcome.err


def test_the_end_of_a_log_and_other_logs_can_be_chosen(cli, service: FakeService) -> None:
    service.add("j-a", state="succeeded")
    service.log("j-a", "rank-0.log", b"a\nb\nc\n")
    service.log("j-a", "rank-1.log", b"other\n")
    service.log("j-a", "agent-0.log", b"agent\n", run=2)
    assert cli("logs", "j-a", "--tail", "2").out == "b\nc\n"
    assert cli("logs", "j-a", "--rank", "1").out == "other\n"
    assert cli("logs", "j-a", "--name", "agent-0.log", "--run", "2").out == "agent\n"
    assert cli("logs", "j-a", "--list").out.count("\n") == 4
    assert cli("logs", "j-a", "--rank", "7").code == 5
    assert cli("logs", "j-a", "--rank", "1", "--name", "x").code == 2


def test_a_followed_log_ends_with_its_job(cli, service: FakeService) -> None:
    service.default_script = ["running", "running", "running", "succeeded"]
    service.add("j-a")
    path = service.log("j-a", "rank-0.log", b"first\n")
    timer = threading.Timer(0.1, lambda: path.open("ab").write(b"second\n"))
    timer.start()
    assert cli("logs", "-f", "j-a").out == "first\nsecond\n"


def test_events_are_a_line_each(cli, service: FakeService) -> None:
    service.add("j-a")
    service.cancel("j-a")
    assert cli("events", "j-a").out.count("\n") == 2
    assert [e["kind"] for e in cli("events", "j-a", "--json").document["data"]] == ["submitted", "moved"]


def test_cancel_takes_many_and_reports_the_one_that_is_absent(cli, service: FakeService) -> None:
    service.add("j-a")
    outcome = cli("cancel", "j-a", "nope")
    assert outcome.code == 5
    assert "nope" in outcome.err
    assert service.jobs["j-a"].state == "cancelled"


def test_retry_of_a_job_that_still_runs_is_a_conflict(cli, service: FakeService) -> None:
    service.add("j-a")
    assert cli("retry", "j-a").code == 6
    service.cancel("j-a")
    assert cli("retry", "j-a").out == "j-a queued\n"


def test_the_best_trial_comes_first_and_failed_ones_last(cli, service: FakeService) -> None:
    service.add("j-a", state="succeeded")
    service.trials["j-a"] = TRIALS
    lines = cli("results", "j-a").out.splitlines()
    first = next(i for i, line in enumerate(lines) if "TRIAL" in line)
    assert [line.split()[0] for line in lines[first + 1 : first + 4]] == ["1", "0", "2"]


def test_results_as_csv_hold_every_trial_and_no_formula(cli, service: FakeService) -> None:
    service.add("j-a", state="succeeded")
    service.trials["j-a"] = TRIALS
    lines = cli("results", "j-a", "--csv").out.splitlines()
    assert lines[0] == "index,state,seed,depth,val_error,epochs,seconds,message"
    assert lines[1] == "0,succeeded,,4,0.2,12.0,9.0,"
    assert lines[3].endswith(",'=1+1")


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        (["status"], {"server", "jobs"}),
        (["status", "j-a"], {"job", "events"}),
        (["results", "j-a"], {"job", "summary", "trials", "files", "tracking"}),
        (["logs", "j-a"], {"job", "run", "name", "text"}),
    ],
)
def test_each_envelope_holds_what_it_always_holds(
    cli, service: FakeService, arguments: list[str], keys: set[str]
) -> None:
    service.add("j-a", state="failed")
    service.log("j-a", "rank-0.log", b"x\n")
    outcome = cli(*arguments, "--json")
    assert outcome.code == 0
    assert outcome.document["error"] is None
    assert keys <= set(outcome.document["data"])


@pytest.mark.parametrize("arguments", [["jobs"], ["events", "j-a"], ["cancel", "j-a"], ["logs", "--list", "j-a"]])
def test_lists_are_lists(cli, service: FakeService, arguments: list[str]) -> None:
    service.add("j-a")
    service.log("j-a", "rank-0.log", b"x\n")
    assert isinstance(cli(*arguments, "--json").document["data"], list)


def test_an_unknown_job_is_5(cli) -> None:
    for command in ("status", "events", "results", "retry", "cancel", "logs"):
        outcome = cli(command, "j-nope", "--json")
        assert outcome.code == 5
        assert outcome.document["error"]["code"] == "not_found"


def test_the_wrong_token_and_the_wrong_role_are_4(cli, service: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    service.add("j-a")
    monkeypatch.setenv("ORCHESTRATOR_TOKEN", TOKENS["viewer"])
    assert cli("status").code == 0
    assert cli("cancel", "j-a").code == 4
    monkeypatch.setenv("ORCHESTRATOR_TOKEN", "wrong")
    assert cli("status").code == 4


def test_a_server_that_does_not_answer_is_3(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_URL", "http://127.0.0.1:1")
    assert cli("status").code == 3


def test_an_address_without_a_token_is_a_usage_error(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORCHESTRATOR_TOKEN")
    assert cli("status").code == 2


def test_hostile_names_and_reasons_are_shown_inert(cli, service: FakeService) -> None:
    hostile = "\x1b]0;owned\x07<script>\u202e\nsecond line"
    job = service.add("j-a", name="bad")
    service.jobs["j-a"] = job.model_copy(update={"name": hostile, "reason": hostile})
    for arguments in (["status"], ["status", "j-a"], ["jobs"]):
        out = cli(*arguments).out
        assert "\x1b" not in out
        assert "\u202e" not in out
        assert "\nsecond line" not in out


def test_submit_as_json_says_whether_the_job_is_new(cli, workload: Path) -> None:
    document = cli("submit", workload, "--json").document
    assert set(document["data"]) == {"job", "created", "warnings"}
    assert document["data"]["created"] is True


@pytest.mark.parametrize("command", ["events", "logs"])
def test_what_is_followed_as_json_is_an_envelope_a_line(cli, service: FakeService, command: str) -> None:
    service.default_script = ["running", "succeeded"]
    service.add("j-a")
    service.log("j-a", "rank-0.log", b"hi\n")
    outcome = cli(command, "-f", "j-a", "--json")
    assert outcome.code == 0
    assert {frozenset(json.loads(line)) for line in outcome.out.splitlines()} == {
        frozenset({"schema", "data", "error"})
    }


def test_the_cluster_that_is_served_may_be_named_by_its_file_or_as_it_names_itself(
    cli, service: FakeService, workload: Path, tmp_path: Path
) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text("name: local\nbackend: local\n")
    assert cli("submit", workload, "--cluster", str(path)).code == 0
    path.write_text("name: lab\nbackend: local\n")
    refused = cli("submit", workload, "--cluster", str(path))
    assert refused.code == 6
    assert "serves the cluster local, not lab" in refused.err


def test_a_served_cluster_needs_no_file_here() -> None:
    check_profile("lab", "lab")


def test_a_cluster_that_is_misspelt_is_told_as_it_was_meant(cli, service: FakeService, workload: Path) -> None:
    refused = cli("submit", workload, "--cluster", "locla")
    assert refused.code == 6
    assert "did you mean 'local'?" in refused.err
    assert "serve --stop" not in refused.err
    assert "did you mean 'slurm'?" in cli("submit", workload, "--cluster", "slrum").err


def test_a_cluster_that_the_server_does_not_serve_is_a_conflict(cli, service: FakeService, workload: Path) -> None:
    assert cli("submit", workload, "--cluster", "other").code == 6
    assert service.requests == []
    assert cli("submit", workload, "--cluster", "local").code == 0


def test_a_job_whose_metrics_would_go_elsewhere_is_a_conflict(
    cli, service: FakeService, workload: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5999")
    outcome = cli("submit", workload)
    assert outcome.code == 6
    assert "MLFLOW_TRACKING_URI" in outcome.err
    assert service.requests == []
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///x.db")
    assert cli("submit", workload).code == 0


def test_a_shell_that_leads_to_another_object_store_is_told_of_it_for_urls_only(
    cli, service: FakeService, workload: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:5998")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIASECRETS")
    assert "AWS_" not in cli("submit", workload).err
    remote = tmp_path / "remote.yaml"
    text = (bundled("workloads") / "regnet_sweep.yaml").read_text()
    remote.write_text(text.replace("dataset: digits", "dataset: s3://bucket/digits"))
    outcome = cli("submit", remote)
    assert outcome.code == 0
    assert "AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID: set here to what the server does not have" in outcome.err
    assert "s3://bucket/digits is read as the server is set" in outcome.err
    assert "SECRETS" not in outcome.err
    assert other_store(os.environ, store_fingerprints(os.environ)) == []


def test_the_way_to_another_tracking_server_is_to_stop_the_embedded_one(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ORCHESTRATOR_URL")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5999")
    with pytest.raises(Conflict) as caught:
        check_tracking(make_client(service))
    assert "`orchestrator serve --stop`" in caught.value.hint

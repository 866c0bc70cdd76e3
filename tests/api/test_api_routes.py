"""What the routes answer, and how errors look on the wire."""

import json

import pytest
from api_fakes import TOKENS, FakeService, make_app
from fastapi.testclient import TestClient

from orchestrator.api.errors import status_of
from orchestrator.base import errors
from orchestrator.spec.messages import ErrorView

HEADERS = {"authorization": f"Bearer {TOKENS['admin']}"}


@pytest.fixture
def http(service: FakeService) -> TestClient:
    return TestClient(
        make_app(service), base_url="http://127.0.0.1/api/v1/", headers=HEADERS, raise_server_exceptions=False
    )


def test_a_submitted_workload_becomes_a_job_of_the_caller(http: TestClient, service: FakeService) -> None:
    reply = http.post("jobs", json={"source": "name: x", "workdir": "/", "client_key": "k"}).json()
    assert reply["created"]
    assert service.jobs[reply["job"]["id"]].owner == "root"


def test_many_workloads_are_submitted_in_one_request_with_the_rights_of_their_sender(
    http: TestClient, service: FakeService
) -> None:
    jobs = [{"source": f"name: {name}", "workdir": "/", "client_key": name} for name in ("a", "b")]
    replies = http.post("jobs/bulk", json={"jobs": jobs}).json()
    assert [reply["job"]["id"] for reply in replies] == list(service.jobs)
    assert service.highest == [None, None]
    assert http.post("jobs/bulk", json={"jobs": []}).status_code == 400


def test_the_same_client_key_twice_is_one_job(http: TestClient, service: FakeService) -> None:
    body = {"source": "name: x", "workdir": "/", "client_key": "k"}
    first, second = (http.post("jobs", json=body).json() for _ in range(2))
    assert first["job"]["id"] == second["job"]["id"]
    assert not second["created"]
    assert len(service.jobs) == 1


def test_jobs_are_filtered_by_state_and_name(http: TestClient, service: FakeService) -> None:
    service.add("j-a", state="failed", name="one")
    service.add("j-b", state="queued", name="two")
    assert [j["id"] for j in http.get("jobs?state=failed&state=cancelled").json()] == ["j-a"]
    assert [j["id"] for j in http.get("jobs?name=two").json()] == ["j-b"]


def test_a_job_is_found_by_prefix_and_name(http: TestClient, service: FakeService) -> None:
    service.add("j-abc", name="one")
    assert http.get("jobs/j-a").json()["id"] == http.get("jobs/one").json()["id"] == "j-abc"


def test_events_are_paged_by_the_last_one_seen(http: TestClient, service: FakeService) -> None:
    service.add("j-a")
    service.cancel("j-a")
    assert [e["id"] for e in http.get("jobs/j-a/events?after=1").json()] == [2]


def test_a_log_is_read_in_pieces(http: TestClient, service: FakeService) -> None:
    service.add("j-a")
    service.log("j-a", "rank-0.log", b"0123456789")
    answer = http.get("jobs/j-a/logs/rank-0.log?offset=4&limit=3")
    assert (answer.content, answer.headers["x-log-offset"], answer.headers["x-log-size"]) == (b"456", "7", "10")
    assert http.get("jobs/j-a/logs/rank-0.log?offset=-4").content == b"6789"
    assert http.get("jobs/j-a/logs/rank-0.log?offset=99").content == b""


@pytest.mark.parametrize("name", ["..%2F..%2Fsecret", "%2e%2e", "absent.log", "%2e", "%00"])
def test_no_log_name_leads_out_of_the_logs_folder(http: TestClient, service: FakeService, name: str) -> None:
    service.add("j-a")
    service.log("j-a", "rank-0.log", b"x")
    (service.root / "j-a" / "secret").write_text("secret")
    assert http.get(f"jobs/j-a/logs/{name}").status_code == 404


def test_the_stream_tells_every_change_and_ends_with_the_job(http: TestClient, service: FakeService) -> None:
    service.default_script = ["starting", "running", "succeeded"]
    service.add("j-a")
    lines = [line for line in http.get("jobs/j-a/stream").text.splitlines() if line]
    pairs = list(zip(lines[::2], lines[1::2], strict=True))
    jobs = [json.loads(d.removeprefix("data: "))["state"] for e, d in pairs if e == "event: job"]
    seen = [json.loads(d.removeprefix("data: "))["id"] for e, d in pairs if e == "event: event"]
    assert jobs == ["starting", "running", "succeeded"]
    assert seen == [1, 2, 3, 4]


def test_the_stream_leaves_out_what_the_caller_has(http: TestClient, service: FakeService) -> None:
    service.add("j-a", state="failed")
    assert "event: event" not in http.get("jobs/j-a/stream?after=1").text


def test_who_asks_is_told_who_they_are(http: TestClient) -> None:
    info = http.get("server").json()
    assert (info["user"], info["role"], info["slots"]) == ("root", "admin", 2)


def test_a_malformed_request_names_the_field(http: TestClient) -> None:
    answer = http.post("jobs", json={"source": 1})
    assert answer.status_code == 400
    view = ErrorView.model_validate(answer.json())
    assert view.exit_code == 2
    assert "source" in view.message
    assert "workdir" in view.message


def test_an_unknown_job_is_not_found(http: TestClient) -> None:
    answer = http.get("jobs/j-nope")
    assert answer.status_code == 404
    assert ErrorView.model_validate(answer.json()).exit_code == 5


def test_an_unknown_route_is_an_error_view_too(http: TestClient) -> None:
    assert ErrorView.model_validate(http.get("nope").json()).code == "not_found"


def test_a_failure_inside_the_server_is_told_without_its_trace(http: TestClient, service: FakeService) -> None:
    service.results = lambda job: 1 / 0  # type: ignore[method-assign,assignment,return-value]
    service.add("j-a")
    answer = http.get("jobs/j-a/results")
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal"
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.UsageError("x"), 400),
        (errors.SpecError("x"), 400),
        (errors.NotAllowed("x"), 403),
        (errors.NotFound("x"), 404),
        (errors.Conflict("x"), 409),
        (errors.Fenced("x"), 409),
        (errors.StoreError("x"), 503),
        (errors.BackendUnavailable("x"), 503),
        (errors.TimedOut("x"), 504),
        (errors.LaunchRefused("x"), 500),
        (errors.OrchestratorError("x"), 500),
    ],
)
def test_each_error_has_its_http_status(error: errors.OrchestratorError, status: int) -> None:
    assert status_of(error) == status


def test_a_running_job_is_resized(http: TestClient, service: FakeService) -> None:
    service.add("j-a", state="running")
    assert http.post("jobs/j-a/resize", json={"workers": 2}).json()["state"] == "resizing"
    assert service.resized == [("j-a", 2)]


@pytest.mark.parametrize("body", [{}, {"workers": 0}, {"workers": "many"}, {"workers": 10**9}])
def test_a_number_of_workers_that_cannot_be_is_refused(
    http: TestClient, service: FakeService, body: dict[str, object]
) -> None:
    service.add("j-a", state="running")
    assert http.post("jobs/j-a/resize", json=body).status_code == 400
    assert service.resized == []


def test_a_running_job_is_asked_for_a_checkpoint(http: TestClient, service: FakeService) -> None:
    service.add("j-a", state="running")
    assert http.post("jobs/j-a/checkpoint").json()["id"] == "j-a"
    assert service.history["j-a"][-1].kind == "checkpointing"
    service.add("j-b")
    assert http.post("jobs/j-b/checkpoint").status_code == 409

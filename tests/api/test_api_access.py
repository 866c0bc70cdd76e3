"""Who may do what, and what a browser cannot be made to do."""

import asyncio
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from api_fakes import TOKENS, FakeService, make_app, make_context
from fastapi.testclient import TestClient

from orchestrator.api.app import create_app
from orchestrator.api.auth import TokenBook, read_grants
from orchestrator.api.context import Activity
from orchestrator.api.guard import BODY_LIMIT, BULK_LIMIT
from orchestrator.base.errors import UsageError
from orchestrator.spec.messages import BulkRequest

SUBMIT = {"source": "name: x", "workdir": "/"}
CHANGES = [("/jobs", SUBMIT), ("/jobs/j-0/cancel", None), ("/jobs/j-0/retry", None), ("/server/shutdown", None)]
READS = ["/jobs", "/jobs/j-0", "/jobs/j-0/events", "/jobs/j-0/results", "/jobs/j-0/logs", "/server"]


@pytest.fixture
def http(service: FakeService) -> TestClient:
    service.add("j-0", owner="ada", state="failed")
    return TestClient(make_app(service), base_url="http://127.0.0.1")


def bearer(role: str) -> dict[str, str]:
    return {"authorization": f"Bearer {TOKENS[role]}"}


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic YTpi", "Bearer token-expired"]
)
@pytest.mark.parametrize("path", READS)
def test_a_request_without_a_good_token_is_refused(http: TestClient, path: str, header: str | None) -> None:
    answer = http.get(f"/api/v1{path}", headers={} if header is None else {"authorization": header})
    assert answer.status_code == 401
    assert answer.json()["code"] == "not_allowed"
    assert answer.json()["exit_code"] == 4


@pytest.mark.parametrize(("path", "body"), CHANGES)
def test_nothing_changes_without_a_token(http: TestClient, service: FakeService, path: str, body: object) -> None:
    before = dict(service.jobs)
    assert http.post(f"/api/v1{path}", json=body).status_code == 401
    assert service.jobs == before


@pytest.mark.parametrize(
    ("role", "path", "status"),
    [
        ("viewer", "/jobs", 403),
        ("viewer", "/jobs/j-0/cancel", 403),
        ("researcher", "/jobs", 200),
        ("researcher", "/jobs/j-0/cancel", 200),
        ("researcher", "/server/shutdown", 403),
        ("operator", "/jobs/j-0/cancel", 200),
        ("operator", "/server/shutdown", 403),
        ("admin", "/server/shutdown", 200),
    ],
)
def test_each_role_may_do_what_it_is_for(http: TestClient, role: str, path: str, status: int) -> None:
    body = SUBMIT if path == "/jobs" else None
    assert http.post(f"/api/v1{path}", json=body, headers=bearer(role)).status_code == status


@pytest.mark.parametrize("action", ["cancel", "retry"])
def test_a_researcher_may_not_change_another_users_job(http: TestClient, service: FakeService, action: str) -> None:
    service.add("j-1", owner="grace", state="failed", name="hers")
    answer = http.post(f"/api/v1/jobs/j-1/{action}", headers=bearer("researcher"))
    assert answer.status_code == 403
    assert "grace" in answer.json()["message"]
    assert service.jobs["j-1"].state == "failed"


@pytest.mark.parametrize("path", READS)
def test_a_viewer_may_read_everything(http: TestClient, path: str) -> None:
    assert http.get(f"/api/v1{path}", headers=bearer("viewer")).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1:80", "", "[", "localhost@evil"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_foreign_host_is_refused_whatever_the_token(http: TestClient, method: str, host: str) -> None:
    answer = http.request(method, "/api/v1/jobs", headers={**bearer("admin"), "host": host})
    assert answer.status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1:8123", "localhost", "LOCALHOST:1", "[::1]:8123"])
def test_loopback_names_are_accepted(http: TestClient, host: str) -> None:
    assert http.get("/api/v1/server", headers={**bearer("admin"), "host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:9999", "file://"])
@pytest.mark.parametrize(("path", "body"), CHANGES)
def test_a_foreign_origin_is_refused_for_every_change(
    http: TestClient, service: FakeService, path: str, body: object, origin: str
) -> None:
    before = dict(service.jobs)
    answer = http.post(f"/api/v1{path}", json=body, headers={**bearer("admin"), "origin": origin})
    assert answer.status_code == 403
    assert service.jobs == before


def test_the_servers_own_origin_is_accepted(http: TestClient) -> None:
    headers = {**bearer("admin"), "origin": "http://127.0.0.1"}
    assert http.get("/api/v1/server", headers=headers).status_code == 200


def test_a_team_server_accepts_other_hosts_but_no_foreign_origin(service: FakeService) -> None:
    http = TestClient(create_app(make_context(service, loopback_only=False)), base_url="http://queue.example")
    assert http.get("/api/v1/server", headers=bearer("viewer")).status_code == 200
    foreign = {**bearer("viewer"), "origin": "http://evil.example"}
    assert http.get("/api/v1/server", headers=foreign).status_code == 403


def test_no_answer_allows_other_origins_to_read_it(http: TestClient) -> None:
    answer = http.get("/api/v1/server", headers=bearer("admin"))
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"


def test_an_oversized_body_is_refused_unread(http: TestClient) -> None:
    answer = http.post("/api/v1/jobs/bulk", content=b"x" * (BODY_LIMIT + 1), headers=bearer("admin"))
    assert answer.status_code == 400
    answer = http.post("/api/v1/jobs/bulk", content=b"x" * (BULK_LIMIT + 1), headers=bearer("admin"))
    assert answer.status_code == 413
    answer = http.post("/api/v1/jobs", content=b"x" * (BODY_LIMIT + 1), headers=bearer("admin"))
    assert answer.status_code == 413


@pytest.mark.parametrize("path", ["/jobs", "/jobs/bulk"])
def test_a_strangers_body_is_not_parsed(http: TestClient, path: str) -> None:
    assert http.post(f"/api/v1{path}", content=b"{", headers={"authorization": "Bearer wrong"}).status_code == 401
    assert http.post(f"/api/v1{path}", content=b"{", headers=bearer("admin")).status_code == 400


def test_many_workloads_are_parsed_beside_the_event_loop(http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    parse, on_loop = BulkRequest.model_validate_json, list[bool]()

    def recorded(body: bytes) -> BulkRequest:
        on_loop.append(asyncio._get_running_loop() is not None)
        return parse(body)

    monkeypatch.setattr(BulkRequest, "model_validate_json", recorded)
    answer = http.post("/api/v1/jobs/bulk", json={"jobs": [SUBMIT]}, headers=bearer("admin"))
    assert (answer.status_code, on_loop) == (200, [False])


def test_a_workload_of_many_that_is_wrong_is_named(http: TestClient) -> None:
    answer = http.post("/api/v1/jobs/bulk", json={"jobs": [SUBMIT, {"workdir": 1}]}, headers=bearer("admin"))
    assert answer.status_code == 400
    assert "jobs.1.source: Field required" in answer.json()["message"]


def test_a_body_without_a_length_is_refused(http: TestClient) -> None:
    answer = http.post("/api/v1/jobs", content=iter([b"{}"]), headers=bearer("admin"))
    assert answer.status_code == 411


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/redoc"])
def test_no_page_tells_strangers_about_the_api(http: TestClient, path: str) -> None:
    assert http.get(path).status_code == 404


def test_the_teams_tokens_are_read_from_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    path.write_text(f'{{"tokens": [{{"sha256": "{digest}", "user": "ada", "role": "researcher"}}]}}')
    path.chmod(0o600)
    (grant,) = read_grants(path)
    assert (grant.principal.user, grant.principal.role, grant.digest.hex()) == ("ada", "researcher", digest)
    assert grant.principal.teams is None


def test_a_token_may_name_the_teams_that_its_user_may_charge(tmp_path: Path, service: FakeService) -> None:
    path, token = tmp_path / "tokens.json", "t" * 20
    digest = hashlib.sha256(token.encode()).hexdigest()
    entry = {"sha256": digest, "user": "ada", "role": "researcher", "teams": ["vision"]}
    path.write_text(json.dumps({"tokens": [entry]}))
    path.chmod(0o600)
    context = replace(make_context(service), tokens=TokenBook(read_grants(path), now=lambda: 0.0))
    http = TestClient(create_app(context), base_url="http://127.0.0.1")
    assert http.post("/api/v1/jobs", json=SUBMIT, headers={"authorization": f"Bearer {token}"}).status_code == 200
    assert service.teams == [("vision",)]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"tokens": [1]}',
        '{"tokens": [{"sha256": "zz", "user": "a", "role": "admin"}]}',
        '{"tokens": [{"sha256": "00", "user": "a", "role": "admin"}]}',
        '{"tokens": [{"sha256": "00", "user": "a", "role": "god"}]}',
        f'{{"tokens": [{{"sha256": "{"00" * 32}", "user": "a", "role": "admin", "teams": "vision"}}]}}',
    ],
)
def test_a_damaged_token_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(UsageError):
        read_grants(path)


def test_a_token_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    path.write_text('{"tokens": []}')
    path.chmod(0o644)
    with pytest.raises(UsageError, match="read by others"):
        read_grants(path)


@pytest.mark.parametrize(
    ("headers", "counts"),
    [
        (bearer("viewer"), True),
        ({}, False),
        ({"authorization": "Bearer wrong"}, False),
        ({**bearer("viewer"), "host": "evil.example"}, False),
    ],
)
def test_only_requests_with_a_good_token_keep_the_server_up(
    service: FakeService, headers: dict[str, str], counts: bool
) -> None:
    now = [0.0]
    context = replace(make_context(service), activity=Activity(lambda: now[0]))
    now[0] = 60.0
    TestClient(create_app(context), base_url="http://127.0.0.1").get("/api/v1/server", headers=headers)
    assert context.activity.idle_seconds() == (0.0 if counts else 60.0)

"""The queue, priorities, holds, nodes and "what if" over HTTP: what is answered, who may change what."""

import pytest
from api_fakes import NOW, TOKENS, FakeService, make_app
from fastapi.testclient import TestClient

from orchestrator.spec.answers import NodeView, QueueView, WhatIfView, WhyView
from orchestrator.spec.profile import ClusterProfile, Limits

READS = ["/jobs/j-0/why", "/queue", "/nodes"]
CHANGES = [
    ("/jobs/j-0/hold", None),
    ("/jobs/j-0/release", None),
    ("/jobs/j-0/priority", {"priority": -1}),
    ("/jobs/j-0/resize", {"workers": None}),
    ("/nodes/a/drain", {"note": "fan"}),
    ("/nodes/a/resume", None),
]


@pytest.fixture
def http(service: FakeService) -> TestClient:
    service.add("j-0", owner="ada")
    return TestClient(make_app(service), base_url="http://127.0.0.1/api/v1/", raise_server_exceptions=False)


def bearer(role: str) -> dict[str, str]:
    return {"authorization": f"Bearer {TOKENS[role]}"}


def test_why_is_answered_in_words_numbers_and_times(http: TestClient) -> None:
    found = WhyView.model_validate(http.get("jobs/j-0/why", headers=bearer("viewer")).json())
    assert found.reason == "needs 4 gpu slots; 2 of 8 free"
    assert (found.position, found.queue, found.remedies[0].command) == (2, 5, "orchestrator priority j-0 6")
    assert found.expected_start is not None
    assert found.expected_start.at == NOW + 600


def test_the_queue_can_be_asked_for_one_team_and_its_first_jobs(http: TestClient, service: FakeService) -> None:
    found = http.get("queue?team=vision&limit=5", headers=bearer("viewer")).json()
    assert QueueView.model_validate(found).waiting[0].job == "j-wait"
    assert service.questions.asked_queue == [("vision", 5)]


def test_nodes_tell_their_jobs(http: TestClient) -> None:
    (first, _) = http.get("nodes", headers=bearer("viewer")).json()
    assert NodeView.model_validate(first).jobs == {"j-run": 2}


def test_what_if_is_a_read_that_changes_nothing(http: TestClient, service: FakeService) -> None:
    body = {"source": "name: x\ncommand: [x]\n", "workers": [16]}
    found = http.post("what-if", json=body, headers=bearer("viewer"))
    assert [o.workers_max for o in WhatIfView.model_validate(found.json()).options] == [4, 16]
    assert service.requests == []


@pytest.mark.parametrize("workers", [[0], [1_000_001], list(range(1, 18)), ["x"]])
def test_what_if_with_impossible_numbers_of_workers_is_refused(
    http: TestClient, service: FakeService, workers: list[object]
) -> None:
    body = {"source": "name: x\ncommand: [x]\n", "workers": workers}
    answer = http.post("what-if", json=body, headers=bearer("viewer"))
    assert answer.status_code == 400
    assert "workers" in answer.json()["message"]
    assert service.questions.requests == []


@pytest.mark.parametrize("path", READS)
def test_reading_takes_a_good_token(http: TestClient, path: str) -> None:
    assert http.get(path[1:]).status_code == 401
    assert http.get(path[1:], headers=bearer("viewer")).status_code == 200


@pytest.mark.parametrize(("path", "body"), CHANGES)
@pytest.mark.parametrize("token", [None, "viewer"])
def test_a_viewer_changes_nothing(
    http: TestClient, service: FakeService, path: str, body: object, token: str | None
) -> None:
    answer = http.post(path[1:], json=body, headers=bearer(token) if token else {})
    assert answer.status_code == (403 if token else 401)
    assert service.asked == []
    assert service.resized == []


@pytest.mark.parametrize(("path", "body"), CHANGES)
def test_a_foreign_origin_changes_nothing(http: TestClient, service: FakeService, path: str, body: object) -> None:
    headers = {**bearer("admin"), "origin": "https://evil.example"}
    assert http.post(path[1:], json=body, headers=headers).status_code == 403
    assert service.asked == []


def test_a_researcher_holds_and_releases_their_own_jobs(http: TestClient, service: FakeService) -> None:
    assert http.post("jobs/j-0/hold", headers=bearer("researcher")).json()["state"] == "held"
    assert http.post("jobs/j-0/release", headers=bearer("researcher")).json()["state"] == "queued"
    assert service.asked == [("hold", "j-0", "ada"), ("release", "j-0", "ada")]


@pytest.mark.parametrize("action", ["hold", "release"])
def test_a_researcher_does_not_touch_the_jobs_of_others(http: TestClient, service: FakeService, action: str) -> None:
    service.add("j-1", owner="grace", name="hers")
    answer = http.post(f"jobs/j-1/{action}", headers=bearer("researcher"))
    assert answer.status_code == 403
    assert "grace" in answer.json()["message"]
    assert service.asked == []


@pytest.mark.parametrize(
    ("role", "priority", "status"),
    [("researcher", -5, 200), ("researcher", 0, 200), ("researcher", 1, 403), ("operator", 1000, 200)],
)
def test_a_researcher_lowers_priorities_and_an_operator_raises_them(
    http: TestClient, service: FakeService, role: str, priority: int, status: int
) -> None:
    answer = http.post("jobs/j-0/priority", json={"priority": priority}, headers=bearer(role))
    assert answer.status_code == status
    assert service.jobs["j-0"].priority == (priority if status == 200 else 0)


@pytest.mark.parametrize("priority", [-1001, 1001, 1.5, "high", None])
def test_a_priority_out_of_range_is_refused_by_name(http: TestClient, service: FakeService, priority: object) -> None:
    answer = http.post("jobs/j-0/priority", json={"priority": priority}, headers=bearer("admin"))
    assert answer.status_code == 400
    assert "priority" in answer.json()["message"]
    assert service.asked == []


@pytest.mark.parametrize(("role", "status"), [("researcher", 403), ("operator", 200)])
def test_priorities_above_what_the_cluster_allows_users_take_an_operator(
    service: FakeService, role: str, status: int
) -> None:
    service.profile = ClusterProfile(name="lab", backend="local", limits=Limits(priority=10))
    service.add("j-0", owner="ada")
    http = TestClient(make_app(service), base_url="http://127.0.0.1/api/v1/")
    assert http.post("jobs/j-0/priority", json={"priority": 10}, headers=bearer(role)).status_code == 200
    refused = http.post("jobs/j-0/priority", json={"priority": 11}, headers=bearer(role))
    assert refused.status_code == status
    assert "needs the role operator" in refused.json().get("message", "needs the role operator")
    http.post("jobs", json={"source": "name: x", "workdir": "/"}, headers=bearer(role))
    assert service.highest == [10 if role == "researcher" else None]


@pytest.mark.parametrize(("policy", "note"), [("easy", "policy easy orders by submission"), ("default", "")])
def test_who_changes_a_priority_is_told_where_the_policy_looks_at_none(
    service: FakeService, policy: str, note: str
) -> None:
    service.profile = ClusterProfile.model_validate({"name": "lab", "backend": "local", "policy": policy})
    service.add("j-0", owner="ada")
    http = TestClient(make_app(service), base_url="http://127.0.0.1/api/v1/")
    found = http.post("jobs/j-0/priority", json={"priority": 5}, headers=bearer("admin")).json()["note"]
    assert found.startswith(note)
    assert bool(found) is bool(note)


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"state": "queued", "kind": "regnet"}, ""),
        ({"state": "running", "kind": "regnet"}, "applies to its growth, what waits for it in Slurm included"),
        ({"state": "running", "kind": "regnet", "workers": "2"}, "applies to its next run"),
        ({"state": "running", "kind": "regnet search"}, "applies to its next run"),
        ({"state": "running", "kind": "command"}, "applies to its next run"),
    ],
)
def test_who_changes_the_priority_of_a_job_that_slurm_has_begun_is_told_what_that_does(
    service: FakeService, changes: dict[str, str], note: str
) -> None:
    slurm = {"growth": {"partition": "spare"}}
    service.profile = ClusterProfile.model_validate({"name": "lab", "backend": "slurm", "slurm": slurm})
    service.jobs["j-0"] = service.add("j-0", owner="ada").model_copy(update=changes)
    http = TestClient(make_app(service), base_url="http://127.0.0.1/api/v1/")
    found = http.post("jobs/j-0/priority", json={"priority": 5}, headers=bearer("admin")).json()["note"]
    assert note in found
    assert bool(found) is bool(note)


def test_draining_is_for_operators(http: TestClient, service: FakeService) -> None:
    body = {"note": "fan"}
    assert http.post("nodes/a/drain", json=body, headers=bearer("researcher")).status_code == 403
    assert http.post("nodes/a/resume", headers=bearer("researcher")).status_code == 403
    assert http.post("nodes/a/drain", json=body, headers=bearer("operator")).json()["name"] == "a"
    assert http.post("nodes/a/resume", headers=bearer("operator")).status_code == 200
    assert service.asked == [("drain", "a", "fan", "otto"), ("resume", "a", "otto")]


def test_a_drain_that_cannot_wait_empties_the_node_too(http: TestClient, service: FakeService) -> None:
    answer = http.post("nodes/a/drain", json={"now": True}, headers=bearer("operator"))
    assert service.asked == [("drain", "a", "", "otto"), ("evict", "a", "otto")]
    assert answer.json()["stopped"] == ["j-run"]


@pytest.mark.parametrize("name", ["nope", "..%2Fa", "a%00", "%20"])
def test_an_unknown_node_is_named_with_those_that_there_are(http: TestClient, service: FakeService, name: str) -> None:
    answer = http.post(f"nodes/{name}/drain", json={}, headers=bearer("admin"))
    assert answer.status_code == 404
    assert service.asked == []
    if name == "nope":
        assert answer.json()["message"] == "cluster local has no node 'nope'"
        assert answer.json()["hint"] == "its nodes: a, b"


def test_a_width_is_handed_back_with_null(http: TestClient, service: FakeService) -> None:
    service.add("j-1", state="running", name="runs")
    assert http.post("jobs/j-1/resize", json={"workers": None}, headers=bearer("researcher")).status_code == 200
    assert http.post("jobs/j-1/resize", json={}, headers=bearer("researcher")).status_code == 400
    assert service.resized == [("j-1", None)]


def test_lists_and_streams_tell_why_jobs_wait_now(http: TestClient, service: FakeService) -> None:
    service.questions.reasons = {"j-0": "needs 4, 2 free; position 2 of 5"}
    assert http.get("jobs", headers=bearer("viewer")).json()[0]["reason"] == "needs 4, 2 free; position 2 of 5"
    assert http.get("jobs/j-0", headers=bearer("viewer")).json()["reason"] == "needs 4, 2 free; position 2 of 5"
    service.script["j-0"] = ["queued", "succeeded"]
    assert "needs 4, 2 free" in http.get("jobs/j-0/stream", headers=bearer("viewer")).text

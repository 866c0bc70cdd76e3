"""The typed client: errors come back as themselves, and a broken connection never makes a second job."""

from collections.abc import Iterator, Mapping

import pytest
from api_fakes import TOKENS, AppTransport, FakeService, make_app, make_client

from orchestrator.base.errors import (
    Conflict,
    NotAllowed,
    NotFound,
    OrchestratorError,
    ServerUnreachable,
    SpecError,
    UsageError,
)
from orchestrator.client import Client, HttpTransport, Reply
from orchestrator.spec.messages import JobView, SubmitRequest
from orchestrator.spec.profile import ClusterProfile

REQUEST = SubmitRequest(source="name: x", workdir="/", client_key="k")


class Breaking:
    """A transport that loses the first answers, after the server has done its work."""

    def __init__(self, inner: AppTransport, losses: int) -> None:
        self.inner, self.losses, self.sent = inner, losses, 0

    def request(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        self.sent += 1
        reply = self.inner.request(method, path, body, headers)
        if self.sent <= self.losses:
            raise ServerUnreachable("the connection broke")
        return reply

    def lines(self, path: str, headers: Mapping[str, str]) -> Iterator[str]:
        return self.inner.lines(path, headers)


def breaking(service: FakeService, losses: int) -> tuple[Breaking, Client]:
    transport = Breaking(AppTransport(make_app(service)), losses)
    return transport, Client(transport, TOKENS["admin"])


def test_a_submit_that_is_sent_again_is_one_job(service: FakeService) -> None:
    transport, client = breaking(service, 2)
    reply = client.submit(REQUEST)
    assert transport.sent == 3
    assert list(service.jobs) == [reply.job.id]


def test_a_submit_without_a_key_is_never_sent_again(service: FakeService) -> None:
    transport, client = breaking(service, 1)
    with pytest.raises(ServerUnreachable):
        client.submit(REQUEST.model_copy(update={"client_key": None}))
    assert transport.sent == 1


def test_a_retry_is_never_sent_again(service: FakeService) -> None:
    service.add("j-a", state="failed")
    transport, client = breaking(service, 1)
    with pytest.raises(ServerUnreachable):
        client.retry("j-a")
    assert transport.sent == 1


def test_a_server_that_stays_away_is_unreachable(service: FakeService) -> None:
    _, client = breaking(service, 99)
    with pytest.raises(ServerUnreachable):
        client.jobs()


def test_a_lost_server_is_found_again(service: FakeService) -> None:
    service.add("j-a")
    good = AppTransport(make_app(service))
    client = Client(Breaking(good, 99), "old token", recover=lambda: (good, TOKENS["admin"]))
    assert client.job("j-a").id == "j-a"


def test_errors_come_back_as_the_exceptions_they_were(service: FakeService) -> None:
    client = make_client(service)
    service.add("j-a")
    with pytest.raises(NotFound) as absent:
        client.job("j-b")
    assert absent.value.hint == "orchestrator jobs"
    with pytest.raises(Conflict):
        client.retry("j-a")
    with pytest.raises(SpecError, match="unknown key"):
        client.submit(REQUEST.model_copy(update={"source": "bad: 1"}))
    with pytest.raises(NotAllowed):
        make_client(service, "viewer").cancel("j-a")


class Garbled:
    def request(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        return Reply(502, {}, b"<html>bad gateway</html>")

    def lines(self, path: str, headers: Mapping[str, str]) -> Iterator[str]:
        return iter(())


def test_an_answer_that_is_no_error_view_is_told_by_its_status() -> None:
    with pytest.raises(OrchestratorError, match="502"):
        Client(Garbled(), "t").jobs()


def test_the_stream_yields_typed_views_until_the_job_is_over(service: FakeService) -> None:
    service.default_script = ["running", "succeeded"]
    service.add("j-a")
    seen = list(make_client(service).stream("j-a"))
    assert [v.state for v in seen if isinstance(v, JobView)] == ["running", "succeeded"]


def test_a_log_is_read_with_its_offsets(service: FakeService) -> None:
    service.add("j-a")
    service.log("j-a", "rank-0.log", b"0123456789")
    chunk = make_client(service).read_log("j-a", "rank-0.log", offset=-3)
    assert (chunk.data, chunk.next_offset, chunk.size) == (b"789", 10, 10)


def test_job_names_are_quoted_on_the_wire(service: FakeService) -> None:
    with pytest.raises(NotFound):
        make_client(service).job("../server")


@pytest.mark.parametrize("url", ["", "127.0.0.1:80", "ftp://x", "file:///etc/passwd", "http://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        HttpTransport(url)


def test_a_closed_port_is_unreachable() -> None:
    with pytest.raises(ServerUnreachable, match="does not answer"):
        HttpTransport("http://127.0.0.1:1", timeout=5.0).request("GET", "/", None, {})


def test_the_cluster_that_is_served_comes_back_as_it_was_written(service: FakeService) -> None:
    document = {
        "name": "lab",
        "backend": "local",
        "policy": {"preset": "fair", "order": {"half_life": "2d"}},
        "teams": [{"name": "vision", "quota": 4}],
        "limits": {"max_time": "12h", "priority": 5},
    }
    service.profile = ClusterProfile.model_validate(document)
    assert make_client(service, "viewer").profile() == service.profile

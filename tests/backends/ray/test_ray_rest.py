"""Ray over HTTP: whatever goes wrong on the way, the state is unknown, and the message says what to do."""

import contextlib
import socket
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from ray_kit import TOKEN, FakeRay, Site

from orchestrator.backends.ray import RayBackend
from orchestrator.backends.ray.rest import RayRest
from orchestrator.base.errors import BackendUnavailable, UsageError
from orchestrator.spec.ray import RaySection

Fault = Callable[[Any], bool]


def rest(ray: FakeRay, *, timeout: float = 5.0, **environment: str) -> RayRest:
    known = {"RAY_AUTH_TOKEN": TOKEN} | environment
    return RayRest(RaySection(address=ray.url), known, timeout=timeout)


def says(status: int, text: str) -> Fault:
    def answer(request: Any) -> bool:
        request.reply(status, text)
        return True

    return answer


def half(request: BaseHTTPRequestHandler) -> bool:
    request.send_response(200)
    request.send_header("Content-Length", "1000")
    request.end_headers()
    request.wfile.write(b"[")
    return hangs_up(request)


def endless(request: BaseHTTPRequestHandler) -> bool:
    request.send_response(200)
    request.end_headers()
    with contextlib.suppress(OSError):
        for _ in range(200):
            request.wfile.write(b" " * 2**16)
    return hangs_up(request)


def dribbles(request: BaseHTTPRequestHandler) -> bool:
    """A byte at a time: no single one of them is late."""
    request.send_response(200)
    request.end_headers()
    request.connection.settimeout(0.05)
    with contextlib.suppress(OSError):
        for _ in range(100):
            request.wfile.write(b" ")
            with contextlib.suppress(TimeoutError):
                request.connection.recv(1)
    return hangs_up(request)


def silent(request: BaseHTTPRequestHandler) -> bool:
    request.connection.settimeout(5)
    with contextlib.suppress(OSError):
        request.connection.recv(1)
    return hangs_up(request)


def hangs_up(request: BaseHTTPRequestHandler) -> bool:
    request.close_connection = True
    return True


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (says(200, "<html>nginx</html>"), "something else than Ray's API"),
        (says(200, '{"jobs": []}'), "something else than Ray's API"),
        (says(200, "[" * 100_000), "something else than Ray's API"),
        (says(500, "Traceback\nRuntimeError: GCS is away\n."), "status 500: RuntimeError: GCS is away"),
        (says(404, "nothing here"), "status 404"),
        (half, "IncompleteRead"),
        (endless, "longer than 4 MiB"),
        (hangs_up, "closed connection without response"),
        (silent, "no whole answer within 0.3 s"),
        (dribbles, "no whole answer within 0.3 s"),
    ],
)
def test_an_answer_that_is_none_leaves_the_state_unknown(ray: FakeRay, fault: Fault, said: str) -> None:
    ray.faults["GET /api/jobs/"] = [fault]
    asked = rest(ray, timeout=0.3)
    with pytest.raises(BackendUnavailable, match=said) as caught:
        asked.jobs()
    assert ray.url in caught.value.message
    assert "GET /api/jobs/" in caught.value.message
    assert caught.value.hint
    assert asked.jobs() == []


def test_nobody_at_the_address_says_where_the_address_is_from() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        asked = RayRest(RaySection(address=f"127.0.0.1:{taken.getsockname()[1]}"), {})
        with pytest.raises(BackendUnavailable, match="refused") as caught:
            asked.jobs()
    assert "ray.address" in caught.value.hint


@pytest.mark.parametrize("address", ["ray://head:10001", "http://", "http://[::1", "head:port"])
def test_an_address_that_is_none_is_refused_at_once(address: str) -> None:
    with pytest.raises(UsageError, match="no address of Ray's dashboard"):
        RayRest(RaySection(address=address), {})


def test_a_token_is_found_as_ray_finds_it_and_read_anew_when_it_has_changed(ray: FakeRay, tmp_path: Any) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    asked = RayRest(RaySection(address=ray.url), {"RAY_AUTH_TOKEN_PATH": str(file)})
    assert asked.jobs() == []
    ray.token = "f" * 32
    with pytest.raises(BackendUnavailable, match="it refuses the token") as caught:
        asked.jobs()
    assert "ray.token_file" in caught.value.hint
    assert TOKEN not in str(caught.value)
    file.write_text("f" * 32)
    assert asked.jobs() == []


def test_a_token_that_cannot_be_sent_is_named_by_where_it_is_from(ray: FakeRay, tmp_path: Any) -> None:
    for content, said in (("a b", "blanks or control characters"), (None, "it is not there")):
        file = tmp_path / "token"
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_text(content)
        with pytest.raises(BackendUnavailable, match=said):
            RayRest(RaySection(address=ray.url, token_file=str(file)), {}).jobs()


def test_a_submit_whose_answer_is_lost_is_found_by_its_name(site: Site, ray: FakeRay) -> None:
    ray.starts = False
    ray.faults["after POST /api/jobs/"] = [hangs_up]
    request = site.request("lost")
    with pytest.raises(BackendUnavailable):
        site.backend.launch(request)
    for backend in (site.reopen(), site.reopen()):
        backend.launch(request)
        assert backend.list() == [request.allocation]
    assert [*ray.jobs] == [request.allocation]
    assert ray.asked.count("POST /api/jobs/") == 2


def test_a_silent_ray_makes_every_question_unavailable(site: Site, ray: FakeRay) -> None:
    ray.starts = False
    request = site.request("away")
    site.backend.launch(request)
    ray.token = None
    for path in ("GET /api/jobs/", f"POST /api/jobs/{request.allocation}/stop", "GET /api/v0/nodes"):
        ray.faults[path] = [says(503, "away")]
    questions: list[Callable[[RayBackend], object]] = [
        lambda backend: backend.observe([request.allocation]),
        lambda backend: backend.kill(request.allocation),
        lambda backend: backend.capacity(),
    ]
    for question in questions:
        with pytest.raises(BackendUnavailable, match="503"):
            question(site.backend)

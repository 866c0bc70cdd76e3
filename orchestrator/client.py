"""The typed client of the HTTP API: the command line's only way in, and the Python SDK.

    client = Client(HttpTransport("http://127.0.0.1:8080"), token)
    job = client.submit(SubmitRequest(source=text, workdir=".", client_key="my-key")).job

It speaks through `http.client`: a command such as `status` has to answer at once, and a larger library would spend
most of that time on being imported.
"""

from __future__ import annotations

import http.client
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from orchestrator.base.errors import OrchestratorError, ServerUnreachable, TimedOut, UsageError
from orchestrator.spec.messages import (
    BulkRequest,
    ErrorView,
    EventView,
    JobView,
    LogFile,
    ResizeRequest,
    ResultsView,
    ServerInfo,
    SubmitReply,
    SubmitRequest,
)

if TYPE_CHECKING:  # most commands do without them, and building them takes as long as an answer of the server
    from orchestrator.spec.answers import NodeView, QueueView, WhatIfRequest, WhatIfView, WhyView
    from orchestrator.spec.profile import ClusterProfile

_PREFIX = "/api/v1"
_ATTEMPTS = 3
_SILENCE_SECONDS = 20.0

T = TypeVar("T")


@dataclass(frozen=True)
class Reply:
    """An answer of the server; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """What carries requests: HTTP, or an application in the same process in tests."""

    def request(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        """Send one request.

        Raises:
            ServerUnreachable: no connection, or it broke.
            TimedOut: connected, but no answer.
        """
        ...

    def lines(self, path: str, headers: Mapping[str, str]) -> Iterator[str]:
        """The lines of a streamed answer as they come."""
        ...


class HttpTransport:
    """HTTP/1.1, a connection for each request.

    Args:
        url: `http://host:port` or `https://host`.
        timeout: seconds without a byte after which an answer is given up.
    """

    def __init__(self, url: str, *, timeout: float = 60.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageError(
                f"{url!r} is no server's address", hint="ORCHESTRATOR_URL looks like http://127.0.0.1:8080"
            )
        self._url = url
        self._connection = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._netloc = parts.netloc.rpartition("@")[2]
        self._base = parts.path.rstrip("/")
        self._timeout = timeout

    def request(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        """Send one request."""
        connection = self._connection(self._netloc, timeout=self._timeout)
        try:
            response = self._send(connection, method, path, body, headers)
            content = self._guarded(response.read)
            return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, content)
        finally:
            connection.close()

    def lines(self, path: str, headers: Mapping[str, str]) -> Iterator[str]:
        """The lines of a streamed answer as they come; a server says something every few seconds, or is gone."""
        connection = self._connection(self._netloc, timeout=min(self._timeout, _SILENCE_SECONDS))
        try:
            response = self._send(connection, "GET", path, None, headers)
            if response.status != 200:
                _raise(Reply(response.status, {}, self._guarded(response.read)))
            while line := self._guarded(response.readline):
                yield line.decode().rstrip("\r\n")
        finally:
            connection.close()

    def _send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes | None,
        head: Mapping[str, str],
    ) -> http.client.HTTPResponse:
        def send() -> http.client.HTTPResponse:
            connection.request(method, self._base + path, body, dict(head))
            return connection.getresponse()

        return self._guarded(send)

    def _guarded(self, step: Callable[[], T]) -> T:
        try:
            return step()
        except TimeoutError:
            raise TimedOut(f"{self._url} did not answer within {self._timeout:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            detail = str(error) or type(error).__name__
            raise ServerUnreachable(
                f"{self._url} does not answer: {detail}", hint="`orchestrator doctor` looks for the cause"
            ) from None


@dataclass(frozen=True)
class LogChunk:
    """A piece of a log file: its bytes, where the next piece begins, and the file's size so far."""

    data: bytes
    next_offset: int
    size: int


class Client:
    """One server's API, typed.

    Args:
        transport: how to reach it.
        token: who calls.
        recover: called once when the server does not answer; finds or starts one again, or raises.
    """

    def __init__(
        self, transport: Transport, token: str, *, recover: Callable[[], tuple[Transport, str]] | None = None
    ) -> None:
        self._transport = transport
        self._token = token
        self._recover = recover

    def submit(self, request: SubmitRequest) -> SubmitReply:
        """Queue a workload; sent again after a broken connection where a client key makes that harmless."""
        body = request.model_dump_json().encode()
        reply = self._request("POST", "/jobs", body=body, repeat=request.client_key is not None)
        return SubmitReply.model_validate_json(reply.body)

    def submit_many(self, requests: Sequence[SubmitRequest]) -> list[SubmitReply]:
        """Queue workloads, all or none; each may depend on those before it."""
        body = BulkRequest(jobs=list(requests)).model_dump_json().encode()
        harmless = all(request.client_key is not None for request in requests)
        reply = self._request("POST", "/jobs/bulk", body=body, repeat=harmless)
        return [SubmitReply.model_validate(one) for one in json.loads(reply.body)]

    def job(self, job: str) -> JobView:
        """One job, by identifier, unique prefix or name."""
        return JobView.model_validate_json(self._request("GET", _job(job)).body)

    def jobs(self, *, states: Sequence[str] = (), name: str | None = None, limit: int = 100) -> list[JobView]:
        """Jobs, newest first."""
        query = {"state": list(states), "limit": limit} | ({"name": name} if name else {})
        return [JobView.model_validate(v) for v in self._list("/jobs", query)]

    def cancel(self, job: str) -> JobView:
        """Stop a job."""
        return JobView.model_validate_json(self._request("POST", _job(job, "cancel"), repeat=True).body)

    def retry(self, job: str) -> JobView:
        """Queue a job again that failed or was cancelled."""
        return JobView.model_validate_json(self._request("POST", _job(job, "retry")).body)

    def why(self, job: str) -> WhyView:
        """Why a job waits and what would free it; what it last had to do; or how it ended."""
        from orchestrator.spec.answers import WhyView

        return WhyView.model_validate_json(self._request("GET", _job(job, "why")).body)

    def hold(self, job: str) -> JobView:
        """Keep a queued job from starting."""
        return JobView.model_validate_json(self._request("POST", _job(job, "hold")).body)

    def release(self, job: str) -> JobView:
        """Let a held job start when its turn comes."""
        return JobView.model_validate_json(self._request("POST", _job(job, "release")).body)

    def set_priority(self, job: str, priority: int) -> JobView:
        """Move a job forwards or backwards in the queue."""
        from orchestrator.spec.answers import PriorityRequest

        body = PriorityRequest(priority=priority).model_dump_json().encode()
        return JobView.model_validate_json(self._request("POST", _job(job, "priority"), body=body, repeat=True).body)

    def queue(self, *, team: str | None = None, limit: int | None = None) -> QueueView:
        """What runs and what waits, in the policy's order; so many of those that wait, all where it is None."""
        from orchestrator.spec.answers import QueueView

        query = {name: value for name, value in {"team": team, "limit": limit}.items() if value is not None}
        return QueueView.model_validate_json(self._request("GET", "/queue", query=query).body)

    def snapshot(self) -> str:
        """What the policy sees now, and the policy, as JSON: `orchestrator why JOB --snapshot FILE` reads it."""
        return self._request("GET", "/queue/snapshot").body.decode()

    def what_if(self, request: WhatIfRequest) -> WhatIfView:
        """When a workload would start and whom it would delay; nothing is queued."""
        from orchestrator.spec.answers import WhatIfView

        body = request.model_dump_json().encode()
        return WhatIfView.model_validate_json(self._request("POST", "/what-if", body=body, repeat=True).body)

    def nodes(self) -> list[NodeView]:
        """The nodes of the cluster, with what is on them."""
        from orchestrator.spec.answers import NodeView

        return [NodeView.model_validate(v) for v in self._list("/nodes", {})]

    def drain(self, node: str, *, note: str = "", now: bool = False) -> NodeView:
        """Let nothing new start on a node; `now`: what runs there is preempted, too."""
        from orchestrator.spec.answers import DrainRequest, NodeView

        body = DrainRequest(note=note, now=now).model_dump_json().encode()
        return NodeView.model_validate_json(self._request("POST", _node(node, "drain"), body=body, repeat=True).body)

    def resume(self, node: str) -> NodeView:
        """Let jobs start on a drained node again."""
        from orchestrator.spec.answers import NodeView

        return NodeView.model_validate_json(self._request("POST", _node(node, "resume"), repeat=True).body)

    def resize(self, job: str, workers: int | None) -> JobView:
        """Give a running job another number of workers; it has them when it is `running` again.

        The policy leaves that width alone from then on; None hands it back to the policy.
        """
        body = ResizeRequest(workers=workers).model_dump_json().encode()
        return JobView.model_validate_json(self._request("POST", _job(job, "resize"), body=body, repeat=True).body)

    def checkpoint(self, job: str, *, key: str | None = None) -> JobView:
        """Ask a running job for a checkpoint; its history tells when it is written.

        The same key again is the same request.
        """
        query = {"key": key or secrets.token_hex(8)}
        return JobView.model_validate_json(
            self._request("POST", _job(job, "checkpoint"), query=query, repeat=True).body
        )

    def events(self, job: str, *, after: int = 0, limit: int = 1000) -> list[EventView]:
        """A job's history after the event `after`."""
        return [EventView.model_validate(v) for v in self._list(_job(job, "events"), {"after": after, "limit": limit})]

    def results(self, job: str) -> ResultsView:
        """What a job has found so far."""
        return ResultsView.model_validate_json(self._request("GET", _job(job, "results")).body)

    def logs(self, job: str) -> list[LogFile]:
        """The log files of all runs of a job."""
        return [LogFile.model_validate(v) for v in self._list(_job(job, "logs"), {})]

    def read_log(self, job: str, name: str, *, run: str | None = None, offset: int = 0, limit: int = 2**20) -> LogChunk:
        """Bytes of a log file from `offset`; negative: from its end."""
        query = {"offset": offset, "limit": limit} | ({"run": run} if run else {})
        reply = self._request("GET", _job(job, "logs", name), query=query)
        headers = reply.headers
        return LogChunk(reply.body, int(headers["x-log-offset"]), int(headers["x-log-size"]))

    def stream(self, job: str, *, after: int = 0) -> Iterator[EventView | JobView | None]:
        """Follow a job until it is terminal, or until the server ends (the job goes on): then the iterator ends.

        None comes every few seconds while nothing happens, so that the caller may look at the clock.
        """
        kind = ""
        for line in self._transport.lines(f"{_PREFIX}{_job(job, 'stream')}?after={after}", self._headers()):
            field, _, value = line.partition(": ")
            if field == "event":
                kind = value
            elif field == "data" and kind == "event":
                yield EventView.model_validate_json(value)
            elif field == "data" and kind == "job":
                yield JobView.model_validate_json(value)
            elif line.startswith(":"):
                yield None

    def server(self) -> ServerInfo:
        """Who answers."""
        return ServerInfo.model_validate_json(self._request("GET", "/server").body)

    def profile(self) -> ClusterProfile:
        """The cluster that it serves."""
        from orchestrator.spec.profile import ClusterProfile

        return ClusterProfile.model_validate_json(self._request("GET", "/profile").body)

    def shutdown(self) -> ServerInfo:
        """End the server; its jobs go on."""
        return ServerInfo.model_validate_json(self._request("POST", "/server/shutdown").body)

    def _list(self, path: str, query: Mapping[str, Any]) -> list[Any]:
        found = json.loads(self._request("GET", path, query=query).body)
        assert isinstance(found, list)
        return found

    def _headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self._token}", "content-type": "application/json"}

    def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        repeat: bool = False,
    ) -> Reply:
        target = f"{_PREFIX}{path}" + (f"?{urlencode(query, doseq=True)}" if query else "")
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                reply = self._transport.request(method, target, body, self._headers())
                break
            except ServerUnreachable:
                if attempt == _ATTEMPTS or not (repeat or method == "GET"):
                    raise
                time.sleep(0.1 * attempt)  # a server that was killed still looks alive until its memory is given back
                if self._recover is not None:
                    self._transport, self._token = self._recover()
        if reply.status >= 400:
            _raise(reply)
        return reply


def _job(job: str, *parts: str) -> str:
    return "/jobs/" + "/".join(quote(part, safe="") for part in (job, *parts))


def _node(node: str, *parts: str) -> str:
    return "/nodes/" + "/".join(quote(part, safe="") for part in (node, *parts))


def _raise(reply: Reply) -> None:
    """Raise the exception that the server's `ErrorView` describes."""
    try:
        view = ErrorView.model_validate_json(reply.body)
    except ValueError:
        raise OrchestratorError(f"the server answered with HTTP status {reply.status} and no explanation") from None
    error = _error_classes().get(view.code, OrchestratorError)(view.message, hint=view.hint)
    error.code, error.exit_code = view.code, view.exit_code
    raise error


def _error_classes() -> dict[str, type[OrchestratorError]]:
    found: dict[str, type[OrchestratorError]] = {}
    pending: list[type[OrchestratorError]] = [OrchestratorError]
    while pending:
        kind = pending.pop()
        found.setdefault(kind.code, kind)
        pending += kind.__subclasses__()
    return found

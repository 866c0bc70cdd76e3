"""Ray over HTTP: the jobs and the state that its dashboard serves (Ray 2.60: `dashboard/modules/{job,state,node}`)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from orchestrator.backends.ray.http import LONGEST, Http, Reply
from orchestrator.backends.ray.token import HINT, Token
from orchestrator.base.errors import BackendUnavailable, LaunchRefused
from orchestrator.spec.ray import RaySection

ADDRESS = "http://127.0.0.1:8265"
_SECONDS = 5.0
_NO_DASHBOARD = "is that Ray's dashboard? see ray.address of the profile, or $RAY_API_SERVER_ADDRESS"
_MOST_NODES = 10_000
_NOBODY_SAYS = (
    "neither ray.address of the profile nor $RAY_API_SERVER_ADDRESS of this shell says where it is; "
    'on a development cluster: eval "$(cluster/ray/dev-cluster env)"'
)
LONGEST_LIST = 4 * 2**20
"""Bytes of the list of jobs, which is asked for every second or so."""


class RayRest:
    """What is asked of Ray. Threads may share it.

    Every method raises BackendUnavailable where Ray does not answer, refuses the token, or answers something else than
    it should.

    Args:
        section: of the profile.
        environment: of the server.
        timeout: seconds that each request may take.

    Raises:
        UsageError: the address is none.
    """

    def __init__(self, section: RaySection, environment: Mapping[str, str], *, timeout: float = _SECONDS) -> None:
        if address := section.address or environment.get("RAY_API_SERVER_ADDRESS"):
            self._http = Http(address, timeout=timeout)
        else:
            self._http = Http(ADDRESS, timeout=timeout, hint=_NOBODY_SAYS)
        self._token = Token(section, environment)

    @property
    def url(self) -> str:
        """The dashboard's."""
        return self._http.url

    def is_open(self) -> bool:
        """Whether it answers those who have no token."""
        return self._http.request("GET", "/api/version", None, {}).status == 200

    def jobs(self) -> Sequence[Mapping[str, Any]]:
        """All that Ray remembers: jobs that were submitted, and drivers that came by themselves.

        Raises:
            TooLong: these are too many.
        """
        reply = self._ask("GET", "/api/jobs/", longest=LONGEST_LIST)
        return self._list(self._json(reply, "GET /api/jobs/"), "GET /api/jobs/")

    def job(self, name: str) -> Mapping[str, Any] | None:
        """One that was submitted under this name; None where Ray does not know it."""
        reply = self._ask("GET", f"/api/jobs/{quote(name, safe='')}")
        return None if reply.status == 404 else self._mapping(self._json(reply, "GET /api/jobs/…"), "GET /api/jobs/…")

    def submit(self, document: Mapping[str, Any]) -> None:
        """Hand a job over; one that Ray has already is not handed over twice.

        Raises:
            LaunchRefused: Ray says that it will never take it.
        """
        reply = self._ask("POST", "/api/jobs/", json.dumps(document).encode())
        if reply.status == 200 or (reply.status in {400, 500} and "already exists" in reply.text):
            return
        if reply.status == 400:
            raise LaunchRefused(f"Ray refuses job {document['submission_id']}: {reply.last_line}")
        raise self._failed(reply, "POST /api/jobs/")

    def stop(self, name: str) -> bool:
        """End a job: SIGTERM, three seconds later SIGKILL; False where Ray does not know it."""
        reply = self._ask("POST", f"/api/jobs/{quote(name, safe='')}/stop", b"")
        if reply.status not in {200, 404}:
            raise self._failed(reply, "POST /api/jobs/…/stop")
        return reply.status == 200

    def delete(self, name: str) -> None:
        """Have Ray forget a job that is over; one that it does not know is forgotten already."""
        reply = self._ask("DELETE", f"/api/jobs/{quote(name, safe='')}")
        if reply.status not in {200, 404}:
            raise self._failed(reply, "DELETE /api/jobs/…")

    def logs(self, name: str) -> str:
        """What a job has written."""
        asked = f"/api/jobs/{quote(name, safe='')}/logs"
        return str(self._mapping(self._get(asked), f"GET {asked}").get("logs") or "")

    def nodes(self) -> Sequence[Mapping[str, Any]]:
        """Those that are alive, and those that died not long ago."""
        path = f"/api/v0/nodes?detail=1&limit={_MOST_NODES}"
        found = self._data(path)
        return self._list(self._mapping(found.get("result"), "GET /api/v0/nodes").get("result"), "GET /api/v0/nodes")

    def cluster_status(self) -> Mapping[str, Any] | None:
        """What the first autoscaler wrote down last, every 5 s; None where there is none, or the second one."""
        found = self._data("/api/cluster_status").get("clusterStatus")
        return None if found is None else self._mapping(found, "GET /api/cluster_status")

    def logical_resources(self) -> Mapping[str, Any]:
        """What is used of each node by its identifier, as text for people; with either autoscaler."""
        found = self._data("/nodes?view=summary").get("nodeLogicalResources")
        return self._mapping(found, "GET /nodes")

    def wrong(self, what: str) -> BackendUnavailable:
        """The error for an answer that is not what it should be."""
        return self._http.failed(what, "it answered something else than Ray's API", _NO_DASHBOARD)

    def _data(self, path: str) -> Mapping[str, Any]:
        what = f"GET {path.partition('?')[0]}"
        return self._mapping(self._mapping(self._get(path), what).get("data"), what)

    def _get(self, path: str) -> Any:
        return self._json(self._ask("GET", path), f"GET {path.partition('?')[0]}")

    def _ask(self, method: str, path: str, body: bytes | None = None, *, longest: int = LONGEST) -> Reply:
        """With the token, which is read anew where Ray refuses it."""
        token = self._token.get()
        reply = self._send(method, path, body, token, longest)
        if reply.status in {401, 403} and self._token.has_changed(token):
            token = self._token.get()
            reply = self._send(method, path, body, token, longest)
        if reply.status in {401, 403}:
            why = "it refuses the token" if token else "it asks for a token, and none is known"
            raise self._http.failed(f"{method} {path.partition('?')[0]}", f"{why} ({reply.status})", HINT)
        return reply

    def _send(self, method: str, path: str, body: bytes | None, token: str, longest: int) -> Reply:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return self._http.request(method, path, body, headers, longest=longest)

    def _json(self, reply: Reply, what: str) -> Any:
        if reply.status != 200:
            raise self._failed(reply, what)
        try:
            return json.loads(reply.body)
        except (ValueError, RecursionError):
            raise self.wrong(what) from None

    def _failed(self, reply: Reply, what: str) -> BackendUnavailable:
        hint = _NO_DASHBOARD if reply.status < 500 else "see the logs of Ray's head: dashboard.log"
        return self._http.failed(what, f"status {reply.status}: {reply.last_line}", hint)

    def _list(self, found: Any, what: str) -> Sequence[Mapping[str, Any]]:
        if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
            raise self.wrong(what)
        return found

    def _mapping(self, found: Any, what: str) -> Mapping[str, Any]:
        if not isinstance(found, dict):
            raise self.wrong(what)
        return found

"""`FakeRay`: the part of the REST API of Ray's dashboard (2.60) that the backend uses; jobs are local processes."""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from orchestrator.backends.protocol import LaunchRequest, Observation
from orchestrator.backends.ray import RayBackend
from orchestrator.rundir.allocations import END_NOW, AllocationFiles
from orchestrator.rundir.control import Control, write_control
from orchestrator.rundir.fence import raise_fence
from orchestrator.rundir.launch import Launch, write_launch
from orchestrator.rundir.layout import JobDirectory
from orchestrator.spec.profile import ClusterProfile

TOKEN = "0123456789abcdef0123456789abcdef"
RECORDED = Path(__file__).parent / "recorded"


def recorded(name: str) -> Any:
    """What a real Ray 2.60 has answered."""
    return json.loads((RECORDED / f"{name}.json").read_text())


def node(name: str, *, cpus: float = 2, gpus: float = 0, **changes: Any) -> dict[str, Any]:
    """A row of `/api/v0/nodes`."""
    resources = {"CPU": cpus, "GPU": gpus, "memory": 8.0 * 2**30}
    row = {
        "node_id": f"{name}{'0' * 16}",
        "node_name": name,
        "state": "ALIVE",
        "state_message": None,
        "resources_total": {kind: size for kind, size in resources.items() if size},
        "labels": {},
        "start_time_ms": 1000,
        "end_time_ms": 0,
    }
    return row | changes


class FakeRay:
    """The head. `faults` are functions of a request that may answer in its place; each is used once."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.reset()

    def reset(self) -> None:
        """As a head that has just started."""
        self.lose_processes()
        self.token: str | None = TOKEN
        self.jobs: dict[str, dict[str, Any]] = {}
        self.nodes = [node("n1"), node("n2")]
        self.faults: dict[str, list[Callable[[BaseHTTPRequestHandler], bool]]] = {}
        self.asked: list[str] = []
        self.starts = True
        self.rewritten: set[str] = set()

    def close(self) -> None:
        """End it and what it has started."""
        self.lose_processes()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def lose_processes(self) -> None:
        """What it has started ends without a word."""
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(END_NOW)
                process.wait(10)
        self._processes = {}

    def restart(self) -> None:
        """The head dies and comes back: Ray forgets everything."""
        self.lose_processes()
        self.jobs = {}

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """What it answers to somebody with the token."""
        if path == "/api/version":
            return 200, {"ray_version": "2.60.0"}
        if path.startswith("/api/jobs/"):
            name, _, verb = unquote(path.removeprefix("/api/jobs/")).partition("/")
            return self._job(method, name, verb, body)
        if path == "/api/v0/nodes":
            return 200, {"result": True, "data": {"result": {"result": self.nodes}}}
        if path == "/api/cluster_status":
            return 200, {"data": {"clusterStatus": {"loadMetricsReport": {"usageByNode": self._usage()}}}}
        return 404, f"404: {path}"

    def _job(self, method: str, name: str, verb: str, body: Any) -> tuple[int, Any]:
        self._reap()
        if method == "POST" and not name:
            return self._submit(body)
        if method == "GET" and not name:
            return 200, list(self.jobs.values())
        if name not in self.jobs:
            return 404, f"Job {name} does not exist"
        job = self.jobs[name]
        if verb == "logs":
            return 200, {"logs": job["message"]}
        if verb == "stop":
            self._stop(name)
            return 200, {"stopped": True}
        if method == "DELETE":
            if job["status"] in {"PENDING", "RUNNING"}:
                return 500, "RuntimeError: it is in a non-terminal state"
            if name in self.rewritten:  # by what watches a job, and has not seen its end
                self.rewritten.remove(name)
            else:
                del self.jobs[name]
            return 200, {"deleted": True}
        return 200, job

    def _submit(self, body: dict[str, Any]) -> tuple[int, Any]:
        name = body["submission_id"]
        if name in self.jobs:
            said = f"ValueError: Job with submission_id {name} already exists. Please use a different submission_id.\n."
            return 500, f"Traceback (most recent call last):\n{said}"
        self.job(name, "PENDING", entrypoint=body["entrypoint"], metadata=body.get("metadata"))
        if self.starts:
            command = f"exec {body['entrypoint']}"  # so that what is signalled is not the shell
            self._processes[name] = subprocess.Popen(command, shell=True, start_new_session=True)
            self.jobs[name] |= {"status": "RUNNING", "start_time": int(time.time() * 1000)}
        return 200, {"job_id": name, "submission_id": name}

    def job(self, name: str, status: str, **fields: Any) -> dict[str, Any]:
        """Have it remember a job."""
        row = {"type": "SUBMISSION", "submission_id": name, "job_id": None, "status": status, "message": "It is so."}
        self.jobs[name] = row | {"start_time": None, "entrypoint": ""} | fields
        return self.jobs[name]

    def _stop(self, name: str) -> None:
        job = self.jobs[name]
        if job["status"] in {"PENDING", "RUNNING"}:
            if (process := self._processes.pop(name, None)) is not None:
                process.send_signal(END_NOW)  # as actors end with the driver that has started them
                process.wait(10)
            job |= {"status": "STOPPED", "message": "Job was intentionally stopped."}

    def _reap(self) -> None:
        for name, process in [*self._processes.items()]:
            if (code := process.poll()) is not None:
                del self._processes[name]
                self.jobs[name]["status"] = "FAILED" if code else "SUCCEEDED"

    def _usage(self) -> dict[str, Any]:
        self._reap()
        used = {row["node_id"]: 0.0 for row in self.nodes if row["state"] == "ALIVE"}
        ids = {row["node_name"]: row["node_id"] for row in self.nodes}
        for name in self._processes:
            directory, allocation = shlex.split(self.jobs[name]["entrypoint"])[-2:]
            stated = json.loads((Path(directory) / f"ray-{allocation.rpartition('.')[2]}.json").read_text())
            for where, workers in stated["placement"]:
                used[ids[where]] += workers
        return {name: {"CPU": [cores, 2.0], "memory": [0.0, 1.0]} for name, cores in used.items()}


def _handler(ray: FakeRay) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            path = urlsplit(self.path).path
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            asked = f"{self.command} {path}"
            ray.asked.append(asked)
            if ray.token is not None and (sent := self.headers.get("Authorization")) != f"Bearer {ray.token}":
                self.reply(403 if sent else 401, "Forbidden: Invalid authentication token")
                return
            if (faults := ray.faults.get(asked)) and faults.pop(0)(self):
                return
            status, found = ray.answer(self.command, path, body)
            if (faults := ray.faults.get(f"after {asked}")) and faults.pop(0)(self):
                return
            self.reply(status, found)

        do_GET = do_POST = do_DELETE = handle_any  # noqa: N815

        def reply(self, status: int, found: Any) -> None:
            content = (found if isinstance(found, str) else json.dumps(found)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    return Handler


class Site:
    """A server on this Ray."""

    def __init__(self, ray: FakeRay, root: Path, **section: Any) -> None:
        self.ray = ray
        self.root = root
        driver = root / "driver"
        driver.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).with_name("fake_driver.py")} "$4" "$5"\n')
        driver.chmod(0o755)
        ways = {"address": ray.url, "python": str(driver)} | section
        self.profile = ClusterProfile.model_validate({"name": "dev", "backend": "ray", "ray": ways})
        self.environment = {"RAY_AUTH_TOKEN": TOKEN, "AWS_REGION": "eu", "ORCHESTRATOR_TOKEN": "s", "HOME": "/root"}
        self._opened: list[RayBackend] = []
        self.backend = self.reopen()

    def reopen(self, *, timeout: float = 5.0) -> RayBackend:
        """Another server on the same state, as after a restart."""
        state, environment = self.root / "state", self.environment
        made = RayBackend(self.profile, state=state, environment=environment, timeout=timeout, forget_after=0.05)
        self._opened.append(made)
        return made

    def request(self, name: str, *argv: str, **changes: Any) -> LaunchRequest:
        """Of one worker on `n1`, with what an agent reads."""
        job = f"j-{name}"
        directory = JobDirectory.under(self.root, job).run(f"{job}-r1")
        directory.job.create()
        directory.create()
        raise_fence(directory.job, 1)
        placement = changes.pop("placement", (("n1", 1),))
        values = {"workers": sum(workers for _, workers in placement), "workdir": str(self.root)} | changes
        launch = Launch(job, f"{job}-r1", 1, argv or ("true",), **values)
        write_launch(directory, launch)
        write_control(directory, Control(generation=1, token=1, want="run", world_size=launch.workers))
        return LaunchRequest(f"{job}-r1.0", directory, launch, placement=placement, memory=2**30)

    def look(self, request: LaunchRequest, backend: RayBackend | None = None) -> Observation:
        """At one allocation."""
        return (backend or self.backend).observe([request.allocation])[request.allocation]

    def files(self, request: LaunchRequest) -> AllocationFiles:
        """Its files."""
        return AllocationFiles(request.directory, request.allocation)

    def close(self) -> None:
        """Let go of everything."""
        for backend in self._opened:
            backend.close()

"""A job service in memory, an application over it, and a transport that reaches it without a socket."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient

from orchestrator.api.app import create_app
from orchestrator.api.auth import Grant, Principal, TokenBook
from orchestrator.api.context import Activity, ApiContext
from orchestrator.base.errors import Conflict, NotFound, SpecError
from orchestrator.base.paths import inside
from orchestrator.client import Client, Reply
from orchestrator.control.findings import search_view
from orchestrator.planning.casefile import CaseFile
from orchestrator.scheduling.cluster import Demand, Node
from orchestrator.scheduling.jobs import Job
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.spec.answers import (
    Delay,
    JobLine,
    Moment,
    NodeView,
    Option,
    QueueView,
    Remedy,
    SlotCount,
    TeamLine,
    WhatIfRequest,
    WhatIfView,
    WhyView,
)
from orchestrator.spec.messages import (
    EventView,
    JobView,
    LogFile,
    Progress,
    ResultFile,
    ResultsView,
    RunView,
    ServerInfo,
    SubmitReply,
    SubmitRequest,
    TrialView,
)
from orchestrator.spec.presets import preset
from orchestrator.spec.profile import ClusterProfile
from orchestrator.spec.workload import Workload

TERMINAL = {"succeeded", "failed", "cancelled"}
NOW = 1_000_000.0


class FakeService:
    """Jobs in a dictionary; `script` says which states a job passes through, one for each look at it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.jobs: dict[str, JobView] = {}
        self.history: dict[str, list[EventView]] = {}
        self.trials: dict[str, list[TrialView]] = {}
        self.searches: dict[str, Workload] = {}
        self.script: dict[str, list[str]] = {}
        self.default_script: list[str] = []
        self.keys: dict[tuple[str, str], str] = {}
        self.requests: list[SubmitRequest] = []
        self.highest: list[int | None] = []
        self.teams: list[Collection[str] | None] = []
        self.profile = ClusterProfile(name="local", backend="local")
        self.resized: list[tuple[str, int | None]] = []
        self.asked: list[tuple[str, ...]] = []
        self.gets: int | None = None
        self.answers: list[tuple[str, dict[str, Any]]] = []
        self.questions = FakeQuestions(self)

    def submit(
        self,
        request: SubmitRequest,
        owner: str,
        *,
        highest: int | None = None,
        teams: Collection[str] | None = None,
    ) -> SubmitReply:
        self.highest.append(highest)
        self.teams.append(teams)
        self.requests.append(request)
        if "bad:" in request.source:
            raise SpecError(f"{request.filename}:1:1: unknown key `bad`", hint="did you mean `name`?")
        key = (owner, request.client_key or f"none-{len(self.requests)}")
        if key in self.keys:
            return SubmitReply(job=self.jobs[self.keys[key]], created=False)
        job = self.add(f"j-{len(self.jobs):08d}", owner=owner)
        self.keys[key] = job.id
        return SubmitReply(job=job, created=True)

    def submit_many(
        self,
        requests: Sequence[SubmitRequest],
        owner: str,
        *,
        highest: int | None = None,
        teams: Collection[str] | None = None,
    ) -> Sequence[SubmitReply]:
        return [self.submit(request, owner, highest=highest, teams=teams) for request in requests]

    def add(self, job: str, *, state: str = "queued", owner: str = "ada", name: str = "sweep") -> JobView:
        self.jobs[job] = JobView(
            id=job,
            name=name,
            kind="command",
            owner=owner,
            team="default",
            priority=0,
            state=state,
            terminal=state in TERMINAL,
            reason="waits for 1 slot; 0 of 2 are free" if state == "queued" else "",
            profile="local",
            workers="1..2",
            created_at=NOW,
            progress=Progress(done=3, total=24, unit="trials", best=0.04, best_label="val error"),
            runs=[
                RunView(
                    id=f"{job}-r1",
                    number=1,
                    state="running",
                    backend="local",
                    world_size=1,
                    created_at=NOW,
                    directory=str(self.root),
                )
            ],
            directory=str(self.root / job),
        )
        self.history[job] = [EventView(id=1, job=job, time=NOW, kind="submitted", message=f"by {owner}")]
        self.script[job] = list(self.default_script)
        return self.jobs[job]

    def log(self, job: str, name: str, content: bytes, *, run: int = 1) -> Path:
        path = self.root / job / f"{job}-r{run}" / "logs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def get(self, job: str) -> JobView:
        if self.script.get(job):
            self._move(job, self.script[job].pop(0))
        return self.jobs[job]

    def list(self, *, states: Sequence[str] | None = None, limit: int = 100, name: str | None = None) -> list[JobView]:
        found = [j for j in self.jobs.values() if (not states or j.state in states) and name in (None, j.name)]
        return found[:limit]

    def cancel(self, job: str, by: str = "root") -> JobView:
        self._move(job, "cancelled")
        return self.jobs[job]

    def retry(self, job: str, by: str) -> JobView:
        if not self.jobs[job].terminal:
            raise Conflict(f"job {job} is {self.jobs[job].state}", hint="only a job that is over can be retried")
        self._move(job, "queued")
        return self.jobs[job]

    def resize(self, job: str, workers: int | None, by: str) -> JobView:
        if self.jobs[job].state != "running":
            raise Conflict(f"job {job} is {self.jobs[job].state}", hint="only a running job can be resized")
        self.resized.append((job, workers))
        if workers is None:
            return self.jobs[job]
        self._move(job, "resizing")
        run = self.jobs[job].runs[-1].model_copy(update={"wanted": self.gets or workers})
        self.jobs[job] = self.jobs[job].model_copy(update={"runs": [run]})
        return self.jobs[job]

    def set_priority(self, job: str, priority: int, by: str) -> JobView:
        self.asked.append(("priority", job, str(priority), by))
        self.jobs[job] = self.jobs[job].model_copy(update={"priority": priority})
        return self.jobs[job]

    def hold(self, job: str, by: str) -> JobView:
        if self.jobs[job].state != "queued":
            raise Conflict(f"job {job} is {self.jobs[job].state}; it must be queued", hint="nothing was changed")
        self.asked.append(("hold", job, by))
        self._move(job, "held")
        return self.jobs[job]

    def release(self, job: str, by: str) -> JobView:
        self.asked.append(("release", job, by))
        self._move(job, "queued")
        return self.jobs[job]

    def drain(self, node: str, note: str, by: str) -> None:
        self._known(node)
        self.asked.append(("drain", node, note, by))

    def evict(self, node: str, by: str) -> list[str]:
        self.asked.append(("evict", node, by))
        return ["j-run"] if node == "a" else []

    def _known(self, node: str) -> None:
        if node not in self.questions.states:
            raise NotFound(f"cluster local has no node {node!r}", hint=f"its nodes: {', '.join(self.questions.states)}")

    def resume(self, node: str, by: str) -> None:
        self._known(node)
        self.asked.append(("resume", node, by))

    def checkpoint(self, job: str, key: str | None = None, by: str = "root") -> JobView:
        if self.jobs[job].state != "running":
            raise Conflict(f"job {job} is {self.jobs[job].state}", hint="only a running job can write a checkpoint")
        number = 1 + sum(event.kind == "checkpointing" for event in self.history[job])
        run = f"{job}-r1"
        for kind, data in [("checkpointing", {"key": key, "number": number}), *self.answers]:
            last = len(self.history[job])
            entry = EventView(id=last + 1, job=job, run=run, time=NOW, kind=kind, message=kind, data=data)
            self.history[job].append(entry)
        return self.jobs[job]

    def events(self, job: str, after: int = 0, limit: int = 1000) -> list[EventView]:
        return [e for e in self.history[job] if e.id > after][:limit]

    def results(self, job: str) -> ResultsView:
        trials = self.trials.get(job, [])
        files = [ResultFile(name="edf.png", path=f"{self.root}/{job}/results/edf.png", bytes=2048)] if trials else []
        summary = {"best": {"index": 1, "test_accuracy": 0.97}} if trials else {}
        search = search_view(self.searches[job], trials) if job in self.searches else None
        return ResultsView(job=self.jobs[job], trials=trials, search=search, files=files, summary=summary)

    def logs(self, job: str) -> list[LogFile]:
        found = sorted((self.root / job).glob("*/logs/*"))
        return [LogFile(run=p.parent.parent.name, name=p.name, bytes=p.stat().st_size) for p in found]

    def log_path(self, job: str, run: str | None, name: str) -> Path:
        try:
            return inside(self.root / job / (run or f"{job}-r1") / "logs", name)
        except ValueError as error:
            raise NotFound(str(error)) from None

    def resolve(self, prefix_or_name: str) -> str:
        found = [j.id for j in self.jobs.values() if j.id.startswith(prefix_or_name) or j.name == prefix_or_name]
        if not found:
            raise NotFound(f"there is no job {prefix_or_name!r}", hint="orchestrator jobs")
        return found[0]

    def _move(self, job: str, state: str) -> None:
        old = self.jobs[job]
        self.jobs[job] = old.model_copy(
            update={"state": state, "terminal": state in TERMINAL, "reason": f"scripted to be {state}"}
        )
        entry = EventView(id=len(self.history[job]) + 1, job=job, time=NOW, kind="moved", message=f"now {state}")
        self.history[job].append(entry)


def line(job: str, **fields: Any) -> JobLine:
    """A job of the queue that waits for one to four workers since a hundred seconds."""
    return JobLine.model_validate(
        {
            "job": job,
            "name": "sweep",
            "owner": "ada",
            "team": "vision",
            "priority": 0,
            "state": "queued",
            "workers_min": 1,
            "workers_max": 4,
            "slots": 1,
            "since": NOW - 100,
        }
        | fields
    )


class FakeQuestions:
    """Answers that a test may change; `requests` holds what was asked."""

    def __init__(self, service: FakeService) -> None:
        self._service = service
        self.requests: list[WhatIfRequest] = []
        self.asked_queue: list[tuple[str | None, int | None]] = []
        self.reasons: dict[str, str] = {}
        self.states = {"a": "up", "b": "up"}
        self.answer: WhyView | None = None

    def why(self, job: str) -> WhyView:
        if self.answer is not None:
            return self.answer
        view = self._service.jobs[job]
        return WhyView(
            job=job,
            name=view.name,
            state=view.state,
            now=NOW,
            kind="slots",
            reason="needs 4 gpu slots; 2 of 8 free",
            since=NOW - 100,
            expected_start=Moment(at=NOW + 600, earliest=NOW + 300, latest=NOW + 1800),
            position=2,
            queue=5,
            before=[line("j-first", position=1, priority=5)],
            remedies=[Remedy(text="raise its priority to 6", command=f"orchestrator priority {job} 6", proved=True)],
        )

    def queue(self, *, team: str | None = None, limit: int | None = None) -> QueueView:
        self.asked_queue.append((team, limit))
        running = line("j-run", state="running", workers=2, since=NOW - 3600, pinned=True, reason="")
        running = running.model_copy(update={"expected_end": Moment(at=NOW + 900)})
        waiting = line("j-wait", position=1, reason="needs 4; 2 free", expected_start=Moment(at=NOW + 900))
        return QueueView(
            now=NOW,
            profile="local",
            policy="default",
            slots=SlotCount(total=8, used=4, free=2, claimed=1, drained=1),
            running=[running],
            waiting=[waiting],
            waiting_total=3,
            held=1,
            teams=[TeamLine(team="vision", used=4, running=1, waiting=3, share=0.5, recent=0.75, quota=4)],
        )

    def snapshot(self) -> str:
        waiting = Job("j-1", 1, NOW - 60, Demand(4, 4), team="vision")
        return CaseFile(Snapshot(NOW, (Node("a", 2),), (waiting,)), preset("fifo")).text()

    def nodes(self) -> list[NodeView]:
        fields = {"slots": 4, "used": 2, "free": 2, "kind": "gpu"}
        drained = {"note": "fan", "by": "otto", "since": NOW - 60}
        return [
            NodeView(name=name, state=state, jobs={"j-run": 2}, **fields, **(drained if state == "drained" else {}))
            for name, state in self.states.items()
        ]

    def what_if(self, request: WhatIfRequest) -> WhatIfView:
        self.requests.append(request)
        start = Moment(at=NOW + 600)
        delays = [Delay(job="j-wait", seconds=300)]
        options = [Option(workers_min=1, workers_max=4, slots=1, start=start, delayed=1, delays=delays, reason="busy")]
        options += [Option(workers_min=w, workers_max=w, slots=1, start=start) for w in request.workers]
        return WhatIfView(now=NOW, profile="local", policy="default", live=True, position=2, waiting=5, options=options)

    def whole(self, view: JobView) -> JobView:
        return self.fill([view])[0]

    def fill(self, views: Sequence[JobView], *, max_age: float = 0.0) -> list[JobView]:
        return [
            view.model_copy(update={"reason": self.reasons[view.id]}) if view.id in self.reasons else view
            for view in views
        ]


TOKENS = {role: f"token-of-{role}" for role in ("viewer", "researcher", "operator", "admin")}
USERS = {"viewer": "vera", "researcher": "ada", "operator": "otto", "admin": "root"}


def make_context(service: FakeService, *, loopback_only: bool = True) -> ApiContext:
    grants = [Grant.of(token, Principal(USERS[role], role)) for role, token in TOKENS.items()]
    grants.append(Grant.of("token-expired", Principal("ada", "admin"), expires_at=NOW - 1))
    stopping = threading.Event()
    info = ServerInfo(
        version="0.1.0",
        pid=1,
        started_at=NOW,
        embedded=True,
        profile="local",
        backend="local",
        state_dir=str(service.root),
        slots=2,
        slots_free=1,
        tracking_uri="sqlite:///x.db",
        role="",
        user="",
    )
    return ApiContext(
        service=service,
        questions=service.questions,
        profile=service.profile,
        tokens=TokenBook(grants, now=lambda: NOW),
        describe=lambda: info,
        wake=lambda: None,
        stop=stopping.set,
        stopping=stopping,
        activity=Activity(),
        loopback_only=loopback_only,
    )


def make_app(service: FakeService) -> FastAPI:
    return create_app(make_context(service))


class AppTransport:
    """The client's transport, straight into an application."""

    def __init__(self, app: FastAPI) -> None:
        self._http = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)

    def request(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        answer = self._http.request(method, path, content=body, headers=dict(headers))
        return Reply(answer.status_code, dict(answer.headers), answer.content)

    def lines(self, path: str, headers: Mapping[str, str]) -> Iterator[str]:
        with self._http.stream("GET", path, headers=dict(headers)) as answer:
            yield from answer.iter_lines()


def make_client(service: FakeService, role: str = "admin") -> Client:
    return Client(AppTransport(make_app(service)), TOKENS[role])

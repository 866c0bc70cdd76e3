"""What the handlers work with: the job service, the tokens, and the server's own facts; no module-level state."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Protocol, cast

from fastapi import Depends, Request

from orchestrator.api.auth import Principal, TokenBook
from orchestrator.spec.answers import NodeView, QueueView, WhatIfRequest, WhatIfView, WhyView
from orchestrator.spec.messages import (
    EventView,
    JobView,
    LogFile,
    ResultsView,
    ServerInfo,
    SubmitReply,
    SubmitRequest,
)
from orchestrator.spec.profile import ClusterProfile


class Service(Protocol):
    """What the API asks of `orchestrator.control.service.JobService`."""

    def submit(
        self,
        request: SubmitRequest,
        owner: str,
        *,
        highest: int | None = None,
        teams: Collection[str] | None = None,
    ) -> SubmitReply:
        """Queue a workload of this priority at most; the same client key twice is one job."""
        ...

    def submit_many(
        self,
        requests: Sequence[SubmitRequest],
        owner: str,
        *,
        highest: int | None = None,
        teams: Collection[str] | None = None,
    ) -> Sequence[SubmitReply]:
        """Queue workloads, all or none."""
        ...

    def get(self, job: str) -> JobView:
        """One job."""
        ...

    def list(
        self, *, states: Sequence[str] | None = None, limit: int = 100, name: str | None = None
    ) -> Sequence[JobView]:
        """Jobs, newest first."""
        ...

    def cancel(self, job: str, by: str) -> JobView:
        """Stop it."""
        ...

    def retry(self, job: str, by: str) -> JobView:
        """Queue it again."""
        ...

    def resize(self, job: str, workers: int | None, by: str) -> JobView:
        """Give it another number of workers while it runs, which the policy leaves alone; None: it chooses again."""
        ...

    def set_priority(self, job: str, priority: int, by: str) -> JobView:
        """Move it forwards or backwards in the queue."""
        ...

    def hold(self, job: str, by: str) -> JobView:
        """Keep it from starting."""
        ...

    def release(self, job: str, by: str) -> JobView:
        """Let a held job start when its turn comes."""
        ...

    def drain(self, node: str, note: str, by: str) -> None:
        """Let nothing new start on a node."""
        ...

    def evict(self, node: str, by: str) -> Sequence[str]:
        """Preempt what runs on a node: it checkpoints, and goes on elsewhere. The jobs that were asked to."""
        ...

    def resume(self, node: str, by: str) -> None:
        """Let jobs start on a drained node again."""
        ...

    def checkpoint(self, job: str, key: str | None, by: str) -> JobView:
        """Ask it for a checkpoint; the same key again is the same request."""
        ...

    def events(self, job: str, after: int = 0, limit: int = 1000) -> Sequence[EventView]:
        """Its history after an event."""
        ...

    def results(self, job: str) -> ResultsView:
        """What it has found so far."""
        ...

    def logs(self, job: str) -> Sequence[LogFile]:
        """The log files of all its runs."""
        ...

    def log_path(self, job: str, run: str | None, name: str) -> Path:
        """One log file; never outside the logs folder."""
        ...

    def resolve(self, prefix_or_name: str) -> str:
        """The identifier that a unique prefix or a name stands for."""
        ...


class Questions(Protocol):
    """What the API asks of `orchestrator.control.questions.Questions`."""

    def why(self, job: str) -> WhyView:
        """Why a job is where it is."""
        ...

    def queue(self, *, team: str | None = None, limit: int | None = None) -> QueueView:
        """What runs and what waits, in the policy's order; so many of those that wait."""
        ...

    def snapshot(self) -> str:
        """What the policy sees now, and the policy, as JSON."""
        ...

    def nodes(self) -> Sequence[NodeView]:
        """The machines."""
        ...

    def what_if(self, request: WhatIfRequest) -> WhatIfView:
        """When a workload would start, and whom it would delay."""
        ...

    def whole(self, view: JobView) -> JobView:
        """The view of one job with why it waits, at length, its place, and when it should start."""
        ...

    def fill(self, views: Sequence[JobView], *, max_age: float = 0.0) -> list[JobView]:
        """The views with why those that wait do, in a few words, as it was `max_age` seconds ago or later."""
        ...


class Activity:
    """When the server was last used by somebody it knows; an open stream counts as use."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._open = 0
        self._last = monotonic()

    @contextmanager
    def request(self) -> Iterator[None]:
        """Around every request that carries a good token."""
        with self._lock:
            self._open += 1
        try:
            yield
        finally:
            with self._lock:
                self._open -= 1
                self._last = self._monotonic()

    def idle_seconds(self) -> float:
        """Seconds since the last request ended; 0 while one is open."""
        with self._lock:
            return 0.0 if self._open else self._monotonic() - self._last


@dataclass(frozen=True)
class ApiContext:
    """Everything that a handler may use.

    Attributes:
        service: the jobs.
        questions: answers about the queue.
        profile: the cluster.
        tokens: who may call.
        describe: the server's facts, without the caller's.
        wake: tells the controller that there is something to do.
        stop: ends the server; jobs go on.
        stopping: set once the server is ending, so that open streams end too.
        activity: when it was last used.
        loopback_only: the server listens on loopback, so that only loopback names are accepted as `Host`.
    """

    service: Service
    questions: Questions
    profile: ClusterProfile
    tokens: TokenBook
    describe: Callable[[], ServerInfo]
    wake: Callable[[], None]
    stop: Callable[[], None]
    stopping: threading.Event
    activity: Activity
    loopback_only: bool = True


def _context(request: Request) -> ApiContext:
    return cast(ApiContext, request.app.state.context)


Context = Annotated[ApiContext, Depends(_context)]


def _caller(request: Request, context: Context) -> Principal:
    return context.tokens.principal(request.headers.get("authorization"))


Caller = Annotated[Principal, Depends(_caller)]

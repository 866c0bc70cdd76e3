"""The server's inside: store, backend, job service and controller of one cluster profile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.api.served import served_profiles
from orchestrator.backends.build import backend_of
from orchestrator.backends.protocol import Backend
from orchestrator.base.clock import RandomIds, SystemClock
from orchestrator.base.errors import BackendUnavailable
from orchestrator.base.paths import state_dir
from orchestrator.control.engine_queue import EngineQuestions
from orchestrator.control.loop import Controller
from orchestrator.control.questions import Questions
from orchestrator.control.service import JobService
from orchestrator.spec.answers import SlotCount
from orchestrator.spec.profile import ClusterProfile
from orchestrator.store.database import open_store


@dataclass(frozen=True)
class Engine:
    """What serves one cluster."""

    profile: ClusterProfile
    backend: Backend
    service: JobService
    questions: Questions | EngineQuestions
    controller: Controller
    runs_root: Path

    def notes(self) -> list[str]:
        """Since when the engine does not answer, and what the profile names that it does not have."""
        try:
            faults = self.backend.capacity().faults
        except BackendUnavailable:
            faults = ()
        return [*filter(None, [self.controller.silence()]), *faults]

    def slot_count(self) -> SlotCount:
        """What the slots do, as the queue tells it.

        Raises:
            BackendUnavailable: it does not say what it has.
        """
        return self.questions.slot_count()


@contextmanager
def open_engine(profile: ClusterProfile) -> Iterator[Engine]:
    """Open the store and build what works on it; closed again at the end.

    Raises:
        StoreError: the store is damaged, held by another server, of a newer version, or on a network file system.
        Conflict: it has jobs of another profile or engine that are not over.
        UsageError: this installation has no such engine.
    """
    clock, ids, state = SystemClock(), RandomIds(), state_dir()
    runs_root = Path(profile.runs_dir) if profile.runs_dir else state / "runs"
    runs_root.mkdir(parents=True, exist_ok=True)
    backend = backend_of(profile, state=state)
    with closing(backend), closing(open_store(state / "orchestrator.db", clock=clock)) as store:
        service = JobService(store, profile, backend, clock, ids, runs_root)
        service.refuse_other_clusters(served_profiles())
        controller = Controller(store, backend, profile, clock, ids, runs_root)
        yield Engine(profile, backend, service, _questions(service, controller), controller, runs_root)


def _questions(service: JobService, controller: Controller) -> Questions | EngineQuestions:
    """Who answers: what our policy sees, or what an engine with a queue of its own tells."""
    if service.site.backend.queues:
        return EngineQuestions(service.site, controller.seen, controller.silence)
    return Questions(service.site, believed=controller.held_by_others)

"""`World`: a store, a simulated engine, a controller and the job service in one folder; time passes when told to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.base.clock import IdSource
from orchestrator.control.loop import Controller
from orchestrator.control.service import JobService
from orchestrator.control.site import Probe, no_probe
from orchestrator.control.snapshot import current_snapshot
from orchestrator.rundir.layout import JobDirectory, RunDirectory
from orchestrator.scheduling.explain import explain
from orchestrator.spec.messages import JobView, SubmitRequest
from orchestrator.spec.profile import ClusterProfile, Limits, Watch
from orchestrator.store import jobs
from orchestrator.store.database import open_store
from orchestrator.store.records import JobRecord
from orchestrator.testing.backend import SCRIPT, SimulatedBackend
from orchestrator.testing.clock import SequentialIds, SimulatedClock


class World:
    """Everything but people.

    Args:
        root: everything lies under it; a second world on the same folder goes on where the first one was.
        slots: of the engine's one node, or of each of its nodes by name.
        probe: called before and after every commit and every engine call.
        clock: default: a new one.
        ids: default: sequential ones.
        limits: of the profile.
        profile: more of the profile: its `policy` (default: strict by priority), `teams`, `maintenance`.
        queues: the engine has a queue of its own; the section `slurm` of the profile lets runs grow.
    """

    def __init__(
        self,
        root: Path,
        *,
        slots: int | Mapping[str, int] = 2,
        probe: Probe = no_probe,
        clock: SimulatedClock | None = None,
        ids: IdSource | None = None,
        limits: Limits | None = None,
        profile: Mapping[str, Any] | None = None,
        queues: bool = False,
    ) -> None:
        self.root = root
        self.slots = slots
        self.clock = clock or SimulatedClock()
        self.ids = ids or SequentialIds()
        names = ["localhost"] if isinstance(slots, int) else list(slots)
        sections: dict[str, Any] = {
            "name": "simulated",
            "limits": limits or Limits(),
            "watch": Watch(poll=0.5, lost_after=30.0, cancel_grace=20.0),
        }
        engine: dict[str, Any] = {"backend": "local", "nodes": [{"name": name} for name in names]}
        engine["policy"] = {"preset": "fifo", "order": {"by": "priority"}}
        if queues:
            engine = {"backend": "slurm", "slurm": {"growth": {"partition": "spare"}}}
        self.profile = ClusterProfile.model_validate(sections | engine | dict(profile or {}))
        self.backend = SimulatedBackend(root / "engine.json", slots=slots, clock=self.clock, queues=queues)
        self.open(probe)

    def open(self, probe: Probe = no_probe) -> None:
        """A new server on this world's store."""
        runs_root = self.root / "runs"
        self.store = open_store(self.root / "store.sqlite", clock=self.clock)
        common = (self.clock, self.ids, runs_root)
        self.controller = Controller(self.store, self.backend, self.profile, *common, probe)
        self.service = JobService(
            self.store, self.profile, self.backend, *common, state_directory=self.root, probe=probe
        )

    def restart(self, probe: Probe = no_probe) -> None:
        """The server ends and a new one starts; the engine goes on."""
        self.store.close()
        self.open(probe)

    def request(self, *script: str, key: str | None = None, **document: Any) -> SubmitRequest:
        """A submit of a simulated run; keywords are further sections of the workload."""
        source = json.dumps({"name": "job", "command": list(script or ("start", "succeed")), **document})
        return SubmitRequest(source=source, workdir=str(self.root), client_key=key)

    def submit(self, *script: str, key: str | None = None, **document: Any) -> str:
        """Submit, and return the job's identifier."""
        return self.service.submit(self.request(*script, key=key, **document), "somebody").job.id

    def train(self, *script: str, workers: str = "1..4", key: str | None = None, **document: Any) -> str:
        """Submit a training of four virtual workers, simulated by a script; the job's identifier."""
        sections: dict[str, Any] = {
            "name": "training",
            "recipe": "regnet",
            "data": {"dataset": "digits", "image_size": 16},
            "model": {"preset": "regnetx_200mf"},
            "optim": {"lr": 0.1},
            "train": {"epochs": 2, "batch_size": 64, "samples_per_virtual_worker": 16},
            "resources": {"workers": workers},
            "env": {SCRIPT: " ".join(script)},
        }
        source = json.dumps(sections | document)
        request = SubmitRequest(source=source, workdir=str(self.root), client_key=key)
        return self.service.submit(request, "somebody").job.id

    def step(self, times: int = 1, *, seconds: float = 0.5) -> None:
        """So often: the controller makes a pass, runs do one word, time goes on."""
        for _ in range(times):
            self.controller.step()
            self.backend.tick()
            self.clock.advance(seconds)

    def finish(self, limit: int = 500) -> None:
        """Steps until every job is over.

        Raises:
            AssertionError: they are not after `limit` steps.
        """
        for _ in range(limit):
            if self.service.open_jobs() == 0:
                return
            self.step()
        raise AssertionError(f"not over: {[(j.id, j.state, j.reason) for j in self.service.list() if not j.terminal]}")

    def job(self, job: str) -> JobView:
        """A job as people see it."""
        return self.service.get(job)

    def record(self, job: str) -> JobRecord:
        """A job as the store has it."""
        with self.store.read() as connection:
            return jobs.get(connection, job)

    def why(self, job: str) -> str:
        """Why it waits."""
        return explain(current_snapshot(self.service.site), self.profile.policy, job).text

    def state(self, job: str) -> str:
        """Its state."""
        return self.job(job).state

    def moves(self, job: str) -> list[str]:
        """The states that it has been through, `queued` first."""
        history = self.service.events(job, limit=100_000)
        return ["queued", *(str(event.data["to"]) for event in history if event.kind == "state")]

    def job_directory(self, job: str) -> JobDirectory:
        """Its files."""
        return JobDirectory.under(self.root / "runs", job)

    def run_directory(self, job: str, number: int = 1) -> RunDirectory:
        """The files of one of its runs."""
        return self.job_directory(job).run(f"{job}-r{number}")

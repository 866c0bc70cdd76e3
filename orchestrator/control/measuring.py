"""What runs measured of themselves goes into the store; what follows from it for the run times of jobs comes out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from orchestrator.backends.protocol import Capacity
from orchestrator.base.errors import OrchestratorError
from orchestrator.base.text import one_line
from orchestrator.blueprint.features import Features
from orchestrator.control.foreign import FOREIGN_ERRORS, amount_of
from orchestrator.control.site import Site
from orchestrator.lifecycle.states import JobState
from orchestrator.planning.dataset import DatasetFacts, dataset_facts
from orchestrator.planning.devices import device_of
from orchestrator.planning.estimate import History, blind_exponent, estimate_of, forecast_or_none, work_of
from orchestrator.planning.history import finished, finished_of, measured
from orchestrator.planning.memory import memory_of_worker
from orchestrator.rundir.events import RunEvent
from orchestrator.scheduling.estimates.codec import (
    estimate_from_json,
    estimate_to_json,
    work_from_json,
    work_to_json,
)
from orchestrator.scheduling.estimates.devices import canonical
from orchestrator.scheduling.estimates.eta import Eta, Watched, eta
from orchestrator.scheduling.estimates.forecast import RunEstimate, Work
from orchestrator.scheduling.estimates.history import Asked, from_history
from orchestrator.scheduling.estimates.measurement import AMOUNTS, NO_TRIAL, Measurement
from orchestrator.spec.answers import Moment
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.spec.workload import Workload
from orchestrator.store import jobs, measurements, runs
from orchestrator.store.looks import MeasurementRecord
from orchestrator.store.records import JobRecord, RunRecord

_WORKING = frozenset({JobState.RUNNING, JobState.RESIZING})
_MOST_WORKERS, _MOST_TRIALS = 1_000_000, 2**31


@dataclass(frozen=True)
class Expected:
    """What is expected of a job when it is submitted.

    Attributes:
        estimate: of its run time and memory.
        device: that it is meant for.
        work: that it has to do; None where only earlier run times are known.
    """

    estimate: RunEstimate
    device: str
    work: Work | None = None

    @property
    def columns(self) -> dict[str, Any]:
        """What of it stands with the job itself."""
        found = self.estimate.estimate
        return {"estimate": {"seconds": found.seconds, "error": found.error}, "exponent": self.estimate.exponent}

    def document(self) -> dict[str, Any]:
        """As the table of works has it."""
        known = {} if self.work is None else {"work": work_to_json(self.work)}
        return known | {"estimate": estimate_to_json(self.estimate)}


class Expectations:
    """What is expected of workloads that are being submitted.

    Args:
        site: its store knows earlier runs.
        state_dir: datasets lie under it.
    """

    def __init__(self, site: Site, state_dir: Path) -> None:
        self._site, self._state_dir = site, state_dir
        self._known: dict[str, tuple[tuple[int, float, float], tuple[Measurement, ...]]] = {}

    def of(self, workload: Workload, capacity: Capacity, *, owner: str, content: str, workdir: Path) -> Expected | None:
        """None where nobody has an idea.

        Args:
            workload: that was checked already.
            capacity: of the engine.
            owner: who submits it.
            content: digest of what is submitted.
            workdir: where the user stood.
        """
        facts = _facts(workload, workdir, self._state_dir)
        work = None if facts is None else work_of(workload, facts)
        if work is None:
            with self._site.store.read() as connection:
                history = History(finished=finished(connection, name=workload.name))
            found = estimate_of(workload, None, history, owner=owner, content=content)
            return None if found is None else Expected(found, "")
        device = device_of(workload, self._site.profile, capacity)
        expected = forecast_or_none(work, self._measured(device), device)
        return None if expected is None else Expected(expected, device, work)

    def _measured(self, device: str) -> tuple[Measurement, ...]:
        """Read again only where there is more: ten thousand jobs may come at once."""
        name = canonical(device)
        with self._site.store.read() as connection:
            stamp = measurements.stamp(connection, name)
            known = self._known.get(name)
            if known is None or known[0] != stamp:
                known = self._known[name] = stamp, measured(connection, name)
        return known[1]


def keep(connection: Connection, job: str, expected: Expected) -> None:
    """Write down what is expected of a job, in the transaction that adds it."""
    measurements.put_work(connection, job, canonical(expected.device), expected.document())


def memory_default(expected: Expected | None, capacity: Capacity, slots: int, cores: int = 0) -> int:
    """Bytes of a node's memory that each worker is reckoned to need, where its workload does not say; 0: not counted.

    Args:
        expected: of the job.
        capacity: of the cluster.
        slots: of a worker; 0: it takes none.
        cores: of a worker that takes no slot.
    """
    return 0 if expected is None else memory_of_worker(expected.estimate, expected.device, capacity, slots, cores)


def take(connection: Connection, run: RunRecord, event: RunEvent) -> None:
    """An event `measured`; what is no measurement is left out, for it is foreign."""
    data = event.data
    try:
        features = Features.from_json(data["features"])
        workers, trial = int(data["workers"]), int(data.get("trial", NO_TRIAL))
        device = one_line(str(data["device"]))
        amounts = {name: amount_of(data.get(name, 0.0)) for name in AMOUNTS}
        memory = None if data.get("memory") is None else amount_of(data["memory"])
    except FOREIGN_ERRORS:
        return
    if not 1 <= workers <= _MOST_WORKERS or not NO_TRIAL <= trial < _MOST_TRIALS or memory == 0:
        return
    job = jobs.get(connection, run.job)
    # A search has started long before its first trial has: Ray comes up in between.
    known = trial == NO_TRIAL and run.started_at is not None
    startup = max(0.0, (run.started_at or 0.0) - run.created_at) if known else None
    document = {"features": features.to_json(), **amounts, "memory": memory, "startup": startup}
    record = MeasurementRecord(
        run=run.id,
        trial=trial,
        workers=workers,
        job=run.job,
        kind=job.kind,
        device=canonical(device),
        at=event.time,
        document=document,
    )
    measurements.put(connection, record)


def expected_of(connection: Connection, records: Collection[JobRecord]) -> Mapping[str, RunEstimate]:
    """What is expected of some jobs, of those where something is.

    Of one that works, and of which nobody had an idea when it was submitted, by what has ended since. People are told
    so; decisions stay with what was known then.
    """
    known = measurements.works_of(connection, [job.id for job in records])
    found = {job: found for job, document in known.items() if (found := _estimate(document)) is not None}
    unknown = [job for job in records if job.state in _WORKING and job.id not in found]
    history = finished_of(connection, {job.name for job in unknown})
    for job in unknown:
        exponent = blind_exponent(job.kind)
        asked = Asked(job.name, job.owner, job.content, job.workers_max, job.time_limit, exponent)
        if (since := from_history(asked, history.get(job.name, ()))) is not None:
            found[job.id] = since
    return found


def left(job: JobRecord, run: RunRecord, estimate: RunEstimate | None, now: float) -> Eta | None:
    """When a running job ends: its own word and what was expected of it, together, and no later than its limit.

    Args:
        job: with its newest progress.
        run: its newest one.
        estimate: of the job.
        now: seconds since the epoch.
    """
    found = _watched(job, run, estimate, now)
    if found is None or run.time_limit is None:
        return found
    counts_from = run.created_at if run.started_at is None else run.started_at  # as the limit is enforced
    most = max(0.0, counts_from + run.time_limit - now)
    return Eta(min(found.seconds, most), min(found.low, most), min(found.high, most))


def left_now(job: JobRecord, run: RunRecord, estimate: RunEstimate | None, now: float) -> Eta | None:
    """The same; None also where it does not run, or stands still, as too few workers are left."""
    works = job.state in _WORKING and run.world_size >= job.workers_min
    return left(job, run, estimate, now) if works else None


def ends_of(connection: Connection, now: float) -> dict[str, Moment]:
    """When each job that works should be over, as `left_now` has it; who is not named has said nothing to go by."""
    working = {job.id: job for job in jobs.in_states(connection, _WORKING)}
    expected = expected_of(connection, working.values())
    newest = {run.job: run for run in runs.unreleased(connection) if run.job in working}
    found = {name: left_now(working[name], run, expected.get(name), now) for name, run in newest.items()}
    return {
        name: Moment(at=now + eta.seconds, earliest=now + eta.low, latest=now + eta.high)
        for name, eta in found.items()
        if eta is not None
    }


def _watched(job: JobRecord, run: RunRecord, estimate: RunEstimate | None, now: float) -> Eta | None:
    told: Mapping[str, Any] = job.progress or {}
    try:
        total, done = amount_of(told.get("total") or 0.0), amount_of(told.get("done") or 0.0)
        at, own = amount_of(told.get("time") or now), told.get("eta_seconds")
        own = None if own is None else amount_of(own)
    except FOREIGN_ERRORS:
        return None
    share = min(1.0, max(0.0, done / total)) if total > 0 else None
    unknown = now if share is None else run.created_at  # what has not started has done nothing
    since = unknown if run.started_at is None else run.started_at
    return eta(Watched(share, own, min(at, now), since, max(1, run.world_size)), estimate, now)


def _facts(workload: Workload, workdir: Path, state_dir: Path) -> DatasetFacts | None:
    if not isinstance(workload, RegNetWorkload):
        return None
    try:
        return dataset_facts(workload.data.dataset, workdir=workdir, state_dir=state_dir)
    except OrchestratorError:  # the check has said what there is to say
        return None


def work_of_document(document: Mapping[str, Any]) -> Work | None:
    """What a job has to do, as the table of works has it; None where it has nothing to read."""
    try:
        return work_from_json(document["work"])
    except (AttributeError, KeyError, TypeError, ValueError):  # of another version
        return None


def _estimate(document: Mapping[str, Any]) -> RunEstimate | None:
    try:
        return estimate_from_json(document["estimate"])
    except (AttributeError, KeyError, TypeError, ValueError):
        return None

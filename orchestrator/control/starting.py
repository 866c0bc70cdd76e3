"""What a job that is starting does, and for how long: by its run's record, and by the files of its processes."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection

from orchestrator.backends.protocol import AllocationState, Observation
from orchestrator.base.text import counted
from orchestrator.control.site import Site
from orchestrator.lifecycle.reasons import duration
from orchestrator.lifecycle.states import JobState, RunState
from orchestrator.store import briefs
from orchestrator.store.records import JobRecord, RunRecord


def phase_of(
    site: Site, connection: Connection, job: JobRecord, run: RunRecord | None, seen: Observation | None = None
) -> str:
    """`starting for 42 s: …`; empty where the job is not starting.

    Args:
        site: where its files lie.
        connection: for reading.
        job: the job.
        run: its newest run.
        seen: what an engine with a queue of its own says of it.
    """
    if job.state not in {JobState.STARTING, JobState.HELD} or run is None or run.state.terminal:
        return ""
    since = duration(max(0.0, site.clock.now() - run.created_at))
    if seen is not None and seen.state is AllocationState.PENDING:
        return f"waits in {place_of(seen, site.backend.name.capitalize())}, for {since}"
    if job.state is JobState.HELD:
        return ""
    return f"starting for {since}: {_step(site, connection, run, seen)}"


def place_of(seen: Observation, engine: str) -> str:
    """`Slurm as job 1234 (partition batch)`."""
    known = f" as job {seen.engine_id}" if seen.engine_id else ""
    return f"{engine}{known}{f' (partition {seen.partition})' if seen.partition else ''}"


def _step(site: Site, connection: Connection, run: RunRecord, seen: Observation | None) -> str:
    if run.state is RunState.CREATED:
        return f"its launch on {counted(run.world_size, 'worker')} is written down, and the engine has not taken it yet"
    told = briefs.newest_events(connection, run.job, {"agent_started"}, 1)
    if not told or told[0].run != run.id:
        if seen is None or seen.state is not AllocationState.RUNNING:
            return "the engine has taken it, and its agent has not reported yet"
        where = f" on {', '.join(seen.nodes)}" if seen.nodes else ""
        place = place_of(seen, site.backend.name.capitalize())
        return f"it has been started in {place}{where}, and its agent has not reported yet"
    directory, agent = site.run_directory(run), told[0].message
    begun, ready = _count(directory.logs, "rank-*.log"), _count(directory.events, "rank-*")
    if not begun:
        return f"{agent}, and has started none of {counted(run.world_size, 'worker')} yet"
    are = "is" if ready == 1 else "are"
    return f"{agent}; {ready} of {counted(run.world_size, 'worker')} {are} ready, {begun} {_has(begun)} been started"


def _has(count: int) -> str:
    return "has" if count == 1 else "have"


def _count(folder: Path, pattern: str) -> int:
    """A worker has a log once its process is started, and a folder of events once it has loaded its code."""
    try:
        return sum(1 for _ in folder.glob(pattern))
    except OSError:
        return 0

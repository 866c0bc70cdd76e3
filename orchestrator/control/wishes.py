"""What is wanted of runs that go on, kept in their control.json: workers, their place, and checkpoints asked for."""

from __future__ import annotations

from sqlalchemy import Connection

from orchestrator.base.errors import Conflict, UsageError
from orchestrator.base.text import one_line
from orchestrator.control.site import Site
from orchestrator.control.stops import first_wish, wanted_place
from orchestrator.lifecycle.states import JobState, RunState
from orchestrator.planning.launch import is_training, kind_of
from orchestrator.rundir.control import read_control, write_control
from orchestrator.store import events, runs
from orchestrator.store.records import JobRecord, Placed, RunRecord

_ASKED = "checkpointing"


class Wishes:
    """Brings control.json in line with the store; after a restart every run is looked at once."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._told: dict[str, tuple[int, int, Placed | None]] = {}

    def tell(self, run: RunRecord) -> None:
        """Write what has changed.

        Raises:
            OSError: the run directory cannot be written.
        """
        placement = wanted_place(self._site, run)
        wanted = (run.wanted, run.checkpoints_asked, placement)
        if self._told.get(run.id) == wanted:
            return
        directory = self._site.run_directory(run)
        wish = read_control(directory) or first_wish(self._site, run)
        if (wish.world_size, wish.checkpoint, wish.placement) != wanted:
            changes = {"world_size": run.wanted, "checkpoint": run.checkpoints_asked, "placement": placement}
            write_control(directory, wish.next(**changes))
        self._told[run.id] = wanted

    def forget(self, run: str) -> None:
        """It is over."""
        self._told.pop(run, None)


def running_run(connection: Connection, job: JobRecord, what: str) -> RunRecord:
    """The run of a job that runs.

    Args:
        connection: of a transaction.
        job: whose.
        what: could be done with a running one: `be resized`.

    Raises:
        Conflict: it does not run, or ends.
    """
    active = [run for run in runs.unreleased_of(connection, job.id) if run.state is RunState.RUNNING]
    if job.state not in {JobState.RUNNING, JobState.RESIZING} or not active:
        raise Conflict(f"job {job.id} {job.state.clause}", hint=f"only a running job can {what}")
    run = active[-1]
    if run.stop_cause is not None:
        raise Conflict(f"job {job.id} was asked to stop ({run.stop_cause})", hint="nothing was changed")
    return run


def ask_for_checkpoint(site: Site, connection: Connection, job: JobRecord, key: str | None, by: str) -> None:
    """Write the wish down, once for each key; the next pass of the controller tells the run.

    Raises:
        UsageError: it is none that writes checkpoints when it is asked to.
        Conflict: it does not run.
    """
    if key is not None and events.has_key(connection, job.id, _ASKED, key):
        return
    workload = site.workload_of(job)
    if not is_training(workload):
        raise UsageError(
            f"job {job.id} is a {kind_of(workload)}: it writes no checkpoint when it is asked to",
            hint="one training of a recipe does",
        )
    run = running_run(connection, job, "write a checkpoint")
    number = run.checkpoints_asked + 1
    runs.change(connection, run, checkpoints_asked=number)
    data = {"number": number} | ({} if key is None else {"key": key})
    message = f"{one_line(by, 200)} asked for a checkpoint"
    events.append(connection, job.id, _ASKED, message, time=site.clock.now(), run=run.id, data=data)

"""The driver: gives the trials that are left to Ray Tune, and ends when they have, or when the run is asked to stop."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.text import counted
from orchestrator.onray.meeting import RayMeeting
from orchestrator.onray.private import Signals, private_ray
from orchestrator.rundir.layout import JobDirectory, RunDirectory
from orchestrator.search.ledger import Ledger
from orchestrator.search.trial import REGNET_TRAINER, TrialTask, run_trial
from orchestrator.spec.regnet import RegNetWorkload

_NODES_WITHIN = 60.0
"""Who comes later is used all the same."""
_TICK = 0.2


@dataclass(frozen=True)
class SearchRun:
    """One run of a search.

    Attributes:
        job: the job's directory.
        run: the run's directory.
        token: its fencing token.
        slots: workers' slots that the run holds.
        on_lost: told which of Ray's daemons died; it does not come back, for nothing can go on.
        trainer: import path of what trains a trial.
        elsewhere: those of the slots that lie on other nodes, which join by themselves.
        host: where they reach this node.
    """

    job: JobDirectory
    run: RunDirectory
    token: int
    slots: int
    on_lost: Callable[[str], None]
    trainer: str = REGNET_TRAINER
    elsewhere: int = 0
    host: str = "127.0.0.1"


def run_trials(run: SearchRun, workload: RegNetWorkload, ledger: Ledger, should_stop: Callable[[], bool]) -> bool:
    """Run every trial that is left, on a private Ray.

    Returns:
        True where all have ended, False where the run was asked to stop before.

    Raises:
        Fenced: a newer run owns the job.
    """
    meeting = RayMeeting(run.run) if run.elsewhere else None
    with _told_to_go(meeting):
        if not ledger.pending:
            return True
        if should_stop():
            return False
        ledger.tell_progress({}, force=True, message=f"starting Ray on {counted(run.slots, 'slot')}")
        signals, here = Signals.current(), run.slots - run.elsewhere
        gpus, host = here * workload.resources.gpus_per_worker, run.host if run.elsewhere else None
        # Told while Ray is there: a node that loses it before has failed.
        with private_ray(here, gpus, run.on_lost, host) as (scratch, head), _told_to_go(meeting):
            if meeting is not None:
                meeting.announce(head)
            if not _gather(run, ledger, should_stop):
                return False
            return tune_trials(run, workload, ledger, should_stop, scratch, signals)


@contextmanager
def _told_to_go(meeting: RayMeeting | None) -> Iterator[None]:
    """In the end the other nodes are told that they may go, whether or not they were needed."""
    try:
        yield
    finally:
        if meeting is not None:
            meeting.end()


def _gather(run: SearchRun, ledger: Ledger, should_stop: Callable[[], bool]) -> bool:
    """Wait for the slots of the other nodes, not for ever; False where the run was asked to stop."""
    deadline = time.monotonic() + _NODES_WITHIN
    while (there := _slots_there()) < run.slots and time.monotonic() < deadline:
        if should_stop():
            return False
        ledger.tell_progress({}, message=f"waiting for other nodes: {there} of {counted(run.slots, 'slot')} are there")
        time.sleep(_TICK)
    return True


def _slots_there() -> int:
    """What Ray has, of all nodes that are there."""
    import ray

    return int(ray.cluster_resources().get("CPU", 0))  # type: ignore[no-untyped-call]


def tune_trials(
    run: SearchRun,
    workload: RegNetWorkload,
    ledger: Ledger,
    should_stop: Callable[[], bool],
    scratch: Path,
    signals: Signals,
) -> bool:
    """The same on the Ray that this process is connected to.

    Args:
        run: the run.
        workload: with a search.
        ledger: the trials.
        should_stop: whether the run was asked to stop; asked many times a second.
        scratch: a folder for what Tune writes.
        signals: the handlers of this process, which Tune replaces.
    """
    from ray import tune

    from orchestrator.search.schedulers import tune_scheduler
    from orchestrator.search.watcher import StopWhenDrained, Watcher

    search, meeting = workload.search, run.run.path / "trials"
    assert search is not None
    shutil.rmtree(meeting, ignore_errors=True)
    meeting.mkdir(parents=True)
    watcher = Watcher(ledger, meeting, should_stop, signals)
    task = TrialTask(str(run.job.path), run.token, 0, run.trainer, str(meeting), str(run.run.path))
    resources = {"cpu": 1.0, "gpu": float(workload.resources.gpus_per_worker)}
    tuner = tune.Tuner(
        tune.with_resources(run_trial, resources),
        param_space=task.config() | {"index": tune.grid_search(list(ledger.pending))},
        tune_config=tune.TuneConfig(
            metric="score",
            mode="min",
            scheduler=tune_scheduler(search.scheduler, workload.train.epochs),
            max_concurrent_trials=min(run.slots, search.concurrency or run.slots),
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="search",
            storage_path=str(scratch / "tune"),
            stop=StopWhenDrained(watcher),
            callbacks=[watcher],
            failure_config=tune.FailureConfig(max_failures=search.retries),
            verbose=0,
        ),
    )
    tuner.fit()
    ledger.tell_progress({}, force=True)
    return not watcher.stopping

"""The driver: gives the trials that are left to Ray Tune, and ends when they have, or when the run is asked to stop."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from orchestrator.base.text import counted
from orchestrator.onray.cluster import Reserved, cluster_ray
from orchestrator.onray.meeting import RayMeeting, gather, told_to_go
from orchestrator.onray.private import Signals, private_ray, scratch_folder
from orchestrator.rundir.layout import JobDirectory, RunDirectory
from orchestrator.search.faults import most_failures
from orchestrator.search.generations import Adopt, run_generations
from orchestrator.search.ledger import Ledger
from orchestrator.search.records import TrialRecord
from orchestrator.search.shares import trial_resources
from orchestrator.search.stopping import StopRule
from orchestrator.search.tpe import TpeSampler
from orchestrator.search.trial import REGNET_TRAINER, TrialTask, run_trial
from orchestrator.spec.regnet import RegNetWorkload


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
        sampler: suggests further trials; None: all are known.
        adopt: how a trial takes over the state of another one; None: by its checkpoint.
    """

    job: JobDirectory
    run: RunDirectory
    token: int
    slots: int
    on_lost: Callable[[str], None]
    trainer: str = REGNET_TRAINER
    elsewhere: int = 0
    host: str = "127.0.0.1"
    sampler: TpeSampler | None = None
    adopt: Adopt | None = None


def run_trials(run: SearchRun, workload: RegNetWorkload, ledger: Ledger, should_stop: Callable[[], bool]) -> bool:
    """Run every trial that is left, on a private Ray.

    Returns:
        True where all have ended, False where the run was asked to stop before.

    Raises:
        Fenced: a newer run owns the job.
    """
    meeting = RayMeeting(run.run) if run.elsewhere else None
    with told_to_go(meeting):
        if reason := StopRule.of(workload).met(ledger.trials):
            ledger.close(reason)
            return True
        if not ledger.pending and (run.sampler is None or run.sampler.over(ledger.trials)):
            return True
        if should_stop():
            return False
        ledger.tell_progress({}, force=True, message=f"starting Ray on {counted(run.slots, 'slot')}")
        signals, here = Signals.current(), run.slots - run.elsewhere
        gpus, host = here * workload.resources.gpus_per_worker, run.host if run.elsewhere else None
        reserved = Reserved.of(os.environ)
        if reserved is not None:
            with scratch_folder() as scratch, cluster_ray(reserved, run.on_lost), seated_in(reserved):
                return tune_trials(run, workload, ledger, should_stop, scratch, signals)
        # Told while Ray is there: a node that loses it before has failed.
        with private_ray(here, gpus, run.on_lost, host) as (scratch, head), told_to_go(meeting):
            if meeting is not None:
                meeting.announce(head)
            if not _gather(run, ledger, should_stop):
                return False
            return tune_trials(run, workload, ledger, should_stop, scratch, signals)


@contextmanager
def seated_in(reserved: Reserved) -> Iterator[None]:
    """Trials lie where the run has its places on the cluster."""
    from orchestrator.onray.seats import seated  # Tune, for those who use it

    with seated(reserved):
        yield


def _gather(run: SearchRun, ledger: Ledger, should_stop: Callable[[], bool]) -> bool:
    """Wait for the slots of the other nodes, not for ever; False where the run was asked to stop."""

    def waiting(there: int) -> None:
        ledger.tell_progress({}, message=f"waiting for other nodes: {there} of {counted(run.slots, 'slot')} are there")

    return gather(run.slots, should_stop, waiting) is not None


def workers_of_nodes(slots: int) -> list[int]:
    """Workers' slots of each node that a run has; those that have not come yet count as nodes of their own.

    Args:
        slots: of the run, on all nodes.
    """
    import ray

    reserved = Reserved.of(os.environ)
    if reserved is not None:
        there = list(reserved.nodes.values())
    else:
        alive = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
        there = [int(node["Resources"].get("CPU", 0)) for node in alive]
    return [*there, *[1] * (slots - sum(there))]


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
    fit = partial(_fit, run, workload, ledger, should_stop, scratch, signals)
    if workload.search is None or workload.search.scheduler.type != "pbt":
        return fit(0, ledger.pending)

    def train(until: int, trials: tuple[int, ...]) -> bool:
        return not should_stop() and fit(until, trials)

    return run_generations(workload, ledger, train, run.adopt or partial(_adopt, run, workload), should_stop)


def _adopt(run: SearchRun, workload: RegNetWorkload, source: TrialRecord, trial: TrialRecord) -> None:
    """Torch is imported where a checkpoint is copied, and not before."""
    from orchestrator.search.adoption import adopt_checkpoint

    adopt_checkpoint(run.job, run.token, workload, source, trial)


def _fit(
    run: SearchRun,
    workload: RegNetWorkload,
    ledger: Ledger,
    should_stop: Callable[[], bool],
    scratch: Path,
    signals: Signals,
    until: int,
    trials: tuple[int, ...],
) -> bool:
    """Trials by Tune, to the end of that epoch (0: to their own ends); False where the run was asked to stop."""
    from ray import tune

    from orchestrator.search.schedulers import tune_scheduler
    from orchestrator.search.suggested import Suggested
    from orchestrator.search.watcher import StopWhenDrained, Watcher

    search, meeting = workload.search, run.run.path / "trials"
    assert search is not None
    shutil.rmtree(meeting, ignore_errors=True)
    meeting.mkdir(parents=True)
    watcher = Watcher(ledger, meeting, should_stop, signals, StopRule.of(workload))
    task = TrialTask(
        str(run.job.path), run.token, 0, run.trainer, str(meeting), str(run.run.path), search.retries, until
    ).config()
    at_once = workload.trials_at_once(workers_of_nodes(run.slots))
    cores = workload.resources.cpus_per_worker if Reserved.of(os.environ) is None else 1
    # What is known is given to Tune at once: some schedulers compare a trial with others that have not begun.
    known = task if run.sampler else task | {"index": tune.grid_search(list(trials))}
    tuner = tune.Tuner(
        tune.with_resources(run_trial, trial_resources(workload.trial_share, cores)),
        param_space=known,
        tune_config=tune.TuneConfig(
            metric="score",
            mode="min",
            scheduler=tune_scheduler(
                search.scheduler, workload.train.epochs, {trial.index: trial.curve for trial in ledger.trials}
            ),
            search_alg=Suggested(run.sampler, ledger, at_once, lambda: watcher.draining) if run.sampler else None,
            num_samples=-1 if run.sampler else 1,
            max_concurrent_trials=at_once,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name=f"search-{until}",
            storage_path=str(scratch / "tune"),
            stop=StopWhenDrained(watcher),
            callbacks=[watcher],
            failure_config=tune.FailureConfig(max_failures=most_failures(search.retries)),
            verbose=0,
        ),
    )
    tuner.fit()
    if watcher.closed and not watcher.stopping:
        ledger.close(watcher.closed)
    ledger.tell_progress({}, force=True)
    return not watcher.stopping

"""Population based training, generation after generation: all trials train to its end, then bad ones copy good ones.

A trial's record holds its generations. What is decided at the end of one is a function of errors that are in the
records, so that a driver that dies anywhere leaves enough to decide the same again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from orchestrator.base.errors import Conflict, DataError, Fenced, RemoteUnavailable
from orchestrator.base.text import one_line
from orchestrator.search.exploring import explored, generation_ends, next_best, sources
from orchestrator.search.ledger import Ledger
from orchestrator.search.records import Generation, TrialRecord
from orchestrator.spec.regnet import RegNetWorkload

Adopt = Callable[[TrialRecord, TrialRecord], None]
"""Makes the checkpoint of the second trial a copy of that of the first; doing it again does no harm.

Raises:
    Conflict: the first one's is not its own.
    DataError: the first one's is absent or damaged; the second one's is as it was.
"""
Train = Callable[[int, tuple[int, ...]], bool]
"""Trains trials to the end of that epoch; False where the run was asked to stop before."""


def run_generations(
    workload: RegNetWorkload, ledger: Ledger, train: Train, adopt: Adopt, stopping: Callable[[], bool]
) -> bool:
    """Train all trials to their last epoch.

    Args:
        workload: with a search by population based training.
        ledger: the trials.
        train: trains some of them.
        adopt: copies a checkpoint.
        stopping: whether the run was asked to stop; asked before each copy.

    Returns:
        True where all have ended, False where the run was asked to stop before.
    """
    assert workload.search is not None
    ends = generation_ends(workload.train.epochs, workload.search.scheduler.interval_epochs)
    for number, epoch in enumerate(ends):
        waiting = tuple(t.index for t in ledger.trials if t.state == "pending" and t.epochs < epoch)
        if waiting and not train(epoch, waiting):
            return False
        if ledger.closed:
            return True
        if number < len(ends) - 1 and not select(workload, ledger, number, epoch, adopt, stopping):
            return False
    return True


def select(
    workload: RegNetWorkload, ledger: Ledger, number: int, epoch: int, adopt: Adopt, stopping: Callable[[], bool]
) -> bool:
    """At the end of a generation: bad trials become copies of good ones, with values of their own.

    Nobody goes on before all that follows is written down: a source's checkpoint is still that of this epoch.

    Args:
        workload: with a search by population based training.
        ledger: the trials, none of which runs.
        number: of the generation, from 0.
        epoch: at which it ended.
        adopt: copies a checkpoint.
        stopping: whether the run was asked to stop; asked before each copy.

    Returns:
        False where the run was asked to stop: nothing is written down, and the next run decides the same.
    """
    search, trials = workload.search, ledger.trials
    assert search is not None
    done = {trial.index: trial.lineage[number] for trial in trials if len(trial.lineage) > number}
    if len(done) == len(trials):
        return True
    records = {trial.index: trial for trial in trials}
    errors = {trial.index: done[trial.index].error if trial.index in done else _error(trial) for trial in trials}
    alive = frozenset(i for i, t in records.items() if i in done or (t.state != "failed" and t.epochs >= epoch))
    copies = sources(errors, search.scheduler.copied(len(trials)), workload.seed, number, alive)
    after = []
    for trial in trials:
        if trial.index in done:
            continue
        if stopping():
            return False
        candidates = [records[i] for i in next_best(errors, copies, trial.index, alive)]
        source, note = _adopted(trial, candidates, adopt)
        generation = Generation(epoch, errors[trial.index], source.index, dict(trial.parameters), note)
        ended = replace(trial, lineage=(*trial.lineage, generation))
        if source is not trial:
            values = explored(source.parameters, search.scheduler, workload.seed, number, trial.index)
            ended = _copy(ended, source, values)
        after.append(ended)
    ledger.selected(after)
    return True


def descent(trial: TrialRecord, trials: Sequence[TrialRecord]) -> list[dict[str, Any]]:
    """How a trial came to be, from the first epoch on: which trial trained up to which epoch, with what values.

    Args:
        trial: which one.
        trials: all of them.
    """
    records = {each.index: each for each in trials}
    index, values = trial.index, trial.parameters
    found = [{"trial": index, "to_epoch": trial.epochs, "parameters": dict(values)}]
    for number in reversed(range(len(trial.lineage))):
        source = records[index].lineage[number].source
        generation = records[source].lineage[number]
        if (source, generation.parameters) != (index, values):
            index, values = source, generation.parameters
            found.append({"trial": index, "to_epoch": generation.epoch, "parameters": dict(values)})
    return found[::-1]


def _adopted(trial: TrialRecord, candidates: Iterable[TrialRecord], adopt: Adopt) -> tuple[TrialRecord, str]:
    """The first of the candidates whose state can be copied, else the trial itself; what was wrong with others."""
    faults = []
    for source in candidates:
        try:
            adopt(source, trial)
        except (Fenced, RemoteUnavailable):
            raise
        except (Conflict, DataError) as error:
            faults.append(f"trial {source.index} could not be copied: {one_line(error.message, 200)}")
        else:
            return source, "; ".join(faults)
    return trial, "; ".join(faults)


def _error(trial: TrialRecord) -> float | None:
    return None if trial.state == "failed" else trial.val_error


def _copy(trial: TrialRecord, source: TrialRecord, values: dict[str, float]) -> TrialRecord:
    return replace(
        trial,
        state="pending",
        parameters=values,
        metrics=source.metrics,
        epochs=source.epochs,
        samples=source.samples,
        message="",
        failure_class="",
        failures={},
    )

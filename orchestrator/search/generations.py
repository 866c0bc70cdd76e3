"""Population based training, generation after generation: all trials train to its end, then bad ones copy good ones.

A trial's record holds its generations. What is decided at the end of one is a function of errors that are in the
records, so that a driver that dies anywhere leaves enough to decide the same again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from orchestrator.search.exploring import explored, generation_ends, sources
from orchestrator.search.ledger import Ledger
from orchestrator.search.records import Generation, TrialRecord
from orchestrator.spec.regnet import RegNetWorkload

Adopt = Callable[[TrialRecord, TrialRecord], None]
"""Makes the checkpoint of the second trial a copy of that of the first; doing it again does no harm."""
Train = Callable[[int, tuple[int, ...]], bool]
"""Trains trials to the end of that epoch; False where the run was asked to stop before."""


def run_generations(workload: RegNetWorkload, ledger: Ledger, train: Train, adopt: Adopt) -> bool:
    """Train all trials to their last epoch.

    Args:
        workload: with a search by population based training.
        ledger: the trials.
        train: trains some of them.
        adopt: copies a checkpoint.

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
        if number < len(ends) - 1:
            select(workload, ledger, number, epoch, adopt)
    return True


def select(workload: RegNetWorkload, ledger: Ledger, number: int, epoch: int, adopt: Adopt) -> None:
    """At the end of a generation: bad trials become copies of good ones, with values of their own.

    Nobody goes on before all that follows is written down: a source's checkpoint is still that of this epoch.

    Args:
        workload: with a search by population based training.
        ledger: the trials, none of which runs.
        number: of the generation, from 0.
        epoch: at which it ended.
        adopt: copies a checkpoint.
    """
    search, trials = workload.search, ledger.trials
    assert search is not None
    done = {trial.index: trial.lineage[number] for trial in trials if len(trial.lineage) > number}
    if len(done) == len(trials):
        return
    records = {trial.index: trial for trial in trials}
    errors = {trial.index: done[trial.index].error if trial.index in done else _error(trial) for trial in trials}
    alive = frozenset(i for i, t in records.items() if i in done or (t.state != "failed" and t.epochs >= epoch))
    copies = sources(errors, search.scheduler.copied(len(trials)), workload.seed, number, alive)
    after = []
    for trial in trials:
        if trial.index in done:
            continue
        source = copies.get(trial.index, trial.index)
        ended = replace(
            trial, lineage=(*trial.lineage, Generation(epoch, errors[trial.index], source, dict(trial.parameters)))
        )
        if source != trial.index:
            adopt(records[source], trial)
            values = explored(records[source].parameters, search.scheduler, workload.seed, number, trial.index)
            ended = _copy(ended, records[source], values)
        after.append(ended)
    ledger.selected(after)


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

"""The population as trials: each sampled design with a seed of its own; what a restart finds must be the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from orchestrator.base.errors import Conflict
from orchestrator.blueprint.regnet import RegNetParameters
from orchestrator.blueprint.space import AXES, Population, SampledDesign
from orchestrator.blueprint.workload import parameters_of
from orchestrator.recipes.places import checkpoint_root
from orchestrator.rundir.layout import JobDirectory
from orchestrator.search.exploring import first_values
from orchestrator.search.records import TrialRecord
from orchestrator.spec.optim import Optim
from orchestrator.spec.regnet import RegNetModel, RegNetWorkload
from orchestrator.spec.search import Varied


def trial_seed(seed: int, index: int) -> int:
    """The seed of a trial's training: a function of the workload's seed and the trial's index alone."""
    digest = hashlib.blake2b(f"{seed}:trial:{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def fresh_trials(population: Population, workload: RegNetWorkload, job: JobDirectory) -> tuple[TrialRecord, ...]:
    """A record for each member of the population, none of them started."""
    return tuple(fresh_trial(member, workload, job) for member in population.designs)


def fresh_trial(member: SampledDesign, workload: RegNetWorkload, job: JobDirectory) -> TrialRecord:
    """The record of one model, not started."""
    vary = None if workload.search is None else workload.search.scheduler.vary
    return TrialRecord(
        index=member.index,
        state="pending",
        parameters={name: getattr(member.parameters, name) for name in AXES}
        if vary is None
        else first_values(vary, workload.seed, member.index),
        complexity=asdict(member.complexity),
        seed=trial_seed(workload.seed, member.index),
        checkpoint=_checkpoints(workload, job, member.index),
    )


def trial_checkpoints(workload: RegNetWorkload, job: JobDirectory, index: int) -> Path | str:
    """Folder or URL of a trial's checkpoints."""
    return checkpoint_root(workload.train.checkpoint, job, f"trial-{index}")


def resumed_trials(fresh: tuple[TrialRecord, ...], kept: Mapping[int, TrialRecord]) -> tuple[TrialRecord, ...]:
    """The population with what earlier runs of the job have found; what they did not finish is pending again.

    Args:
        fresh: what is known of the population before the search begins.
        kept: the records, by index; those of suggested trials come after the others.

    Raises:
        Conflict: the records are those of another population.
    """
    known = {trial.index for trial in fresh}
    suggested = [trial for index, trial in sorted(kept.items()) if index not in known]
    return tuple(_resume(trial, kept.get(trial.index)) for trial in (*fresh, *suggested))


def parameters_of_trial(record: TrialRecord, model: RegNetModel) -> RegNetParameters:
    """The model's parameters: the trial's own, and what the workload says of all models (family, stem)."""
    return parameters_of(model.model_copy(update={n: v for n, v in record.parameters.items() if n in AXES}))


def optim_of_trial(record: TrialRecord, optim: Optim) -> Optim:
    """The section `optim` of a trial: the workload's, with the values that are the trial's own."""
    values = {name: value for name, value in record.parameters.items() if name in Varied.model_fields}
    return optim.changed(values) if values else optim


def _checkpoints(workload: RegNetWorkload, job: JobDirectory, index: int) -> str:
    where = trial_checkpoints(workload, job, index)
    if isinstance(where, Path) and where.is_relative_to(job.path):
        where = where.relative_to(job.path)
    return str(where)


def _resume(fresh: TrialRecord, kept: TrialRecord | None) -> TrialRecord:
    if kept is None:
        return fresh
    if kept.identity != fresh.identity:
        raise Conflict(
            f"trial {fresh.index}: its record is that of another model or seed",
            hint="the way populations are sampled has changed since the job began; submit the workload again",
        )
    if kept.over:
        return kept
    return replace(kept, state="pending", message="", failure_class="", failures={})

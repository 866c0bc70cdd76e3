"""What is checked at submit, so that nothing waits for ever: it fits the cluster, its dataset and its model exist."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.backends.protocol import Capacity
from orchestrator.base.errors import DataError, NotFound, UsageError
from orchestrator.base.text import counted
from orchestrator.blueprint.workload import cost_of, parameters_of, population_of, warmup_steps
from orchestrator.lifecycle.reasons import slots
from orchestrator.planning.dataset import DatasetFacts, dataset_facts
from orchestrator.planning.launch import workdir_of
from orchestrator.planning.places import most_workers, no_place, too_large_worker
from orchestrator.planning.teams import misspelt
from orchestrator.spec.data import Weights
from orchestrator.spec.diagnostics import did_you_mean
from orchestrator.spec.profile import ClusterProfile
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.spec.units import as_written
from orchestrator.spec.workload import Workload


def check_submission(
    workload: Workload, profile: ClusterProfile, capacity: Capacity, *, workdir: Path, state_dir: Path
) -> list[str]:
    """Refuse what can never run on this cluster, or not yet; return warnings about what may surprise.

    Raises:
        UsageError: every reason at once.
    """
    findings = examine(workload, profile, capacity, workdir=workdir, state_dir=state_dir)
    _refuse(workload, [*findings.problems, *findings.unbuilt])
    return findings.warnings


def check_room(workload: Workload, profile: ClusterProfile, capacity: Capacity) -> None:
    """Refuse what can never run for want of room, in the words of `check_submission`.

    Raises:
        UsageError: every reason at once.
    """
    _refuse(workload, [*_too_large(workload, profile, capacity), *_wrong_team(workload, profile, capacity)])


def check_plan(
    workload: Workload, profile: ClusterProfile, capacity: Capacity, *, workdir: Path, state_dir: Path
) -> tuple[list[str], DatasetFacts | None]:
    """As `check_submission`, but a dataset that has still to be built is only a warning.

    Returns:
        The warnings, and what is known of the dataset: a remote one is asked once.

    Raises:
        UsageError: every reason at once.
    """
    findings = examine(workload, profile, capacity, workdir=workdir, state_dir=state_dir)
    _refuse(workload, findings.problems)
    return [*findings.unbuilt, *findings.warnings], findings.facts


@dataclass(frozen=True)
class Findings:
    """What is to be said of a workload before it runs: what can never work, what has to be built first, surprises."""

    problems: list[str]
    unbuilt: list[str]
    warnings: list[str]
    facts: DatasetFacts | None = None


def examine(
    workload: Workload, profile: ClusterProfile, capacity: Capacity, *, workdir: Path, state_dir: Path
) -> Findings:
    """Everything that is known of a workload's chances on this cluster."""
    problems = [
        *_too_large(workload, profile, capacity),
        *_wrong_team(workload, profile, capacity),
        *_bad_place(workload, workdir),
    ]
    unbuilt: list[str] = []
    warnings: list[str] = []
    facts: DatasetFacts | None = None
    if isinstance(workload, RegNetWorkload):
        try:
            facts = dataset_facts(workload.data.dataset, workdir=workdir, state_dir=state_dir)
            # Without a list of classes nobody knows the size of the models before the dataset is built.
            (unbuilt if facts.classes else problems).extend(_not_built(facts))
            problems += _bad_dataset(workload, facts)
            if not problems:
                _check_models(workload, facts)
                warnings += _without_effect(workload, facts)
        except (NotFound, UsageError, DataError) as error:
            problems.append(str(error))
    return Findings(problems, unbuilt, [*warnings, *_surprises(workload, capacity)], facts)


def _refuse(workload: Workload, problems: list[str]) -> None:
    if problems:
        raise UsageError("\n".join(f"{workload.name}: {problem}" for problem in problems))


def _too_large(workload: Workload, profile: ClusterProfile, capacity: Capacity) -> Iterator[str]:
    resources = workload.resources
    if not capacity.largest_gang and capacity.faults:
        yield capacity.faults[0]
        return
    if resources.gpus_per_worker and capacity.slot_kind != "gpu":
        yield f"resources.gpus_per_worker is {resources.gpus_per_worker}, and cluster {profile.name} has no GPU"
        return
    each = slots_per_worker(workload, capacity)
    wanted = resources.workers.min * each
    alone = too_large_worker(workload, profile.name, capacity, each) if capacity.cores_apart else ""
    if alone:
        yield alone
    elif wanted > capacity.largest_gang:
        yield (
            f"resources.workers needs at least {wanted} {capacity.slot_kind} slots; "
            f"cluster {profile.name} has {capacity.largest_gang}"
        )
    if not alone:
        yield from no_place(workload, profile.name, capacity, each)
    limit = profile.limits.max_workers
    if limit is not None and resources.workers.min > limit:
        yield f"resources.workers is at least {resources.workers.min}; cluster {profile.name} allows {limit} a job"
    longest = profile.limits.max_time
    if longest is not None and workload.time_limit is not None and workload.time_limit > longest:
        yield f"time_limit is {as_written(workload.time_limit)}; cluster {profile.name} allows {as_written(longest)}"


def _wrong_team(workload: Workload, profile: ClusterProfile, capacity: Capacity) -> Iterator[str]:
    """Where the profile names teams, others are none; what a team may never hold would wait for ever."""
    known = [team.name for team in profile.teams]
    if known and workload.team not in known:
        yield f"team: cluster {profile.name} has no team {workload.team!r}; {did_you_mean(workload.team, known)}"
    elif not known and (meant := misspelt(workload.team, profile.slurm.accounts)):
        yield (
            f"team: slurm.accounts of cluster {profile.name} has no team {workload.team!r}; did you mean {meant!r}? "
            "(a team of that name needs an entry there)"
        )
    wanted = workload.resources.workers.min * slots_per_worker(workload, capacity)
    for team in profile.chain_of(workload.team):
        if team.limit is not None and wanted > team.limit:
            yield (
                f"resources.workers needs at least {slots(wanted, capacity.slot_kind)}; "
                f"team {team.name} may hold {team.limit} on cluster {profile.name}"
            )


def slots_per_worker(workload: Workload, capacity: Capacity) -> int:
    """Slots that one worker takes: its GPUs, or its CPU cores where slots are cores.

    Where slots are GPUs, a worker without one takes none of an engine that gives out cores apart, else one.
    """
    resources = workload.resources
    if capacity.slot_kind == "gpu":
        return max(0 if capacity.cores_apart else 1, resources.gpus_per_worker)
    return max(1, resources.cpus_per_worker)


def cores_per_worker(workload: Workload, capacity: Capacity) -> int:
    """Cores that one worker takes beside its slots; 0 where slots are cores."""
    return workload.resources.cpus_per_worker if capacity.slot_kind == "gpu" else 0


def _bad_place(workload: Workload, workdir: Path) -> Iterator[str]:
    folder = workdir_of(workload, str(workdir))
    if not Path(folder).is_dir():
        yield f"the working directory {folder} does not exist"


def _not_built(facts: DatasetFacts) -> Iterator[str]:
    if _needs_source(facts):
        yield f"data.dataset: {facts.named.not_built()}"


def _needs_source(facts: DatasetFacts) -> bool:
    return not facts.built and not facts.named.buildable


def _bad_dataset(workload: RegNetWorkload, facts: DatasetFacts) -> Iterator[str]:
    if facts.classes < 2 and (facts.classes or not _needs_source(facts)):
        yield f"data.dataset: {facts.name} has {facts.classes} classes; a classifier needs two or more"
    samples = facts.rows.get("train")
    if samples is not None and samples < 2:
        yield f"data.dataset: {facts.name} has {samples} training samples"
    if workload.data.decode == "gpu" and not workload.resources.gpus_per_worker:
        yield "data.decode is gpu, and resources.gpus_per_worker is 0"
    yield from _missing_columns(workload, facts)
    yield from _unknown_pixels(workload, facts)
    if facts.rows and "validation" not in facts.rows:
        if workload.search is not None:
            yield f"data.dataset: a search chooses on the validation split, and {facts.name} has none"
        elif workload.train.checkpoint.keep.best is not None:
            yield f"train.checkpoint.keep.best is measured on the validation split, and {facts.name} has none"


def _missing_columns(workload: RegNetWorkload, facts: DatasetFacts) -> Iterator[str]:
    wanted: dict[str, tuple[str, ...]] = {"image": ("image",), "label": ("label",)}
    if isinstance(workload.data.resample, Weights):
        wanted[workload.data.resample.weights] = ("float64", "int64")
    for name, kinds in wanted.items():
        if facts.columns.get(name) not in kinds:
            has = ", ".join(f"{column} ({kind})" for column, kind in facts.columns.items())
            yield f"data: {facts.name} has no column {name!r} of type {' or '.join(kinds)}; it has {has}"


def _unknown_pixels(workload: RegNetWorkload, facts: DatasetFacts) -> Iterator[str]:
    """Images are normalised by the mean and std that the workload states, else by the dataset's."""
    stated = workload.data.mean
    if stated is None and not facts.means:
        first = "" if facts.built else "build it; then "
        yield (
            f"data.mean and data.std are missing, and {facts.name} states none: {first}"
            f"`orchestrator data stats {workload.data.dataset}` measures them"
        )
    elif (count := len(stated or ()) or facts.means) != facts.channels:
        yield f"data.mean: mean and std of {count} channels, and the images of {facts.name} have {facts.channels}"


def _check_models(workload: RegNetWorkload, facts: DatasetFacts) -> None:
    if workload.search is None:
        parameters_of(workload.model).design()
    else:
        population_of(workload, in_channels=facts.channels, num_classes=facts.classes)


def _surprises(workload: Workload, capacity: Capacity) -> Iterator[str]:
    asked, usable = workload.resources.workers.max, workload.workers.max
    room = most_workers(workload, capacity, slots_per_worker(workload, capacity))
    if asked > usable:
        slices = f"{counted(usable, 'virtual worker')} (train.samples_per_virtual_worker)"
        yield f"resources.workers asks for up to {asked}; with {slices} at most {usable} are used"
    if usable > room:
        yield f"resources.workers asks for up to {usable}; the cluster has room for {room}"


def _without_effect(workload: RegNetWorkload, facts: DatasetFacts) -> Iterator[str]:
    yield from _of_a_schedule(workload, facts)
    yield from _odd_sizes(workload, facts)
    train, elastic = workload.train, workload.elastic
    if workload.search is not None and elastic.audit:
        yield "elastic.audit has no effect on the trials of a search"
    if train.parallel == "fsdp" and workload.workers.max == 1:
        yield "train.parallel: fsdp shards nothing with one worker; see resources.workers"
    if train.precision == "fp16" and not workload.resources.gpus_per_worker:
        yield "train.precision: fp16 is slow without a GPU; bf16 or fp32 is not"


def _odd_sizes(workload: RegNetWorkload, facts: DatasetFacts) -> Iterator[str]:
    train, samples = workload.train, facts.rows.get("train")
    batch, asked, used = train.batch_size, train.samples_per_virtual_worker, train.slice_samples
    if asked is not None and asked > batch:
        yield f"train.samples_per_virtual_worker is {asked:,}, more than the batch: its {batch:,} samples are one slice"
    if rest := batch % used:
        yield f"train.samples_per_virtual_worker: slices of {used:,} leave {rest:,} of {batch:,} for the last one"
    if samples is not None and batch > samples:
        yield f"train.batch_size is {batch:,}, and {facts.name} has {samples:,} training samples: a step takes them all"


def _of_a_schedule(workload: RegNetWorkload, facts: DatasetFacts) -> Iterator[str]:
    optim, samples = workload.optim, facts.rows.get("train")
    if optim.nesterov and optim.momentum == 0:
        yield "optim.nesterov has no effect without optim.momentum"
    late = [step for step in optim.steps if step >= workload.train.epochs]
    if late:
        steps_late = ", ".join(f"{step:g}" for step in late)
        yield f"optim.steps [{steps_late}] lie beyond the {workload.train.epochs} epochs of train.epochs"
    if samples is None:
        return
    steps, warmup = cost_of(workload, samples).steps, warmup_steps(workload, samples)
    if warmup >= steps:
        yield f"the warm-up of optim is {warmup} of {steps} steps: optim.lr is never reached"

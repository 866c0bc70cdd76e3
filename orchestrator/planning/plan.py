"""`make_plan`: everything that is known of a workload before anything starts."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from pathlib import Path

from orchestrator.backends.protocol import Backend, Capacity
from orchestrator.base.paths import state_dir
from orchestrator.base.text import span
from orchestrator.blueprint.complexity import Complexity, complexity
from orchestrator.blueprint.regnet import AnyNetDesign, RegNetParameters
from orchestrator.blueprint.space import Population
from orchestrator.blueprint.workload import cost_of, known_population, learning_rate_of, parameters_of, warmup_steps
from orchestrator.planning.check import check_plan, cores_per_worker, slots_per_worker
from orchestrator.planning.dataset import DatasetFacts
from orchestrator.planning.devices import device_of
from orchestrator.planning.document import (
    DatasetPlan,
    LaunchPlanView,
    LearningRatePlan,
    Member,
    PlanDocument,
    PopulationPlan,
    Spread,
    TrainingPlan,
)
from orchestrator.planning.elastic import elastic_plan
from orchestrator.planning.estimate import NO_HISTORY, History, estimate_of, seconds_of_widths
from orchestrator.planning.estimate_plan import estimate_plan, estimate_view, estimate_warnings
from orchestrator.planning.launch import is_search, is_training, kind_of
from orchestrator.planning.memory import memory_of_worker
from orchestrator.planning.optimizer import optimizer_plan
from orchestrator.planning.queueing import Ask, capacity_or_all
from orchestrator.planning.searching import search_plan
from orchestrator.planning.whatif import NEW
from orchestrator.rundir.layout import JobDirectory
from orchestrator.spec.answers import EstimateView
from orchestrator.spec.profile import ClusterProfile
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.spec.submitter import submitter_environment
from orchestrator.spec.workload import Workload


def make_plan(
    workload: Workload,
    profile: ClusterProfile,
    backend: Backend,
    *,
    workdir: Path,
    history: History = NO_HISTORY,
    owner: str = "",
    content: str = "",
    widths: Sequence[int] = (),
) -> PlanDocument:
    """What would be sampled, computed and launched. Starts nothing, writes nothing.

    Args:
        workload: the resolved workload.
        profile: the cluster that it would run on.
        backend: the cluster's engine, for its dry run.
        workdir: where the user stands.
        history: of earlier runs, which estimates are made from.
        owner: who would submit it.
        content: digest of what would be submitted.
        widths: numbers of workers; also how long it would take if it asked for exactly so many is told.

    Raises:
        UsageError: what can never run here, in the words of `submit`.
    """
    state = state_dir()
    capacity, unknown = capacity_or_all(backend, workload)
    warnings, facts = check_plan(workload, profile, capacity, workdir=workdir, state_dir=state)
    device = device_of(workload, profile, capacity) if facts else ""
    expected = estimate_of(workload, facts, history, device, owner=owner, content=content)
    asked = seconds_of_widths(workload, facts, history, device, widths)
    known = None if expected is None else estimate_view(expected, asked)
    each = slots_per_worker(workload, capacity)
    guessed = expected is not None and not (backend.queues and is_search(workload))  # as `submit` does
    cores = cores_per_worker(workload, capacity)
    memory = memory_of_worker(expected, expected.device, capacity, each, cores) if expected and guessed else 0
    document = PlanDocument(
        name=workload.name,
        kind=kind_of(workload),
        profile=profile.name,
        launch=_launch(backend, asked_of_engine(workload, profile, workdir, known, memory), capacity),
        estimate=None if expected is None else estimate_plan(workload, expected, capacity, asked),
        warnings=[
            *_unchecked(backend, unknown),
            *warnings,
            *(estimate_warnings(workload, expected, capacity) if expected else ()),
        ],
    )
    if not isinstance(workload, RegNetWorkload) or facts is None:
        return document
    return _with_recipe(document, workload, facts)


def _with_recipe(document: PlanDocument, workload: RegNetWorkload, facts: DatasetFacts) -> PlanDocument:
    """What is known of a recipe beside its launch."""
    models, population = _models(workload, facts)
    return document.model_copy(
        update={
            "dataset": _dataset(facts),
            "model": None if population else models[0],
            "population": population,
            "search": None if population is None else search_plan(workload, population.size),
            "training": _training(workload, facts, models),
            "elastic": elastic_plan(workload) if is_training(workload) else None,
            "optimizer": optimizer_plan(workload.optim),
            "learning_rate": _learning_rate(workload, facts),
        }
    )


def asked_of_engine(
    workload: Workload, profile: ClusterProfile, workdir: Path, estimate: EstimateView | None, memory: int
) -> Ask:
    """What would be asked of the cluster's engine, from this shell; with so much memory, where nobody states it."""
    root = Path(profile.runs_dir) if profile.runs_dir else state_dir() / "runs"
    directory = JobDirectory.under(root, NEW).run(f"{NEW}-r1")
    return Ask(workload, profile, str(workdir), directory, submitter_environment(os.environ), estimate, memory)


def _unchecked(backend: Backend, unknown: str) -> list[str]:
    if not unknown:
        return []
    return [f"{backend.name.capitalize()} does not answer: whether it has room for this was not checked"]


def _launch(backend: Backend, ask: Ask, capacity: Capacity) -> LaunchPlanView:
    asked = ask.workload.workers
    workers = None if backend.queues else min(asked.max, max(capacity.largest_gang, 1))
    request = ask.request(workers)
    plan = backend.plan(request)
    return LaunchPlanView(
        backend=backend.name,
        argv=list(plan.argv),
        env=dict(plan.env),
        rank_argv=list(request.launch.argv),
        rank_env=dict(request.launch.env),
        workers=span(asked.min, asked.max),
        slots=plan.slots,
        cpus=plan.cpus,
        script=plan.script,
        shape=plan.shape,
        limit=plan.limit,
        limit_why=plan.limit_why,
        notes=list(plan.notes),
        memory=request.terms.needs.memory if request.terms else 0,
    )


def _dataset(facts: DatasetFacts) -> DatasetPlan:
    return DatasetPlan(
        name=facts.name,
        rows=facts.rows,
        classes=facts.classes,
        built=facts.built,
        location=str(facts.named.location),
        version=facts.version,
    )


def _models(workload: RegNetWorkload, facts: DatasetFacts) -> tuple[list[Member], PopulationPlan | None]:
    if workload.search is not None:
        population = known_population(workload, in_channels=facts.channels, num_classes=facts.classes)
        members = [_member(d.index, d.parameters, d.design, d.complexity) for d in population.designs]
        return members, _population(population, members)
    parameters = parameters_of(workload.model)
    design = parameters.design()
    cost = complexity(
        design, image_size=workload.data.image_size, in_channels=facts.channels, num_classes=facts.classes
    )
    return [_member(0, parameters, design, cost)], None


def _member(index: int, parameters: RegNetParameters, design: AnyNetDesign, cost: Complexity) -> Member:
    return Member(
        index=index,
        parameters={name: getattr(parameters, name) for name in ("depth", "w0", "wa", "wm", "group_width")},
        widths=list(design.widths),
        depths=list(design.depths),
        flops=cost.flops,
        params=cost.params,
        activations=cost.activations,
    )


def _population(population: Population, members: list[Member]) -> PopulationPlan:
    def spread(values: list[int]) -> Spread:
        return Spread(min=min(values), median=statistics.median(values), max=max(values))

    return PopulationPlan(
        size=len(members),
        draws=population.draws,
        rejected=dict(population.rejected_by),
        flops=spread([m.flops for m in members]),
        params=spread([m.params for m in members]),
        activations=spread([m.activations for m in members]),
        members=members,
    )


def _training(workload: RegNetWorkload, facts: DatasetFacts, models: list[Member]) -> TrainingPlan:
    train = workload.train
    rows = facts.rows.get("train")
    cost = None if rows is None else cost_of(workload, rows)
    # Models that are not known yet are taken to be like those that are.
    all_to_known = 1 if workload.search is None else workload.search.trials / len(models)
    known = None if cost is None else sum(cost.total_flops(Complexity(flops=m.flops)) for m in models)
    return TrainingPlan(
        samples=None if cost is None else cost.batches.samples,
        epochs=train.epochs,
        batch_size=train.batch_size,
        virtual_workers=train.virtual_workers,
        samples_per_virtual_worker=train.slice_samples,
        steps_per_epoch=None if cost is None else cost.steps_per_epoch,
        steps=None if cost is None else min(cost.steps, train.max_steps or cost.steps),
        resample=workload.data.resampled_by,
        last_batch=workload.data.last_batch,
        left_out="" if cost is None else cost.batches.note,
        total_flops=None if known is None else float(known * all_to_known),
    )


def _learning_rate(workload: RegNetWorkload, facts: DatasetFacts) -> LearningRatePlan:
    optim = workload.optim
    samples = facts.rows.get("train")
    points: list[dict[str, int | float]] = []
    warmup = optim.warmup_iterations
    if samples is not None:
        warmup = warmup_steps(workload, samples)
        rate, cost = learning_rate_of(workload, samples), cost_of(workload, samples)
        steps, batches = cost.steps, cost.batches
        for step in sorted({0, min(warmup, steps - 1), steps // 2, steps - 1}):
            epoch, place = divmod(step, batches.steps)
            seen = epoch * batches.samples + batches.start(place)
            points.append({"step": step, "samples": seen, "lr": rate.at(seen)})
    return LearningRatePlan(peak=optim.lr, schedule=optim.schedule, warmup_iterations=warmup, at=points)

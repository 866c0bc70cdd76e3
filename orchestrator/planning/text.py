"""The plan as a person reads it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from orchestrator.base.text import counted, human, takes_text
from orchestrator.lifecycle.reasons import duration
from orchestrator.planning.document import (
    DatasetPlan,
    LaunchPlanView,
    Member,
    PlanDocument,
    PopulationPlan,
    Spread,
    TrainingPlan,
)
from orchestrator.planning.elastic import elastic_lines
from orchestrator.planning.estimate_plan import estimate_lines
from orchestrator.planning.optimizer import optimizer_line
from orchestrator.planning.searching import search_lines


def render(plan: PlanDocument) -> str:
    """One paragraph for each part of the plan."""
    return "\n".join(_lines(plan))


def _lines(plan: PlanDocument) -> Iterator[str]:
    yield f"{plan.name} ({plan.kind}) on cluster {plan.profile}"
    if plan.dataset:
        yield from _dataset(plan.dataset)
    if plan.model:
        yield f"  model      {_member(plan.model)}"
    if plan.population:
        yield from _population(plan.population)
    if plan.search:
        yield from search_lines(plan.search)
    if plan.training:
        yield from _training(plan.training)
    if plan.elastic:
        yield from elastic_lines(plan.elastic)
    if plan.optimizer:
        yield f"  optimizer  {optimizer_line(plan.optimizer)}"
    if plan.learning_rate:
        rate = plan.learning_rate
        points = "  ".join(f"step {p['step']:,.0f}: {p['lr']:.4g}" for p in rate.at)
        yield f"  lr         {rate.schedule}, peak {rate.peak:g}, {rate.warmup_iterations:,} iterations of warm-up"
        yield f"             {points}"
    if plan.estimate:
        yield from estimate_lines(plan.estimate)
    takes = takes_text(plan.launch.slots, plan.launch.cpus)
    yield f"  workers    {plan.launch.workers} ({takes}; engine {plan.launch.backend})"
    yield from _on_engine(plan.launch)
    yield f"  command    {shlex.join(plan.launch.argv)}"
    yield f"  each rank  {shlex.join(plan.launch.rank_argv)}"
    if plan.launch.script is not None:
        yield "  script"
        yield from (f"    {line}".rstrip() for line in plan.launch.script.splitlines())
    for warning in plan.warnings:
        yield f"  warning    {warning}"


def _on_engine(launch: LaunchPlanView) -> Iterator[str]:
    """What an engine with a queue of its own is asked for."""
    if launch.shape:
        ends = "" if launch.limit is None else f"; {launch.backend.capitalize()} ends it after {duration(launch.limit)}"
        yield f"  shape      {launch.shape}{ends}"
    if launch.limit_why:
        yield f"             {launch.limit_why}"
    for entry in launch.notes:
        yield f"  assumed    {entry}"


def _dataset(dataset: DatasetPlan) -> Iterator[str]:
    rows = ", ".join(f"{split} {count:,}" for split, count in dataset.rows.items()) or "not counted yet"
    yield f"  dataset    {dataset.name}: {rows}; {dataset.classes} classes"
    state = f"version {dataset.version[:12]}" if dataset.built else "not built yet"
    yield f"             {state}: {dataset.location}"


def _population(population: PopulationPlan) -> Iterator[str]:
    if not population.draws:
        yield f"  population {population.size} trials of one model: {_member(population.members[0])}"
        return
    rejected = ", ".join(f"{reason} {count:,}" for reason, count in population.rejected.items() if count) or "none"
    yield f"  population {population.size} models from {population.draws:,} draws (dropped: {rejected})"
    for name in ("flops", "params", "activations"):
        spread: Spread = getattr(population, name)
        low, middle, high = human(spread.min), human(spread.median), human(spread.max)
        yield f"             {name:<12} min {low:>8}   median {middle:>8}   max {high:>8}"
    for member in population.members[:3]:
        yield f"             #{member.index}: {_member(member)}"
    if population.size > 3:
        yield f"             … and {population.size - 3} more (--json lists them all)"


def _member(member: Member) -> str:
    stages = " ".join(f"{depth}x{width}" for depth, width in zip(member.depths, member.widths, strict=True))
    return (
        f"{stages}  {human(member.flops)} flops  {human(member.params)} params  {human(member.activations)} activations"
    )


def _training(training: TrainingPlan) -> Iterator[str]:
    slices = f"{counted(training.virtual_workers, 'virtual worker')} of {training.samples_per_virtual_worker:,}"
    if training.steps is None:
        yield f"  training   {training.epochs:,} epochs, batch {training.batch_size:,} = {slices}"
        return
    yield (
        f"  training   {training.epochs:,} epochs x {training.steps_per_epoch:,} steps = {training.steps:,} steps, "
        f"batch {training.batch_size:,} = {slices}"
    )
    if training.resample:
        yield f"             samples are drawn anew in each epoch: {training.resample}"
    if training.left_out:
        yield f"             {training.left_out} (data.last_batch: {training.last_batch})"
    if training.total_flops is not None:
        yield f"             {human(training.total_flops)} flops in all, forward and backward"

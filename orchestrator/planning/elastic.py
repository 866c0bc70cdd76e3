"""How a training's work is shared among its workers, and what it promises: the part of the plan, and its text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby

from orchestrator.base.text import counted, span
from orchestrator.lifecycle.reasons import duration
from orchestrator.planning.document import CheckpointPlan, ElasticPlan
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.spec.training import Checkpointing, Train

MOST_WORLDS = 64
"""World sizes of which the passes are told."""


def elastic_plan(workload: RegNetWorkload) -> ElasticPlan:
    """Of a workload that trains one model."""
    train, promise = workload.train, workload.elastic
    low, high = workload.workers.min, workload.workers.max
    return ElasticPlan(
        engine=promise.engine,
        workers=span(low, high),
        passes={
            world: -(-train.virtual_workers // world) for world in range(low, min(high, low + MOST_WORLDS - 1) + 1)
        },
        exact=promise.exact,
        parallel=train.parallel,
        precision=train.precision,
        settings=list(_settings(train)),
        lost_after=promise.lost_after,
        hang_after=promise.hang_after,
        replacements=promise.replacements,
        audit=promise.audit,
        checkpoint=checkpoint_plan(train.checkpoint),
    )


def checkpoint_plan(section: Checkpointing) -> CheckpointPlan:
    """The rules of the section `train.checkpoint`."""
    return CheckpointPlan(
        every_epochs=section.every_epochs,
        every_seconds=section.every,
        keep_last=section.keep.last,
        keep_best=section.keep.best,
        keep_every_epochs=section.keep.every,
        to=section.to or "",
    )


def _settings(train: Train) -> Iterator[str]:
    if train.activation_checkpointing:
        yield "activation checkpointing"
    if train.compile:
        yield "torch.compile"
    if train.channels_last:
        yield "channels last"
    if train.accumulate > 1:
        yield f"each slice in {train.accumulate} parts"
    if train.clip_norm is not None:
        yield f"gradients clipped to {train.clip_norm:g}"
    if train.ema is not None:
        yield f"EMA of {train.ema.decay:g} every {counted(train.ema.every_steps, 'step')}"
    if train.non_finite != "fail":
        yield f"steps that are not finite: {train.non_finite}"


def elastic_lines(plan: ElasticPlan) -> Iterator[str]:
    """The plan's lines."""
    layout = {"ddp": "replicated (ddp)", "fsdp": "sharded (fsdp)"}.get(plan.parallel, plan.parallel)
    yield f"  layout     {', '.join([layout, plan.precision, *plan.settings])}"
    yield f"  step       {_passes(plan.passes)}"
    promise = "the same bits for any number of workers" if plan.exact else "not exact: the last bits depend on workers"
    yield f"  elastic    {promise}{'; every step is audited' if plan.audit else ''}"
    yield from (f"             {line}" for line in _when_lost(plan))
    yield from _checkpoints(plan.checkpoint)


def _when_lost(plan: ElasticPlan) -> Iterator[str]:
    """What a lost worker costs, and what a change of their number."""
    if plan.engine == "builtin":
        yield (
            f"a silent worker is lost after {duration(plan.lost_after)}, a hanging one after "
            f"{duration(plan.hang_after)}; {counted(plan.replacements, 'replacement')} in all"
        )
        return
    yield (
        f"by Ray Train: where a worker is lost (a hanging one after {duration(plan.hang_after)}), all start anew "
        f"from the newest checkpoint, {counted(plan.replacements, 'time')} in all"
    )
    yield "it keeps the workers that it was started with: it cannot be resized"


def _passes(passes: Mapping[int, int]) -> str:
    """`4 passes on 1 worker, 2 passes on 2..3 workers, 1 pass on 4 workers`."""
    parts = []
    for count, group in groupby(passes.items(), key=lambda item: item[1]):
        worlds = [world for world, _ in group]
        shown = str(worlds[0]) if len(worlds) == 1 else f"{worlds[0]}..{worlds[-1]}"
        parts.append(f"{count} pass{'' if count == 1 else 'es'} on {counted(shown, 'worker')}")
    return ", ".join(parts)


def _checkpoints(plan: CheckpointPlan) -> Iterator[str]:
    when = "every epoch" if plan.every_epochs == 1 else f"every {plan.every_epochs} epochs"
    when += "" if plan.every_seconds is None else f" and every {duration(plan.every_seconds)}"
    kept = ["the newest" if plan.keep_last == 1 else f"the newest {plan.keep_last}"]
    kept += [f"that of the best {plan.keep_best}"] if plan.keep_best else []
    kept += [f"those of every {plan.keep_every_epochs} epochs"] if plan.keep_every_epochs else []
    yield f"  checkpoint {when}; keeps {', '.join(kept)}{f'; in {plan.to}' if plan.to else ''}"

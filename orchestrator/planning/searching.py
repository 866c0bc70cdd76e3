"""How a search goes about its population: the part of the plan, and its text."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.base.text import counted, span
from orchestrator.planning.document import SearchPlan
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.spec.search import StopRules, TrialScheduler, Varied

_SAMPLERS = {"random": "plain sampling", "tpe": "TPE (Optuna)"}


def search_plan(workload: RegNetWorkload, known: int) -> SearchPlan:
    """Of a workload with a search.

    Args:
        workload: the workload.
        known: trials whose models are known before it begins.
    """
    search, share = workload.search, workload.trial_share
    assert search is not None
    spread, together = [1] * workload.workers.min, [workload.workers.max]  # over nodes, which are not known yet
    low, high = (min(workload.trials_at_once(nodes), search.trials) for nodes in (spread, together))
    return SearchPlan(
        sampler=search.sampler,
        trials=search.trials,
        known=known,
        at_once=span(low, high),
        cpus=share.cpus,
        gpus=share.gpus,
        ends=list(_ends(search.stop)),
        notes=list(_notes(workload, high)),
    )


def search_lines(plan: SearchPlan) -> Iterator[str]:
    """The part as text."""
    gpus = f" and {plan.gpus:g} GPU" if plan.gpus else ""
    at_once = "1 trial" if plan.at_once == "1" else f"{plan.at_once} trials"
    yield f"  search     {_SAMPLERS[plan.sampler]}; {at_once} at once, each with {counted(plan.cpus, 'core')}{gpus}"
    if plan.known < plan.trials:
        yield f"             {plan.trials - plan.known} further models as they are suggested, {plan.trials} in all"
    yield from (f"             ends early {rule}" for rule in plan.ends)
    yield from (f"             {note}" for note in plan.notes)


def _ends(stop: StopRules) -> Iterator[str]:
    for hours, name in ((stop.gpu_hours, "GPU hours"), (stop.core_hours, "core hours")):
        if hours is not None:
            yield f"once its trials have used {hours:g} {name}"
    if (settled := stop.edf_settled) is not None:
        latest = f"{settled.last / settled.distance:,.0f}"
        moved = f"once the last {settled.last} models move the EDF by {settled.distance:g} or less"
        yield f"{moved} (KS distance), after {latest} models at the latest"


def _notes(workload: RegNetWorkload, at_once: int) -> Iterator[str]:
    search, has, share = workload.search, workload.resources, workload.trial_share
    assert search is not None
    if search.sampler == "tpe":
        yield (
            "the same seed suggests the same models, for one trial runs at a time"
            if at_once == 1 and not search.scheduler.ends_trials_early
            else "what is suggested depends on which trials end first: "
            "the same seed gives the same result with concurrency: 1 and scheduler: none only"
        )
    if search.scheduler.vary is not None:
        yield from _generations(workload, search.scheduler, search.scheduler.vary)
    cores, gpus = has.cpus_per_worker // share.cpus, share.at_once(10**6, has.gpus_per_worker)
    if share.gpus and cores < gpus:
        yield f"a worker has room for {counted(gpus, 'trial')} by its GPUs, {cores} by its cores (search.trial.cpus)"


def _generations(workload: RegNetWorkload, scheduler: TrialScheduler, vary: Varied) -> Iterator[str]:
    """Of population based training."""
    search = workload.search
    assert search is not None
    every, epochs = scheduler.interval_epochs, workload.train.epochs
    worst = counted(scheduler.copied(search.trials), "trial")
    yield (
        f"population based training: {counted(-(-epochs // every), 'generation')} of {counted(every, 'epoch')}; "
        f"after each the worst {worst} of {search.trials} go on as copies of as many of the best"
    )
    differ = " and ".join(f"{name} ({low:g}..{high:g})" for name, (low, high) in vary.ranges.items())
    yield f"all trials train the model of the section model; they differ in {differ}"

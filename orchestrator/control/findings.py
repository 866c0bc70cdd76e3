"""What a search has found so far: how many trials have ended and how, the best, the EDF, and the Pareto fronts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from orchestrator.blueprint.edf import Edf
from orchestrator.blueprint.outcome import ERROR, choose_best, edf_caveat, fronts, measured
from orchestrator.spec.messages import Below, EdfView, SearchView, TrialView
from orchestrator.spec.workload import CommandWorkload, Workload

_ENDED = ("succeeded", "stopped", "failed")


def search_view(workload: Workload, trials: Sequence[TrialView]) -> SearchView | None:
    """What these trials of a workload tell; None where it is no search."""
    if isinstance(workload, CommandWorkload) or (search := workload.search) is None:
        return None
    states = Counter(trial.state for trial in trials)
    total, best = max(search.trials, len(trials)), choose_best(trials)
    return SearchView(
        total=total,
        states=dict(sorted(states.items())),
        missing=total - sum(states[state] for state in _ENDED),
        equal_budgets=not search.scheduler.ends_trials_early,
        caveat=edf_caveat(workload),
        best=None if best is None else best.index,
        edf=edf_view([trial.metrics[ERROR] for trial in measured(trials)]),
        fronts={}
        if search.scheduler.type == "pbt"  # all train one model
        else {cost: [trial.index for trial in on_it] for cost, on_it in fronts(trials).items()},
    )


def edf_view(errors: Sequence[float]) -> EdfView | None:
    """The EDF of these errors in numbers; None where there are none."""
    if not errors:
        return None
    edf = Edf.of(errors)
    below = [Below(error=at, models=edf.below(at), fraction=edf(at)) for at in edf.thresholds()]
    return EdfView(models=len(errors), **edf.numbers(), below=below)

"""What a search has found: how far it is, the best trial, the EDF of the errors, and the Pareto fronts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.base.text import counted, human, one_line
from orchestrator.blueprint.outcome import ERROR, measured
from orchestrator.cli.edfdrawing import characters, draw_edf
from orchestrator.cli.human import figure
from orchestrator.cli.output import note_lines, state, table
from orchestrator.cli.resultcsv import keys
from orchestrator.cli.trialtable import best_trials, value_text
from orchestrator.spec.messages import EdfView, ResultsView, SearchView, TrialView

AGAINST = ("flops", "activations")
"""The costs whose fronts are shown where nothing else is asked for."""
_STATES = {"stopped": "ended early", "failed": "failed", "running": "running"}
_SHOWN = 20
"""Trials of a front."""


def search_text(results: ResultsView, search: SearchView, against: Sequence[str]) -> list[str]:
    """Parts of the answer of `orchestrator results`, of a search.

    Args:
        results: what is known.
        search: what its trials tell.
        against: costs whose Pareto fronts are shown.
    """
    by_index = {trial.index: trial for trial in results.trials}
    head = [f"trials       {_states(search, terminal=results.job.terminal)}"]
    if (best := by_index.get(-1 if search.best is None else search.best)) is not None:
        head += _best(best, results.summary)
    head += note_lines(remarks(search, terminal=results.job.terminal))
    parts = [part for part in ("\n".join(head), best_trials(results.trials)) if part]
    if search.edf is not None:
        parts.append(_edf(search.edf, [trial.metrics[ERROR] for trial in measured(results.trials)]))
    for cost in against:
        if on_it := [by_index[index] for index in search.fronts.get(cost, ()) if index in by_index]:
            parts.append(_front(cost, on_it, search))
    return parts


def remarks(search: SearchView, *, terminal: bool) -> list[str]:
    """What to know before one trusts the numbers."""
    found = []
    if search.edf is not None and search.missing:
        missing = f"{search.missing:,} of {counted(search.total, 'trial')}"
        found.append(
            f"{missing} did not end: what follows is of the others"
            if terminal
            else f"{missing} still missing: what follows is of those that have ended so far, quick ones first"
        )
    return [*found, search.caveat] if search.edf is not None and search.caveat else found


def _states(search: SearchView, *, terminal: bool) -> str:
    """`7 of 24 finished, 1 failed, 2 running, 14 waiting`."""
    told = [f"{search.states.get('succeeded', 0):,} of {search.total:,} finished"]
    told += [f"{search.states[name]:,} {word}" for name, word in _STATES.items() if search.states.get(name)]
    rest = search.total - sum(search.states.get(name, 0) for name in ("succeeded", *_STATES))
    return ", ".join([*told, f"{rest:,} {'never ran' if terminal else 'waiting'}"] if rest else told)


def _best(trial: TrialView, summary: Mapping[str, Any]) -> list[str]:
    """The best trial, and its error on the test split where it was looked at."""
    error = f"val error {figure(trial.metrics[ERROR])}"
    best = summary.get("best")
    known = best if isinstance(best, Mapping) and best.get("index") == trial.index else {}
    if isinstance(test := known.get("test_error"), int | float):
        error += f", test error {figure(test)}"
    model = [f"{name} {value_text(value)}" for name, value in trial.parameters.items()]
    costs = [f"{human(value)} {name}" for name, value in trial.complexity.items()]
    lines = [f"best         trial {trial.index}: {error}"]
    lines += [f"             {one_line(', '.join(part))}" for part in (model, costs) if part]
    return lines + _lineage(known.get("lineage"))


def _lineage(stretches: object) -> list[str]:
    """Which trials the best one is a copy of, of population based training."""
    found = stretches if isinstance(stretches, list) else []
    told = [
        f"trial {stretch['trial']} to epoch {figure(stretch['to_epoch'])}: "
        + ", ".join(f"{name} {value_text(value)}" for name, value in stretch["parameters"].items())
        for stretch in found
    ]
    return [f"{'' if number else 'came from':<12} {one_line(line)}" for number, line in enumerate(told)]


def _edf(edf: EdfView, errors: Sequence[float]) -> str:
    names = ("min", "lower_quartile", "median", "upper_quartile", "max", "mean")
    heads = [">min", ">25 %", ">median", ">75 %", ">max", ">mean"]
    numbers = table(heads, [[figure(getattr(edf, name)) for name in names]])
    parts = [f"EDF: validation errors of {counted(edf.models, 'model')}", numbers]
    if edf.models > 1:
        parts += draw_edf(errors, characters())
    if edf.below:
        heads = ["error below", *(f">{below.error:g}" for below in edf.below)]
        parts.append(
            table(
                heads,
                [
                    ["models", *(f"{below.models:,}" for below in edf.below)],
                    ["fraction", *(f"{below.fraction:.2f}" for below in edf.below)],
                ],
            )
        )
    return "\n".join(parts)


def _front(cost: str, on_it: Sequence[TrialView], search: SearchView) -> str:
    models = 0 if search.edf is None else search.edf.models
    title = f"Pareto front, error against {cost}: {len(on_it):,} of {counted(models, 'model')}"
    parameters = keys(trial.parameters for trial in on_it)
    others = [name for name in keys(trial.complexity for trial in on_it) if name != cost]
    heads = [">trial", "state", *(f">{name}" for name in (cost, ERROR, *parameters, *others)), ">epochs"]
    rows = [
        [
            str(trial.index),
            state(trial.state),
            human(trial.complexity[cost]),
            figure(trial.metrics[ERROR]),
            *(value_text(trial.parameters.get(name)) for name in parameters),
            *(human(trial.complexity[name]) if name in trial.complexity else "" for name in others),
            figure(trial.epochs),
        ]
        for trial in on_it[:_SHOWN]
    ]
    more = f"\n… and {len(on_it) - _SHOWN} more (--json has them all)" if len(on_it) > _SHOWN else ""
    return f"{title}\n{table(heads, rows)}{more}"

"""What a search has found, told from its trials: which of them count, the best, and the Pareto fronts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from orchestrator.blueprint.pareto import pareto_front

if TYPE_CHECKING:  # a command that shows results reads no workload
    from orchestrator.spec.regnet import RegNetWorkload

ERROR = "val_error"
"""The metric that models are compared by; lower is better."""
COSTS = ("flops", "activations", "params")
"""What a model's error is weighed against."""
MEASURED_STATES = frozenset({"succeeded", "stopped"})
"""Trials in these states have an error that counts; `stopped`: ended early by the search's scheduler."""


class Trial(Protocol):
    """One member of a search, as its record or the API holds it."""

    @property
    def index(self) -> int:
        """Its place in the population."""
        ...

    @property
    def state(self) -> str:
        """Where it stands."""
        ...

    @property
    def complexity(self) -> Mapping[str, Any]:
        """What its model costs."""
        ...

    @property
    def metrics(self) -> Mapping[str, float]:
        """Of its last epoch."""
        ...

    @property
    def message(self) -> str:
        """Why it failed, or which rule ended the search before it."""
        ...


T = TypeVar("T", bound=Trial)


def measured(trials: Sequence[T]) -> list[T]:
    """Those that ended and whose error is a number, in their order; none that a stop rule of the search cut short."""
    counted = [t for t in trials if t.state in MEASURED_STATES and not (t.state == "stopped" and t.message)]
    return [t for t in counted if math.isfinite(t.metrics.get(ERROR, math.nan))]


def choose_best(trials: Sequence[T]) -> T | None:
    """The finished trial with the lowest validation error; of equals the one with fewer flops, then the earlier one."""
    finished = [trial for trial in measured(trials) if trial.state == "succeeded"]
    return min(finished, key=lambda t: (t.metrics[ERROR], t.complexity.get("flops", 0), t.index), default=None)


def front(trials: Sequence[T], cost: str) -> list[T]:
    """The measured trials that no other beats in error and cost, by rising cost; equal ones by index."""
    known = sorted((t for t in measured(trials) if cost in t.complexity), key=lambda t: t.index)
    return [known[i] for i in pareto_front([(t.complexity[cost], t.metrics[ERROR]) for t in known])]


def fronts(trials: Sequence[T]) -> dict[str, list[T]]:
    """The front against each cost that is known of some measured trial."""
    found = {cost: front(trials, cost) for cost in COSTS}
    return {cost: on_it for cost, on_it in found.items() if on_it}


def edf_caveat(workload: RegNetWorkload) -> str:
    """Why the errors of this search make no EDF of the paper's kind, in words; empty where they do."""
    search, found = workload.search, list[str]()
    if search is not None and search.scheduler.ends_trials_early:
        found.append(f"unequal budgets ({search.scheduler.type})")
    if search is not None and search.scheduler.type == "pbt":
        found.append("one model, trials that copy each other (pbt)")
    if search is not None and search.sampler != "random":
        found.append(f"models chosen by {search.sampler}")
    return f"{' and '.join(found)}: no EDF of the paper's kind" if found else ""

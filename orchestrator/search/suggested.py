"""Trials that are suggested one by one, as a searcher of Tune's: first those that wait, then what the sampler says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.tune.search import Searcher

from orchestrator.search.ledger import Ledger
from orchestrator.search.tpe import TpeSampler


class Suggested(Searcher):
    """Gives Tune a trial whenever one more may run. What becomes of it, the ledger knows.

    Args:
        sampler: of the search.
        ledger: its trials.
        at_once: how many may run.
        over: whether no trial is to begin any more.
    """

    def __init__(self, sampler: TpeSampler, ledger: Ledger, at_once: int, over: Callable[[], bool]) -> None:
        super().__init__(metric="score", mode="min")
        self._sampler, self._ledger, self._at_once, self._over = sampler, ledger, at_once, over
        self._waiting = list(ledger.pending)
        self._given: dict[str, int] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The index of the next trial; None where none may run now."""
        if len(self._given) >= self._at_once or self._over():
            return None
        if self._waiting:
            index = self._waiting.pop(0)
        else:
            record = self._sampler.suggest(self._ledger.trials)
            if record is None:
                self._ledger.closed = "" if self._sampler.over(self._ledger.trials) else self._sampler.exhausted
                return Searcher.FINISHED  # type: ignore[return-value]
            self._ledger.add(record)
            index = record.index
        self._given[trial_id] = index
        return {"index": index}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A trial has made room for another."""
        self._given.pop(trial_id, None)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the records are what a restart reads."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing."""

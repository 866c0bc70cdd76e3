"""`Joining`: the engine is asked for allocations that join runs, and left alone for a while where that goes wrong."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from orchestrator.backends.protocol import LaunchRequest, Terms
from orchestrator.base.errors import BackendUnavailable, LaunchRefused, SpecError
from orchestrator.base.text import one_line
from orchestrator.control.foreign import FOREIGN_ERRORS
from orchestrator.control.launching import Launching
from orchestrator.control.pool import all_at_once
from orchestrator.control.resting import Rest
from orchestrator.control.site import Site
from orchestrator.control.terms import growth_terms
from orchestrator.control.troubles import Troubles
from orchestrator.lifecycle.states import GrowthState
from orchestrator.rundir.launch import read_launch
from orchestrator.store import allocations
from orchestrator.store.records import GrowthRecord, JobRecord, RunRecord

_LOG = logging.getLogger(__name__)

_SHORTEST_LIMIT = 60.0
"""Seconds that growth is given at least, however little of its run's time is left."""


@dataclass(frozen=True)
class _Asked:
    """Growth that the engine is about to be asked for."""

    growth: GrowthRecord
    run: RunRecord
    terms: Terms


class Joining:
    """Asks for growth that was written down.

    Args:
        site: where.
        troubles: of jobs.
    """

    def __init__(self, site: Site, troubles: Troubles) -> None:
        self._site = site
        self._troubles = troubles
        self._launching = Launching(site)
        self._engine = Rest(site.clock)
        self._runs: dict[str, Rest] = {}

    @property
    def rests(self) -> bool:
        """Whether the engine is left alone, for it did not answer."""
        return self._engine.left > 0

    def rests_for(self, run: str) -> bool:
        """Whether nothing is asked for a run, for it went wrong the last time."""
        return run in self._runs and self._runs[run].left > 0

    def forget(self, keep: Collection[str]) -> None:
        """Drop what is remembered of all runs but these."""
        self._runs = {run: rest for run, rest in self._runs.items() if run in keep}

    def ask(
        self, wanted: Sequence[GrowthRecord], known: Mapping[str, JobRecord], active: Mapping[str, RunRecord]
    ) -> Sequence[tuple[GrowthRecord, str]]:
        """Ask for all of them whose runs go on.

        Returns:
            Those that can never join, and why.
        """
        asked = self._with_terms(wanted, known, active)
        results = all_at_once([partial(self._launch, one) for one in asked])
        if taken := [one for one, error in zip(asked, results, strict=True) if error is None]:
            with self._site.commit("growth launched") as connection:
                for one in taken:
                    allocations.change(connection, one.growth, state=GrowthState.LAUNCHED)
            self._engine.over()
        refused, silent = list[tuple[GrowthRecord, str]](), list[BackendUnavailable]()
        for one, error in zip(asked, results, strict=True):
            if error is None:
                self._runs.pop(one.run.id, None)
            elif isinstance(error, LaunchRefused | SpecError):
                _LOG.warning("%s cannot join its run: %s", one.growth.id, error)
                refused.append((one.growth, str(error)))
            elif isinstance(error, BackendUnavailable):  # it may have taken it all the same: the next look shows
                silent.append(error)
            else:
                self._went_wrong(one.run, error)
        if silent:
            _LOG.warning("no growth for %g s: %s", self._engine.begin(), one_line(str(silent[0]), 300))
        return refused

    def _with_terms(
        self, wanted: Sequence[GrowthRecord], known: Mapping[str, JobRecord], active: Mapping[str, RunRecord]
    ) -> list[_Asked]:
        """What the engine is told of each; one job's trouble is not the others'."""
        found, trouble = list[_Asked](), list[tuple[RunRecord, Exception]]()
        with self._site.store.read() as connection:
            for growth in wanted:
                run = active[growth.run]
                if run.stop_cause is not None or run.job not in known:
                    continue
                try:
                    terms = growth_terms(self._site, connection, known[run.job], run, growth.workers)
                except FOREIGN_ERRORS as error:
                    trouble.append((run, error))
                else:
                    found.append(_Asked(growth, run, terms))
        for run, problem in trouble:
            self._went_wrong(run, problem)
        return found

    def _launch(self, asked: _Asked) -> None:
        directory = self._site.run_directory(asked.run)
        launch = replace(read_launch(directory), workers=asked.growth.workers)
        limit = self._time_left(asked.run)
        self._launching.ask(LaunchRequest(asked.growth.id, directory, launch, limit, terms=asked.terms))

    def _time_left(self, run: RunRecord) -> float | None:
        if run.time_limit is None or run.started_at is None:
            return run.time_limit
        return max(_SHORTEST_LIMIT, run.started_at + run.time_limit - self._site.clock.now())

    def _went_wrong(self, run: RunRecord, error: Exception) -> None:
        self._runs.setdefault(run.id, Rest(self._site.clock)).begin()
        self._troubles.met(run.job, error)

"""`LastWords`: how a run ended may stand in a file that this machine sees only some time after the engine says so."""

from __future__ import annotations

from orchestrator.control.sight import Look
from orchestrator.control.site import Site
from orchestrator.control.timers import Absences
from orchestrator.lifecycle.failures import FailureClass
from orchestrator.store.records import RunRecord


class LastWords:
    """Of runs that ended by themselves on machines whose files reach this one through a file system with a cache.

    They are waited for as long as for a run that the engine no longer knows; a new controller starts anew.

    Args:
        site: where.
    """

    def __init__(self, site: Site) -> None:
        self._silent = Absences(site.clock, site.profile.watch.lost_after)
        self._awaited: set[str] = set()

    def may_come(self, run: RunRecord, look: Look) -> bool:
        """Whether a run that is over at its engine, and has not said how it ended, may have said so.

        Not where somebody wished its end: then it is clear without a word of it.
        """
        if run.stop_cause is not None:
            return False
        if run.id not in self._awaited and not _by_itself(run, look):
            return False
        self._awaited.add(run.id)
        return not self._silent.absent(run.id)

    def forget(self, keep: set[str]) -> None:
        """Drop all but these."""
        for run in self._awaited - keep:
            self._silent.present(run)
        self._awaited &= keep


def _by_itself(run: RunRecord, look: Look) -> bool:
    """Whether any part of it did, and the engine knows of no reason."""
    seen = [look.of(run), *(look.at(growth.id) for growth in look.growth.get(run.id, ()))]
    return any(one.by_itself and one.failure_class in {None, FailureClass.INFRASTRUCTURE} for one in seen)

"""When a run is over, and what its losses have come to."""

from __future__ import annotations

from orchestrator.rundir.events import find_event
from orchestrator.rundir.layout import RunDirectory
from orchestrator.runtime.membership.events import EndRun
from orchestrator.runtime.membership.roster import Roster


class Losses:
    """Workers that were lost, and how many are still started in their place.

    Args:
        replacements: how many, in all.
    """

    def __init__(self, replacements: int) -> None:
        self._left = replacements
        self._replacements = replacements
        self._most = 0
        self.last = ""
        self.failure_class = "infrastructure"

    def note(self, message: str, failure_class: str) -> None:
        """One was lost."""
        self.last = message
        self.failure_class = failure_class

    def may_start(self, there: int) -> bool:
        """Whether another may be started where so many are there: a new one, or one more in the place of a lost one."""
        return there >= self._most or self._left > 0

    def start(self, there: int) -> None:
        """Another is started."""
        self._left -= there < self._most
        self.see(there + 1)

    def see(self, there: int) -> None:
        """So many are there, or on their way."""
        self._most = max(self._most, there)

    def forgive(self, there: int) -> None:
        """Begin to count anew: somebody has asked for another number of workers."""
        self._left, self._most = self._replacements, there


def judge_end(roster: Roster, losses: Losses, *, stopping: bool, finishing: bool) -> EndRun | None:
    """How the run ended, once nobody is left who could go on with it; None where it goes on.

    The word of the member that led counts: without it nobody knows that the end of the work was reached.

    Args:
        roster: who is there, and what became of the members of the last view.
        losses: what was lost.
        stopping: the run was told to stop.
        finishing: some worker has said that its work is done.
    """
    if not (stopping or finishing) or roster.awaited or roster.standing("member"):
        return None
    if roster.view is None and roster.workers:
        return None
    numbers = list(roster.fates) if roster.view is None else roster.view.numbers
    fates = [roster.fates.get(number) for number in numbers]
    if "stopped" in fates or not fates or (stopping and "succeeded" not in fates):
        return EndRun("stopped", "stopped")
    if fates[0] == "succeeded" or (roster.view is None and "succeeded" in fates):
        return EndRun("succeeded", "every worker has finished")
    return EndRun("failed", f"the work was not finished: {losses.last}", losses.failure_class)


def written_end(run: RunDirectory) -> EndRun | None:
    """The end of the run as an agent has written it down; None where none has, or a disk hides it."""
    event = find_event(run, "finished")
    if event is None:
        return None
    said = event.data
    return EndRun(said["outcome"], str(said.get("message") or "the run has finished"), said.get("failure_class"))

"""Pure: from how the ranks ended to how the run ended, and to which failure budget that is charged."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from orchestrator.runtime.markers import Marker

_KILLED_BY_SHELL = 128 + signal.SIGKILL
_BY_SHELL = {126: "the program cannot be executed", 127: "the program was not found"}
"""What a shell, and `env` and its like, say with their exit code; no retry changes that."""
UNHEARD = os.EX_IOERR
"""What a rank that owes a marker exits with where the disk took none."""
_ERROR = re.compile(
    r"(?i:\b(error|fatal|fault|fail(ed|ure)?|abort(ed)?|panic|terminate|assert(ion)?|cannot|out of memory)\b)"
    r"|\w(Error|Exception|Interrupt)\b"
)
"""What a log's line looks like that may tell why a signal ended its writer."""
_OUT_OF_MEMORY = re.compile(r"^\s*(MemoryError\b|(\w+\.)*OutOfMemoryError\b|.*\bCUDA out of memory\b)")


@dataclass(frozen=True)
class RankEnd:
    """How one rank ended.

    Attributes:
        rank: which one.
        exit_code: negative: the signal that ended it.
        marker: its own word, if it left one.
        owes_marker: it promised one, so that exit code 0 alone is no success.
        last_lines: the end of its log.
        memory_ran_out: the kernel killed some process of this machine for memory while the rank ran.
        after_stop: it ended after it had been told to stop.
    """

    rank: int
    exit_code: int
    marker: Marker | None = None
    owes_marker: bool = False
    last_lines: Sequence[str] = ()
    memory_ran_out: bool = False
    after_stop: bool = False

    @property
    def succeeded(self) -> bool:
        """Whether its work is done; a marker stands even where the process aborted at exit."""
        if self.marker is not None:
            return self.marker.outcome == "succeeded"
        return self.exit_code == 0 and not self.owes_marker and not self.after_stop

    @property
    def terminated(self) -> bool:
        """Whether SIGTERM ended it, or a child of it whose end a shell passed on."""
        return self.exit_code in {-signal.SIGTERM, _KILLED_BY_SHELL - signal.SIGKILL + signal.SIGTERM}

    @property
    def killed(self) -> bool:
        """Whether SIGKILL ended it, or a child of it whose end a shell passed on."""
        return self.exit_code in {-signal.SIGKILL, _KILLED_BY_SHELL}


@dataclass(frozen=True)
class Outcome:
    """How a run ended: the data of the `finished` event."""

    outcome: Literal["succeeded", "failed", "stopped"]
    message: str
    failure_class: str | None = None
    exit_code: int | None = None
    cause: str | None = None

    def to_data(self) -> dict[str, Any]:
        """Without what does not apply."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def judge_stop(ends: Sequence[RankEnd], cause: str) -> Outcome:
    """The ranks were asked to stop and have ended; work that was complete all the same has succeeded."""
    if ends and all(end.succeeded for end in ends):
        return judge_success(ends)
    failure = "time_limit" if cause == "time_limit" else None
    message = next((end.marker.message for end in ends if end.marker and end.marker.message), "") or f"stopped: {cause}"
    return Outcome("stopped", message, failure_class=failure, cause=cause)


def judge_success(ends: Sequence[RankEnd]) -> Outcome:
    """Every rank has succeeded."""
    message = next((end.marker.message for end in ends if end.marker and end.marker.message), "")
    return Outcome("succeeded", message or "every rank ended with exit code 0", exit_code=0)


def judge_failure(suspects: Sequence[RankEnd]) -> Outcome:
    """The ranks that ended first, without success: the others were ended for their sake."""
    culprit = blamed(suspects)
    return Outcome("failed", describe(culprit), failure_class=classify(culprit), exit_code=culprit.exit_code)


def blamed(suspects: Sequence[RankEnd]) -> RankEnd:
    """Of ranks that ended without success the one on whose account the others did."""
    return min(suspects, key=_guilt)


def _guilt(end: RankEnd) -> tuple[bool, float, int]:
    """A killed rank is the cause of its peers' broken connections; otherwise who spoke first, then the lowest."""
    return (not end.killed, end.marker.time if end.marker else float("inf"), end.rank)


def classify(end: RankEnd) -> str:
    """Which failure budget its end without success is charged to."""
    if end.marker is not None:
        return end.marker.failure_class or ("preempted" if end.marker.outcome == "stopped" else "application")
    if any(_OUT_OF_MEMORY.match(line) for line in end.last_lines[-20:]):
        return "out_of_memory"
    if end.exit_code == UNHEARD and end.owes_marker:
        return "infrastructure"
    if end.killed:
        return "out_of_memory" if end.memory_ran_out else "infrastructure"
    return "permanent" if _never_ran(end) else "application"


def _never_ran(end: RankEnd) -> bool:
    """Whether a shell says so; a rank that has opened its RunContext means something else by the same code."""
    return end.exit_code in _BY_SHELL and not end.owes_marker


def describe(end: RankEnd) -> str:
    """How it ended, for people."""
    if end.marker is not None:
        return f"rank {end.rank} {end.marker.outcome}: {end.marker.message}"
    if end.exit_code < 0:
        how = f"was ended by {_signal_name(-end.exit_code)}"
    elif end.exit_code == 0:
        how = "ended with exit code 0 but never said that it had finished"
    else:
        how = f"ended with exit code {end.exit_code}"
        how += f" ({_BY_SHELL[end.exit_code]})" if _never_ran(end) else ""
    return f"rank {end.rank} {how}{_last_words(end)}"


def _last_words(end: RankEnd) -> str:
    """The end of its log where that may tell why: a program that exits by itself says so, one that is killed cannot."""
    if not end.last_lines or end.killed:
        return ""
    last = end.last_lines[-1]
    return f": {last}" if end.exit_code > 0 or _ERROR.search(last) else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"

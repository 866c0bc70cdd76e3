"""Why an agent should end its ranks: what the controller, the backend, the clock, the fence or a signal says."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestrator.base.errors import Fenced
from orchestrator.rundir.allocations import TAKEN, AllocationFiles, StopNote
from orchestrator.rundir.control import Control, read_control
from orchestrator.rundir.fence import check_fence
from orchestrator.rundir.grant import Grant
from orchestrator.rundir.launch import Launch
from orchestrator.runtime.logs import say

_FENCED_GRACE = 2.0

Kind = Literal["stop", "failure", "elsewhere", "fenced", "guard_lost"]


@dataclass(frozen=True)
class Ending:
    """The ranks are to end.

    Attributes:
        kind: a wish (`stop`), or something that went wrong: here, or `elsewhere` in a gang on several nodes.
        cause: of a `stop`: cancel, preempt, resize, drain, time_limit, taken; of `elsewhere`: how the gang ended.
        grace_seconds: until they are killed.
        message: for people.
        whole: the run is meant, not this allocation alone.
    """

    kind: Kind
    grace_seconds: float
    cause: str = ""
    message: str = ""
    whole: bool = False


class Wishes:
    """Looks ten times a second at everything that can end a run; files are read only when they have changed.

    Nothing depends on a signal: on a node of a cluster nobody of ours may be there to send one.

    Args:
        files: the allocation.
        launch: what runs.
        guard: the agent's parent.
        grant: says where the agent stands among those of its allocation, and how long it may run; None: alone, and
            without an end.
    """

    def __init__(self, files: AllocationFiles, launch: Launch, guard: int, grant: Grant | None) -> None:
        self._files = files
        self._launch = launch
        self._guard = guard
        self._grant = grant or Grant()
        self._notes = list(dict.fromkeys([files.agent(-self._grant.place), files]))
        limit = self._grant.time_limit
        self._deadline = None if limit is None else time.monotonic() + limit
        self._seen: dict[Path, tuple[int, int]] = {}
        self._control: Control | None = None

    def look(self, signals: set[signal.Signals]) -> Ending | None:
        """The most pressing reason to end, if there is one.

        Args:
            signals: that came since the last look.
        """
        if os.getppid() != self._guard:
            return Ending("guard_lost", 0.0, message="the agent's guard process was killed")
        return self._fenced() or self.stop(signals) or self._out_of_time()

    def stop(self, signals: set[signal.Signals]) -> Ending | None:
        """The wish of the controller, of a backend, or of the machine by a signal."""
        control = self._wish()
        if control is not None and control.want == "stop":
            return Ending("stop", control.grace_seconds, cause=control.cause or "cancel", whole=True)
        told = bool(signals & {signal.SIGTERM, signal.SIGINT, signal.SIGUSR1})
        changed = [path for files in self._notes for path in files.stops if self._changed(path)]
        note = self._note() if told or changed else None
        if note is None and not told:
            for path in changed:  # it cannot be read for a moment
                self._seen.pop(path, None)
            return None
        cause: str = "preempt" if signal.SIGUSR1 in signals else "drain"
        if note is not None:
            cause = note.cause or cause
        elif cause == "drain" and self._grant.node:
            cause = TAKEN
        return Ending("stop", self._grant.notice if note is None else note.grace_seconds, cause=cause)

    def _note(self) -> StopNote | None:
        """Of the notes to the allocation and to this agent the one that leaves less time."""
        found = []
        for files in self._notes:
            with contextlib.suppress(OSError, KeyError, TypeError, ValueError):
                found.append(files.stop_request())
        return min((note for note in found if note is not None), key=lambda note: note.grace_seconds, default=None)

    def workers(self) -> int | None:
        """How many workers the controller wants; None where it has not said so."""
        control = self._wish()
        said = control is not None and type(control.world_size) is int and control.world_size > 0
        return control.world_size if control is not None and said else None

    def placement(self) -> tuple[tuple[str, int], ...] | None:
        """Where the controller wants them; None where it has not said so, or the engine has no choice."""
        control = self._wish()
        return control.placement if control is not None and self._grant.placed else None

    def _wish(self) -> Control | None:
        """The controller's newest wish for this very run."""
        if self._changed(self._files.run.control):
            self._control = self._read_control()
        control = self._control
        return control if control is not None and control.token == self._launch.token else None

    def _out_of_time(self) -> Ending | None:
        if self._deadline is None or time.monotonic() < self._deadline:
            return None
        return Ending("stop", self._grant.grace, cause="time_limit")

    def _fenced(self) -> Ending | None:
        if not self._changed(self._files.run.job.fence):
            return None
        try:
            check_fence(self._files.run.job, self._launch.token)
        except Fenced as error:
            return Ending("fenced", _FENCED_GRACE, message=error.message, whole=True)
        except (OSError, ValueError) as error:
            say(f"cannot read the fence: {error}")
        return None

    def _read_control(self) -> Control | None:
        """The wish; the last one where the file cannot be read: a disk that is away for a moment ends no run."""
        try:
            return read_control(self._files.run)
        except (OSError, TypeError) as error:
            say(f"cannot read control.json: {error}")
            return self._control

    def _changed(self, path: Path) -> bool:
        try:
            status = os.stat(path)
        except OSError:
            return False
        version = (status.st_mtime_ns, status.st_ino)
        changed = self._seen.get(path) != version
        self._seen[path] = version
        return changed

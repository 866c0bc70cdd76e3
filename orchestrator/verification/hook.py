"""What makes a storm hit its step: a worker's membership that waits, kills or stops the worker where the script says.

Each action happens once in a training, whatever is done again: whoever carries it out creates its file exclusively.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.errors import TimedOut
from orchestrator.base.files import create_exclusive
from orchestrator.rundir.membership import View
from orchestrator.runtime.membership.protocol import Membership, Phase
from orchestrator.verification.storm import Action, Storm

_WAIT_SECONDS = 180.0
_POLL_SECONDS = 0.005
_NOTICE_SECONDS = 1.2
"""A worker looks at control.json twice a second."""


@dataclass(frozen=True)
class Marks:
    """Files by which the workers and the one who drives the storm know where it is."""

    folder: Path

    def reached(self, number: int) -> Path:
        """The workers have come to the action; the driver is to act."""
        return self.folder / f"reached-{number}"

    def acted(self, number: int) -> Path:
        """The driver has acted, or a worker was hit; it holds the epoch of the view in which that was."""
        return self.folder / f"acted-{number}"

    def hit_in(self, number: int) -> int | None:
        """The epoch of the view in which a worker was hit; None: nobody was."""
        path = self.acted(number)
        return int(path.read_text()) if path.exists() else None

    def set(self, path: Path, text: str = "") -> bool:
        """Create a mark; False where it is there."""
        return create_exclusive(path, text.encode())


class StormMembership:
    """A membership in which the storm happens.

    Args:
        inner: the real one.
        storm: the script.
        marks: of this training.
    """

    def __init__(self, inner: Membership, storm: Storm, marks: Marks) -> None:
        self._inner, self._storm, self._marks = inner, storm, marks
        self._view: View | None = None
        self._making: int | None = None

    @property
    def number(self) -> int:
        """This worker's own number."""
        return self._inner.number

    def ready(self, port: int) -> None:
        """As the real one."""
        self._inner.ready(port)

    def next_view(self, after: int) -> View | None:
        """As the real one."""
        self._view = self._inner.next_view(after)
        return self._view

    def newest_epoch(self) -> int:
        """As the real one."""
        return self._inner.newest_epoch()

    def broken(self, epoch: int, reason: str) -> None:
        """As the real one."""
        self._inner.broken(epoch, reason)

    def beat(self, step: int, phase: Phase) -> None:
        """As the real one; and what the script has for this step."""
        self._inner.beat(step, phase)
        if phase != "collective":  # between views workers wait for each other, too: no step is under way then
            self._making = step if phase == "compute" else None
        for number, action in enumerate(self._storm.actions):
            if action.step == step:
                self._happen(number, action, phase)

    def _happen(self, number: int, action: Action, phase: Phase) -> None:
        view = self._view
        if view is None or self._marks.acted(number).exists():
            return
        if action.kind in ("kill", "hang"):
            self._hit(number, action, phase, view)
        elif phase == "compute":
            if action.kind == "gather":
                self._gather(action, view)
            else:
                self._wait(number, action, view)

    def _hit(self, number: int, action: Action, phase: Phase, view: View) -> None:
        """End or stop this process in the middle of the step, if it is the one."""
        target = view.numbers[0 if action.who == "leader" else -1]
        inside = phase == "collective" and self._making == action.step
        if not inside or target != self.number or len(view.members) < 2:
            return
        if self._marks.set(self._marks.acted(number), str(view.epoch)):
            os.kill(os.getpid(), signal.SIGKILL if action.kind == "kill" else signal.SIGSTOP)

    def _gather(self, action: Action, view: View) -> None:
        """Wait for a view, unless there are enough workers."""
        if len(view.members) != action.workers:
            self._until(lambda: self._inner.newest_epoch() > view.epoch, action)

    def _wait(self, number: int, action: Action, view: View) -> None:
        """Let the driver act before the step goes on."""
        if view.numbers[0] == self.number:
            self._marks.set(self._marks.reached(number))
        if action.kind == "resize":
            if len(view.members) != action.workers:
                self._until(lambda: self._inner.newest_epoch() > view.epoch, action)
            return
        self._until(self._marks.acted(number).exists, action)
        time.sleep(_NOTICE_SECONDS)

    def _until(self, happened: Callable[[], bool], action: Action) -> None:
        deadline = time.monotonic() + _WAIT_SECONDS
        while not happened():
            if time.monotonic() > deadline:
                raise TimedOut(f"the storm's action at step {action.step} ({action.name}) did not come about")
            time.sleep(_POLL_SECONDS)

"""What a rank knows of its run, and how it says how it ended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Literal

from orchestrator.base.errors import UsageError
from orchestrator.rundir.allocations import MARK
from orchestrator.rundir.control import StopCause, read_control
from orchestrator.rundir.events import EventWriter
from orchestrator.rundir.fence import check_fence
from orchestrator.rundir.layout import JobDirectory, RunDirectory
from orchestrator.runtime import environment as names
from orchestrator.runtime.markers import RANK_FINISHED, rank_writer

_POLL_SECONDS = 0.5
_CAUSE_OF: Mapping[int, StopCause] = {signal.SIGTERM: "drain", signal.SIGUSR1: "preempt"}


@dataclass(frozen=True)
class StopRequest:
    """Checkpoint and end within the grace time."""

    cause: StopCause
    grace_seconds: float = 20.0


@dataclass
class _Watch:
    """What was seen of a wish to stop; signal handlers write here."""

    signal: int | None = None
    polled: float = float("-inf")
    request: StopRequest | None = None

    def note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number


@dataclass(frozen=True)
class RunContext:
    """A rank's view of its run.

    Whoever makes one owes the run a marker: call `finish` before the process ends, whatever happens.

    Attributes:
        rank: this process, from 0.
        local_rank: the same on this machine.
        world_size: ranks of the run.
        slots: workers' slots that the run holds; more than `world_size` where one process uses them all.
        run: the run's directory.
        job: the job's directory.
        token: the fencing token; see `check_fence`.
        events: this rank's events.
    """

    rank: int
    local_rank: int
    world_size: int
    slots: int
    run: RunDirectory
    job: JobDirectory
    token: int
    events: EventWriter
    _watch: _Watch = field(default_factory=_Watch, repr=False, compare=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> RunContext:
        """Read what the agent left in the environment, and take note of SIGTERM and SIGUSR1 from now on.

        Call it in the main thread: elsewhere Python allows no signal handlers.

        Raises:
            UsageError: this process was not started by an agent.
        """
        env = os.environ if environment is None else environment
        missing = sorted(name for name in (names.RUN_DIR, names.TOKEN, MARK, "RANK", "WORLD_SIZE") if name not in env)
        if missing:
            raise UsageError(
                f"this process is not a rank of a run: {', '.join(missing)} not set",
                hint="it is started by `orchestrator submit`, not by hand",
            )
        run, rank, token = RunDirectory(Path(env[names.RUN_DIR])), int(env["RANK"]), int(env[names.TOKEN])
        context = cls(
            rank=rank,
            local_rank=int(env.get("LOCAL_RANK", rank)),
            world_size=int(env["WORLD_SIZE"]),
            slots=int(env.get(names.SLOTS, env["WORLD_SIZE"])),
            run=run,
            job=run.job,
            token=token,
            events=EventWriter(run, rank_writer(rank), token),
        )
        for number in _CAUSE_OF:
            signal.signal(number, context._watch.note)
        return context

    def should_stop(self) -> StopRequest | None:
        """Whether to checkpoint and end; cheap enough for every step (a file is read at most twice a second)."""
        watch = self._watch
        if watch.request is None and (watch.signal is not None or time.monotonic() - watch.polled >= _POLL_SECONDS):
            watch.polled = time.monotonic()
            watch.request = self._wish() or (StopRequest(_CAUSE_OF[watch.signal]) if watch.signal else None)
        return watch.request

    def check_fence(self) -> None:
        """Call before writing what another run of the job could also write.

        Raises:
            Fenced: a newer run has taken over; this one must stop.
        """
        check_fence(self.job, self.token)

    def finish(
        self, outcome: Literal["succeeded", "failed", "stopped"], message: str, failure_class: str | None = None
    ) -> None:
        """Leave the marker; durable when this returns. Nothing may follow it."""
        extra = {} if failure_class is None else {"failure_class": failure_class}
        self.events.append(RANK_FINISHED, outcome=outcome, message=message, **extra)

    def _wish(self) -> StopRequest | None:
        try:
            control = read_control(self.run)
        except (OSError, TypeError):  # a disk that is away for a moment ends no training
            return None
        if control is None or control.token != self.token or control.want != "stop":
            return None
        return StopRequest(control.cause or "cancel", control.grace_seconds)

"""What a rank knows of its run, and how it says how it ended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from orchestrator.base.errors import UsageError
from orchestrator.rundir.allocations import MARK
from orchestrator.rundir.control import StopCause, read_control
from orchestrator.rundir.fence import check_fence
from orchestrator.rundir.layout import JobDirectory, RunDirectory
from orchestrator.runtime import environment as names
from orchestrator.runtime.durable import DurableEvents
from orchestrator.runtime.markers import RANK_FINISHED, WorkerOutcome, rank_writer
from orchestrator.runtime.membership.link import Link
from orchestrator.runtime.membership.protocol import Membership
from orchestrator.runtime.membership.solo import Solo

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
    checkpoints: int = 0

    def note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number


def _pass_over(number: int, frame: FrameType | None) -> None:
    """A handler and not SIG_IGN, which programs that are started would inherit."""


@dataclass(frozen=True)
class RunContext:
    """A rank's view of its run.

    Whoever makes one owes the run a marker: call `finish` before the process ends, whatever happens.

    Attributes:
        number: this process's own, never used again in the run; in a fixed gang its rank.
        slots: workers' slots that the run began with; one process may use them all.
        node_slots: those of them that lie on this process's node.
        run: the run's directory.
        job: the job's directory.
        token: the fencing token; see `check_fence`.
        events: this rank's events.
        host: where processes of the run on other nodes reach this one.
        membership: its place among the workers of an elastic run; else it works alone.
    """

    number: int
    slots: int
    run: RunDirectory
    job: JobDirectory
    token: int
    events: DurableEvents
    host: str = "127.0.0.1"
    node_slots: int = 1
    membership: Membership = field(default_factory=Solo, compare=False)
    _watch: _Watch = field(default_factory=_Watch, repr=False, compare=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> RunContext:
        """Read what the agent left in the environment, and take note of SIGTERM and SIGUSR1 from now on.

        Where the engine signals every process of an allocation itself, only the agent's signal counts.

        Call it in the main thread: elsewhere Python allows no signal handlers.

        Raises:
            UsageError: this process was not started by an agent.
        """
        env = os.environ if environment is None else environment
        own = names.WORKER if names.WORKER in env else "RANK"
        missing = sorted(name for name in (names.RUN_DIR, names.TOKEN, MARK, own) if name not in env)
        if missing:
            raise UsageError(
                f"this process is not a rank of a run: {', '.join(missing)} not set",
                hint="it is started by `orchestrator submit`, not by hand",
            )
        run, number, token = RunDirectory(Path(env[names.RUN_DIR])), int(env[own]), int(env[names.TOKEN])
        slots = int(env.get(names.SLOTS, "1"))
        context = cls(
            number=number,
            slots=slots,
            node_slots=int(env.get(names.NODE_SLOTS, slots)),
            run=run,
            job=run.job,
            token=token,
            events=DurableEvents(run, rank_writer(number), token),
            host=env.get(names.HOST, "127.0.0.1"),
            membership=Link(run, number, env.get(names.HOST, "127.0.0.1")) if own == names.WORKER else Solo(),
        )
        only = env.get(names.STOP_SIGNAL)
        for signalled in _CAUSE_OF:
            counts = only is None or int(only) == signalled
            signal.signal(signalled, context._watch.note if counts else _pass_over)
        return context

    @property
    def writer(self) -> str:
        """This rank's name among the writers of events, logs and metrics."""
        return rank_writer(self.number)

    def should_stop(self) -> StopRequest | None:
        """Whether to checkpoint and end; cheap enough for every step (a file is read at most twice a second)."""
        watch = self._watch
        if watch.request is None and (watch.signal is not None or self._time_to_look()):
            self._look()
        if watch.request is None and watch.signal is not None:
            watch.request = StopRequest(_CAUSE_OF[watch.signal])
        return watch.request

    def checkpoints_wanted(self) -> int:
        """How many checkpoints somebody has asked for so far; as cheap as `should_stop`."""
        if self._time_to_look():
            self._look()
        return self._watch.checkpoints

    def check_fence(self) -> None:
        """Call before writing what another run of the job could also write.

        Raises:
            Fenced: a newer run has taken over; this one must stop.
        """
        check_fence(self.job, self.token)

    def finish(self, outcome: WorkerOutcome, message: str, failure_class: str | None = None) -> None:
        """Leave the marker; durable when this returns. Nothing may follow it.

        Raises:
            OSError: it could not be written for a minute; end with the exit code `UNHEARD`.
        """
        extra = {} if failure_class is None else {"failure_class": failure_class}
        self.events.write(RANK_FINISHED, outcome=outcome, message=message, **extra)

    def _time_to_look(self) -> bool:
        return time.monotonic() - self._watch.polled >= _POLL_SECONDS

    def _look(self) -> None:
        """Take note of all that the controller wishes of this very run."""
        watch = self._watch
        watch.polled = time.monotonic()
        try:
            control = read_control(self.run)
        except (OSError, TypeError):  # a disk that is away for a moment ends no training
            return
        if control is None or control.token != self.token:
            return
        watch.checkpoints = max(watch.checkpoints, control.checkpoint)
        if watch.request is None and control.want == "stop":
            watch.request = StopRequest(control.cause or "cancel", control.grace_seconds)

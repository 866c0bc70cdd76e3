"""What a search says while it runs: events for the controller, metrics for the tracker, lines for its log."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress

from orchestrator.blueprint.space import AXES
from orchestrator.runtime.durable import DurableEvents
from orchestrator.search.records import Generation, TrialRecord
from orchestrator.tracking.protocol import RunStatus, Tracker

_WINDOW_SECONDS = 30.0
_INTERVAL_SECONDS = 1.0
_QUIET_SECONDS = 10.0
"""Between two words on a progress that has not changed."""
_STATUS: Mapping[str, RunStatus] = {"succeeded": "finished", "stopped": "stopped", "failed": "failed"}


class Voice:
    """Says how a search goes.

    Args:
        events: of this rank.
        tracker: where metrics go.
        job: the job's identifier, the key of the parent run.
        params: of every trial's run; a trial's own are added.
        tags: of every trial's run.
        now: a monotonic clock.
    """

    def __init__(
        self,
        events: DurableEvents,
        tracker: Tracker,
        job: str,
        *,
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._events, self._tracker, self._job = events, tracker, job
        self._params, self._tags = dict(params or {}), dict(tags or {})
        self._now = now
        self._marks: deque[tuple[float, int]] = deque()
        self._said = float("-inf")
        self._last: tuple[int, int, str] | None = None

    def trial_began(self, record: TrialRecord) -> None:
        """A trial starts, or goes on from its checkpoint."""
        self._events.note("trial", index=record.index, state="running", attempt=record.attempts)
        own = {f"{'model' if name in AXES else 'optim'}.{name}": str(v) for name, v in record.born_with.items()}
        own |= {name: str(value) for name, value in record.complexity.items()}
        params = self._params | own | {"index": str(record.index), "seed": str(record.seed)}
        self._tracker.start_run(
            self.key(record.index), parent=self._job, name=f"trial {record.index}", params=params, tags=self._tags
        )

    def epoch(self, index: int, metrics: Mapping[str, float]) -> None:
        """A trial has completed an epoch."""
        self._tracker.metrics(self.key(index), int(metrics.get("samples", 0)), metrics)

    def trial_ended(self, record: TrialRecord) -> None:
        """A trial succeeded, failed, or was ended early by the scheduler."""
        data = {"val_error": record.val_error, "epochs": record.epochs, "seconds": round(record.seconds, 2)}
        self._events.note("trial", index=record.index, state=record.state, message=record.message, **data)
        error = "" if record.val_error is None else f", val error {record.val_error:.4f}"
        self.note(
            f"trial {record.index} {record.state} after {record.epochs:g} epochs{error} {record.message}".rstrip()
        )
        self._tracker.end_run(self.key(record.index), _STATUS[record.state])

    def trial_copied(self, record: TrialRecord, generation: Generation) -> None:
        """A trial goes on as a copy of another one."""
        source, epoch = generation.source, generation.epoch
        self._events.note("trial", index=record.index, state="pending", copied=source, epochs=epoch)
        values = ", ".join(f"{name} {value:.6g}" for name, value in record.parameters.items())
        self.note(f"trial {record.index} goes on from epoch {epoch} as a copy of trial {source}, with {values}")

    def trial_failed_once(self, record: TrialRecord) -> None:
        """A trial failed and is tried again."""
        self._events.note("trial", index=record.index, state="pending", message=record.message)
        self.note(f"trial {record.index} is tried again: {record.message}")

    def progress(
        self,
        *,
        done: int,
        total: int,
        samples: int,
        total_samples: int,
        best: float | None,
        force: bool = False,
        message: str = "",
    ) -> None:
        """How far the search is; said about once a second while it moves.

        Args:
            done: trials that are over.
            total: trials.
            samples: training samples used, in this run.
            total_samples: what all trials of this run will use, if none ends early.
            best: the lowest validation error.
            force: say it now.
            message: what it waits for.
        """
        now, state = self._now(), (done, samples, message)
        interval = _INTERVAL_SECONDS if state != self._last else _QUIET_SECONDS
        if not force and now - self._said < interval:
            return
        self._said, self._last = now, state
        rate = self._rate(now, samples)
        eta = max(0, total_samples - samples) / rate if rate else None
        known = {} if best is None else {"best": best, "best_label": "val error"}
        self._events.mention(
            "progress",
            done=done,
            total=total,
            unit="trials",
            samples=samples,
            samples_per_second=rate,
            eta_seconds=eta,
            message=message,
            **known,
        )

    def note(self, text: str) -> None:
        """Something for the log; a full disk must not end a search."""
        with suppress(OSError):
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    def flush(self) -> None:
        """Write down what the tracker was told."""
        self._tracker.flush()

    def key(self, index: int) -> str:
        """The key of a trial's tracked run."""
        return f"{self._job}/trial-{index}"

    def _rate(self, now: float, samples: int) -> float | None:
        """Samples per second of the last half minute; None before there is a rate."""
        if len(self._marks) == 1 and self._marks[0][1] == samples:
            self._marks.clear()  # nothing trains yet: what it takes to start is no part of the rate
        self._marks.append((now, samples))
        while len(self._marks) > 2 and self._marks[0][0] < now - _WINDOW_SECONDS:
            self._marks.popleft()
        then, earlier = self._marks[0]
        return (samples - earlier) / (now - then) if now > then and samples > earlier else None

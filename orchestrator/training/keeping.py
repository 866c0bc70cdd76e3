"""When a checkpoint is due, and what becomes of the one that is on its way."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.base.errors import Fenced, OrchestratorError
from orchestrator.training.checkpoint import Saving
from orchestrator.training.config import EngineContext, TrainConfig
from orchestrator.training.group import Group, GroupBroken
from orchestrator.training.holding import Holding
from orchestrator.training.state import describe

_POLL_SECONDS = 0.01


class Keeping:
    """The checkpoints of one training on one worker, across all views.

    Args:
        config: of the training.
        context: where they go, and who is told.
        identity: what a checkpoint belongs to.
        fingerprint: what else the bits depend on.
        now: a monotonic clock.
    """

    def __init__(
        self,
        config: TrainConfig,
        context: EngineContext,
        identity: Mapping[str, Any],
        fingerprint: Mapping[str, Any],
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config, self._context = config, context
        self._identity, self._fingerprint, self._now = identity, fingerprint, now
        self._saving: Saving | None = None
        self._samples = 0
        self._last = now()

    def is_due(self) -> bool:
        """Whether so much time has passed that the leader asks for one."""
        seconds = self._config.checkpoint_seconds
        idle = self._saving is None or self._saving.done()
        return (
            seconds is not None
            and self._context.checkpoints is not None
            and idle
            and self._now() - self._last >= seconds
        )

    def begin(self, holding: Holding, group: Group, *, epoch: int | None = None) -> None:
        """Copy the state, which is written meanwhile; all workers of the group call this at once.

        Raises:
            Fenced: a newer run owns the checkpoints.
            GroupBroken: a worker is gone.
        """
        store = self._context.checkpoints
        if store is None:
            return
        self.look(leads=group.rank == 0)
        self._last = self._now()
        state = holding.state
        measures = state.history[-1].validation if epoch is not None and state.history else {}
        self._samples = state.position.samples
        self._saving = store.begin(
            self._samples,
            holding.checkpointed(),
            describe(state, self._identity, self._fingerprint),
            group,
            epoch=epoch,
            measures=measures,
        )

    def look(self, *, leads: bool) -> None:
        """Tell of the one that is on its way, if it has ended; one that failed is no reason to end a training.

        Raises:
            Fenced: a newer run owns the checkpoints.
        """
        if self._saving is not None and self._saving.done():
            try:
                self.settle(leads=leads, gone=lambda: False)
            except Fenced:
                raise
            except (OSError, OrchestratorError) as error:
                if leads:
                    self._context.note(f"the checkpoint after {self._samples} samples was not written: {error}")
                    self._context.tell("checkpoint_failed", samples=self._samples, reason=str(error))

    def settle(self, *, leads: bool, gone: Callable[[], bool]) -> None:
        """Wait for the one that is on its way.

        Args:
            leads: whether this worker tells of it.
            gone: asked meanwhile: whether a worker that writes a part of it is lost.

        Raises:
            Fenced: a newer run owns the checkpoints.
            GroupBroken: a worker is lost.
            OSError: it could not be written; see `Saving.wait` for more.
        """
        if self._saving is None:
            return
        while not self._saving.done():
            if gone():
                self.abandon()
                raise GroupBroken("a worker was lost while the checkpoint was written")
            time.sleep(_POLL_SECONDS)
        saving, self._saving = self._saving, None
        where = saving.wait()
        if leads:
            self._context.checkpointed(where, self._samples)

    def abandon(self) -> None:
        """Give up the one that is on its way: a worker that writes a part of it is lost."""
        if self._saving is not None and not self._saving.done():
            self._saving.abandon()
            self._saving = None
            self._last = float("-inf")  # another one is due at once

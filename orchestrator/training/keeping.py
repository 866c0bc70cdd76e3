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
        self._under_way: list[tuple[Saving, int]] = []
        self._failure: OSError | OrchestratorError | None = None
        self._last = now()

    def is_due(self) -> bool:
        """Whether so much time has passed that the leader asks for one."""
        seconds = self._config.checkpoint_seconds
        if seconds is None or self._context.checkpoints is None or self._under_way:
            return False
        return self._now() - self._last >= seconds

    def begin(self, holding: Holding, group: Group, *, asked: int, epoch: int | None = None) -> None:
        """Copy the state, which is written meanwhile; all workers of the group call this at once.

        Args:
            holding: the state.
            group: the workers.
            asked: how many checkpoints have been asked for.
            epoch: that ends here; None: it is in the midst of one.

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
        saving = store.begin(
            state.position.samples,
            holding.checkpointed(),
            describe(state, self._identity, self._fingerprint),
            group,
            epoch=epoch,
            measures=measures,
        )
        self._under_way.append((saving, asked))

    def look(self, *, leads: bool) -> None:
        """Tell of those that have ended; one that failed is no reason to end a training.

        Raises:
            Fenced: a newer run owns the checkpoints.
        """
        while self._under_way and self._under_way[0][0].done():
            saving, asked = self._under_way.pop(0)
            try:
                where, self._failure = saving.wait(), None
                if leads:
                    self._context.checkpointed(where, saving.samples, asked)
            except Fenced:
                raise
            except (OSError, OrchestratorError) as error:
                self._failure = error
                if leads:
                    self._context.note(f"the checkpoint after {saving.samples} samples was not written: {error}")
                    self._context.tell("checkpoint_failed", samples=saving.samples, reason=str(error))

    def wait(self, gone: Callable[[], bool]) -> None:
        """Wait until all that are on their way have ended, well or not.

        Args:
            gone: asked meanwhile: whether a worker that writes a part of one is lost.

        Raises:
            GroupBroken: a worker is lost.
        """
        while not all(saving.done() for saving, _ in self._under_way):
            if gone():
                raise GroupBroken("a worker was lost while the checkpoint was written")
            time.sleep(_POLL_SECONDS)

    def settle(self, *, leads: bool, gone: Callable[[], bool]) -> None:
        """Wait for those that are on their way; the last one has to succeed.

        Raises:
            Fenced: a newer run owns the checkpoints.
            GroupBroken: a worker is lost.
            OSError: it could not be written; see `Saving.wait` for more.
        """
        self.wait(gone)
        self.look(leads=leads)
        if self._failure is not None:
            raise self._failure

    def abandon(self) -> None:
        """Give up those that are on their way: a worker that writes a part of them is lost."""
        for saving, _ in self._under_way:
            if not saving.done():
                saving.abandon()
                self._last = float("-inf")  # another one is due at once
        self._under_way = []

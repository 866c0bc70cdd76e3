"""When a checkpoint is due, and what becomes of the one that is on its way."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from orchestrator.base.errors import Fenced, OrchestratorError
from orchestrator.rundir.membership import View
from orchestrator.training.checkpoint import GivenUp, Saving
from orchestrator.training.config import EngineContext, TrainConfig
from orchestrator.training.elastic import lost_since
from orchestrator.training.group import Group, GroupBroken
from orchestrator.training.holding import Holding
from orchestrator.training.state import Position, TrainingState, describe

LEAVING_SECONDS = 20.0
"""How long a worker that leaves goes on with its parts; the run ends it a little later."""
LEFT_SECONDS = 40.0
"""How long the others wait for the parts of workers that leave."""

_POLL_SECONDS = 0.01
_TOGETHER_SECONDS = 0.02
_MANY = 2**20
_WORD_SECONDS = 3.0
_GOOD, _FAILED, _AGAIN = range(3)


class Keeping:
    """The checkpoints of one training on one worker, across all views.

    Args:
        config: of the training.
        context: where they go, and who is told.
        identity: what a checkpoint belongs to.
        fingerprint: what else the bits depend on.
        asked: how many checkpoints people have asked for so far.
        now: a monotonic clock.
    """

    def __init__(
        self,
        config: TrainConfig,
        context: EngineContext,
        identity: Mapping[str, Any],
        fingerprint: Mapping[str, Any],
        *,
        asked: Callable[[], int] = lambda: 0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config, self._context = config, context
        self._identity, self._fingerprint, self._asked, self._now = identity, fingerprint, asked, now
        self._view: View | None = None
        self._under_way: list[tuple[Saving, int]] = []
        self._of_leavers: list[Saving] = []
        self._leavers_until = 0.0
        self._stands: tuple[Position, object] | None = None
        self._owed = False
        self._failure: OSError | OrchestratorError | None = None
        self._last = now()

    def enters(self, view: View) -> None:
        """A view has begun; who leaves in it may still write parts of those that are on their way."""
        self._view = view
        if view.leaving and self._under_way:
            self._of_leavers, self._leavers_until = self._savings(), self._now() + LEFT_SECONDS

    def is_due(self) -> bool:
        """Whether so much time has passed, or one was given up, that the leader asks for one."""
        seconds = self._config.checkpoint_seconds
        if self._owed:
            return True
        if seconds is None or self._context.checkpoints is None or self._under_way:
            return False
        return self._now() - self._last >= seconds

    def stands_at(self, state: TrainingState) -> None:
        """The state is that of a durable checkpoint, or the first one."""
        self._stands, self._owed, self._failure = _place(state), False, None

    def begin(self, holding: Holding, group: Group) -> None:
        """Copy the state, which is written meanwhile; all workers of the group call this at once.

        Raises:
            Fenced: a newer run owns the checkpoints.
            GroupBroken: a worker is gone.
            NonFiniteLoss: on every worker: nobody shall go back to what is not finite.
        """
        holding.refuse_not_finite(group)
        store = self._context.checkpoints
        if store is None:
            return
        self.look(leads=group.rank == 0)
        state = holding.state
        epoch = _epoch_ended(state)
        saving = store.begin(
            state.position.samples,
            holding.checkpointed(),
            describe(state, self._identity, self._fingerprint),
            group,
            epoch=epoch,
            measures=state.history[-1].validation if epoch is not None and state.history else {},
            meanwhile=self._refuse_to_wait,
        )
        self._under_way.append((saving, self._asked()))
        self._last, self._owed, self._stands = self._now(), False, _place(state)

    def make_up(self, holding: Holding, group: Group) -> None:
        """Begin the one that is made at the end of this epoch, where a worker was lost before it was durable.

        All workers of the group call this at once.
        """
        epoch = _epoch_ended(holding.state)
        if epoch and holding.state.measuring is None and self.is_due_after(epoch):
            self._begin_unless_there(holding, group)

    def is_due_after(self, epoch: int) -> bool:
        """Whether there is one at the end of an epoch, counted from 1."""
        return epoch == self._config.epochs or epoch % self._config.checkpoint_every == 0

    def look(self, *, leads: bool) -> None:
        """Tell of those that have ended; one that failed is no reason to end a training.

        Raises:
            Fenced: a newer run owns the checkpoints.
        """
        self._doubt_leavers()
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
                if saving in self._of_leavers:
                    self._miss()
                if leads:
                    self._context.note(f"the checkpoint after {saving.samples} samples was not written: {error}")
                    self._context.tell("checkpoint_failed", samples=saving.samples, reason=str(error))

    def wait(self, group: Group) -> None:
        """Wait until all that are on their way have ended, well or not; where one worker fails, nobody waits for it.

        Raises:
            GroupBroken: a worker is lost.
        """
        while True:
            self._refuse_to_wait()
            savings = self._savings()
            # The newest one that failed here, counted from the end as -1: workers that came late know fewer of them.
            newest = max((at for at, saving in enumerate(savings, -len(savings)) if saving.failed), default=-_MANY)
            own = (int(any(not saving.done() for saving in savings)), newest)
            waiting, failed = group.all_gather(torch.tensor(own, device=group.device)).amax(0).tolist()
            if not waiting:
                return
            doomed = savings[: max(0, len(savings) + failed + 1)]
            for saving in doomed:  # the worker's own word may be what it cannot write
                if not saving.done():
                    saving.abandon()
            time.sleep(_TOGETHER_SECONDS)

    def settle(self, holding: Holding, group: Group) -> None:
        """Wait until this state is durable; all workers of the group call this at once.

        Raises:
            Fenced: a newer run owns the checkpoints.
            GroupBroken: a worker is lost.
            OSError: it could not be written; see `Saving.wait` for more.
        """
        verdict = _AGAIN if self._context.checkpoints is not None else _GOOD
        while verdict == _AGAIN:
            self._begin_unless_there(holding, group)
            self.wait(group)
            self.look(leads=group.rank == 0)
            own = _AGAIN if self._stands is None else _GOOD if self._failure is None else _FAILED
            verdict = group.agree(own)
        if verdict == _FAILED:
            raise self._failure or GivenUp("the leader could not write the last checkpoint", hint="its log says why")

    def abandon(self) -> None:
        """Give up those that are on their way: a worker that writes a part of them is lost."""
        lost = [saving for saving in self._savings() if not saving.done()]
        for saving in lost:
            saving.abandon()  # `look` tells of it
        if lost or self._failure is not None:
            self._miss()

    def leave(self) -> None:
        """Before this worker leaves: write what it owes the others, or tell them that it does not come."""
        self._wait_for_own(LEAVING_SECONDS)
        for saving in self._savings():
            if not saving.owes_nothing():
                saving.abandon()
        self._wait_for_own(_WORD_SECONDS)

    def _savings(self) -> list[Saving]:
        return [saving for saving, _ in self._under_way]

    def _wait_for_own(self, seconds: float) -> None:
        deadline = self._now() + seconds
        while not all(saving.owes_nothing() for saving in self._savings()) and self._now() < deadline:
            time.sleep(_POLL_SECONDS)

    def _begin_unless_there(self, holding: Holding, group: Group) -> None:
        """The leader knows whether there is one of this state already."""
        if self._context.checkpoints is None:
            return
        self.look(leads=group.rank == 0)
        if group.agree(int(self._stands != _place(holding.state))):
            self.begin(holding, group)

    def _miss(self) -> None:
        """The newest one does not come about: another one is due at once."""
        self._stands, self._owed = None, self._context.checkpoints is not None

    def _doubt_leavers(self) -> None:
        """Give up those whose writers have left without a word."""
        if self._of_leavers and self._now() > self._leavers_until:
            self._of_leavers = [saving for saving in self._of_leavers if not saving.done()]
            self._leavers_until = float("inf")
            for saving in self._of_leavers:
                saving.abandon()

    def _refuse_to_wait(self) -> None:
        self._doubt_leavers()
        if self._view is not None and lost_since(self._context.membership, self._view):
            raise GroupBroken("a worker was lost while the checkpoint was written")


def _place(state: TrainingState) -> tuple[Position, object]:
    return state.position, state.measuring


def _epoch_ended(state: TrainingState) -> int | None:
    """The number of complete epochs, where the state stands between two of them."""
    return None if state.position.step else state.position.epoch or None

"""Where the making of batches stands, and where it begins, for all processes that make them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils.data import get_worker_info

from orchestrator.base.errors import Conflict, UsageError

At = tuple[int, int]
"""An epoch and a step of it."""

StepsOf = Callable[[int], int]
"""From an epoch to the number of its steps."""


def loader_process() -> list[int] | None:
    """The number of this loader process and how many there are; None in a process that is none."""
    info = get_worker_info()
    return None if info is None else [info.id, info.num_workers]


class Place:
    """Where an iteration begins, told to loader processes however late they start; and where this process stands.

    What they are told changes only between iterations: one that starts when the last batch was handed out begins where
    the others began.

    Attributes:
        counted: somebody says by `advance` which batches were handed out that loader processes made.
    """

    def __init__(self) -> None:
        # Epoch, first step, and whether loader processes that nobody counts have begun there.
        self._told = torch.zeros(3, dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]
        self._now: tuple[list[int] | None, At] | None = None  # and whose: a fork takes that of its parent along
        self._resume: At | None = None
        self._finished: At | None = None
        self.counted = False

    @property
    def epoch(self) -> int:
        """The epoch that is iterated next, or now."""
        return int(self._told[0])

    def set_epoch(self, epoch: int) -> None:
        """Iterate this epoch next; see `ShardedIterable.set_epoch`."""
        if self._finished is not None and epoch == self._finished[0]:
            self._move(self._finished)
        elif epoch != self.epoch:
            self._move((epoch, 0))

    def begin(self, steps_of: StepsOf) -> At:
        """Where this process begins: at the start of the epoch where an iteration has come to its end before."""
        whose = loader_process()
        if whose is None:
            if self._now is not None and self._now[1] >= (self.epoch, steps_of(self.epoch)):
                self._told[1] = 0
            at = self._first()
        else:
            at = self._resume or self._first()
            if not self.counted:
                self._told[2] = 1
        self._resume = self._finished = None
        self.advance(*at)
        return at

    def advance(self, epoch: int, step: int) -> None:
        """This step is the next one of this process."""
        self._now = loader_process(), (epoch, step)

    def now(self) -> At:
        """The epoch and the next step of this process; before it has begun: where it will.

        Raises:
            Conflict: loader processes make the batches, and nobody counts them.
        """
        whose = loader_process()
        if self._now is not None and self._now[0] == whose:
            return self._now[1]
        if whose is None and self._told[2]:
            raise Conflict(
                "loader processes make these batches, and a plain DataLoader does not tell which it has handed out",
                hint="use torch_loader.data_loader, whose state is exact",
            )
        return self._resume or self._first()

    def load(self, state: Mapping[str, Any], steps_of: StepsOf) -> None:
        """Begin where the state stands; see `ShardedIterable.load_state_dict`."""
        (epoch, step), owner, whose = *_checked(state, steps_of), loader_process()
        if owner is not None and owner != whose:
            raise Conflict(
                f"the state is that of loader process {owner[0]} of {owner[1]}",
                hint="give it to the same one of as many, or take the state of torch_loader.data_loader",
            )
        finished = (epoch, step) if owner is None and step >= steps_of(epoch) else None
        at = (epoch, step) if finished is None else (epoch + 1, 0)
        if whose is None:
            self._move(at)
            self._finished = finished
        else:
            self._now = None
            self._resume = at if owner else (at[0], at[1] + whose[0])

    def _first(self) -> At:
        whose = loader_process()
        return self.epoch, int(self._told[1]) + (whose[0] if whose else 0)

    def _move(self, at: At) -> None:
        self._told[0], self._told[1], self._told[2] = *at, 0
        self._now = self._finished = None


def _checked(state: Mapping[str, Any], steps_of: StepsOf) -> tuple[At, list[int] | None]:
    """Where a state stands, and whose it is.

    Raises:
        UsageError: it is none.
    """
    match state:
        case {"epoch": int(epoch), "step": int(step), "loader": None | [int(), int()] as owner, "of": str()}:
            if epoch >= 0 <= step <= steps_of(epoch) + (owner[1] if owner else 0):
                return (epoch, step), owner and list(owner)
    raise UsageError(
        f"this is no state of these batches: {dict(state)}",
        hint="give what state_dict() returned, whole and unchanged",
    )

"""Enters a view: its group is formed, who holds the newest state is found, and all others get it from them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from orchestrator.base.errors import UsageError
from orchestrator.rundir.membership import View
from orchestrator.runtime.membership.protocol import Membership
from orchestrator.training.determinism import fingerprint_number
from orchestrator.training.forming import cut_off, form, leave, members_of
from orchestrator.training.group import Group
from orchestrator.training.holding import Holding
from orchestrator.training.layout.protocol import Arrival, StateLost
from orchestrator.training.state import TrainingState

_NOBODY = -1


@dataclass(frozen=True)
class Entered:
    """How a view was entered.

    Attributes:
        held: somebody held the state; else it is to be read from a checkpoint, or begins now.
        lost_steps: that somebody had made, and that nobody holds any more.
        shared: what the holder of the newest state handed over besides it.
    """

    held: bool
    lost_steps: int = 0
    shared: Mapping[str, Any] | None = None


class Joining:
    """One worker's way into each view.

    Args:
        membership: its place in the run.
        holding: what it holds; changed in place.
        store: its own key-value store; None where it never meets others.
        device: where it computes.
        fingerprint: what the bits of a run depend on.
        exact: whether all members must have the same one.
        sharded: whether one worker alone needs a process group too.
    """

    def __init__(
        self,
        membership: Membership,
        holding: Holding,
        store: Any,
        *,
        device: torch.device,
        fingerprint: Mapping[str, str | int],
        exact: bool,
        sharded: bool,
    ) -> None:
        self._membership, self._holding, self._store = membership, holding, store
        self._device, self._exact, self._sharded = device, exact, sharded
        self._fingerprint = fingerprint
        self._sharded_over: tuple[int, int] | None = None

    @contextmanager
    def group(self, view: View, waiting: Callable[[bool], None]) -> Iterator[tuple[Group, Group | None]]:
        """Form the group of a view, and leave it at the end.

        Args:
            view: this worker is a member, or leaves.
            waiting: told when this worker begins and ends to wait for others.

        Returns:
            All who take part in the hand-over, and the members; None where this worker leaves.

        Raises:
            GroupBroken: a worker is gone; the next view is to be entered.
        """
        whole = form(
            view,
            self._membership.number,
            self._store,
            device=self._device,
            leavers=bool(view.leaving) and self._holding.layout.needs_leavers,
            always=self._sharded,
            overtaken=lambda: self._membership.newest_epoch() > view.epoch,
            given_up=lambda: lost_since(self._membership, view),
        ).watched(waiting)
        group: Group | None = whole
        try:
            group = members_of(whole, len(view.members))
            yield whole, group
        except BaseException:
            for each in (whole, group):
                if each is not None:
                    cut_off(each)
            raise
        finally:
            leave(whole)

    def enter(self, view: View, whole: Group, group: Group | None, shared: Mapping[str, Any]) -> Entered:
        """Find the newest state, and hold it; all who take part call this.

        Args:
            view: the newest one.
            whole: the members, then those who leave.
            group: the members; None where this worker leaves.
            shared: what this worker would hand over besides the state.

        Raises:
            GroupBroken: a worker is gone; the next view is to be entered.
            UsageError: the workers compute on different devices, and the run is exact.
        """
        if self._holding.used and not self._holding.holds:
            self._holding.restart()  # it lost others while it began, and may be neither here nor there
        standing = self._compare(whole)
        members = len(view.members)
        arrival = Arrival(whole, members, self._holders(standing), tuple(_held(row) for row in standing))
        before = max(row[1] for row in standing)
        try:
            if before == _NOBODY:
                raise StateLost("nobody holds a state yet")
            self._holding.tensors = self._holding.layout.enter(arrival, group, self._holding.tensors)
            found = self._share(whole, shared)
        except StateLost:
            self._begin_anew(whole, group, members)
            self._remember(group)
            return Entered(held=False, lost_steps=max(0, before))
        self._remember(group)
        lost = max(0, before - self._holding.state.position.steps)
        return Entered(held=True, lost_steps=lost, shared=found)

    def begin_anew(self, group: Group) -> None:
        """Forget what was learned: first parameters on the members of a group, which all call this."""
        self._begin_anew(group, group, group.size)
        self._remember(group)

    def _begin_anew(self, whole: Group, group: Group | None, members: int) -> None:
        holding = self._holding
        if holding.used:
            holding.restart()
        holding.used = True
        fresh = Arrival(whole, members, tuple(range(whole.size)), ((0, 1),) * whole.size)
        holding.tensors = holding.layout.enter(fresh, group, holding.tensors)

    def _remember(self, group: Group | None) -> None:
        self._sharded_over = None if group is None else (group.rank, group.size)

    def _compare(self, group: Group) -> list[list[int]]:
        """Of each worker: version and steps of its state, its place when it was sharded, its device's fingerprint."""
        row = [_NOBODY, _NOBODY, _NOBODY, _NOBODY]
        state = self._holding.state_after(self._holding.layout.steps)
        if state is not None:
            row = [state.version, state.position.steps, *(self._sharded_over or (_NOBODY, _NOBODY))]
        own = torch.tensor([*row, fingerprint_number(self._fingerprint)], dtype=torch.int64, device=group.device)
        standing: list[list[int]] = group.all_gather(own).tolist()
        if self._exact and len({line[4] for line in standing}) > 1:
            raise UsageError(
                f"the workers of an exact run compute on different devices; this one: {dict(self._fingerprint)}",
                hint="ask for one kind of node, or set elastic.exact: false",
            )
        return standing

    @staticmethod
    def _holders(standing: list[list[int]]) -> tuple[int, ...]:
        most = max(row[1] for row in standing)
        return tuple(rank for rank, row in enumerate(standing) if row[1] == most != _NOBODY)

    def _share(self, group: Group, shared: Mapping[str, Any]) -> Mapping[str, Any]:
        """The newest state that belongs to the tensors, from the lowest worker that has it, to all."""
        holding = self._holding
        state = holding.state_after(holding.layout.steps)
        version = _NOBODY if state is None else state.version
        versions = group.all_gather(torch.tensor([version], device=group.device)).flatten().tolist()
        if max(versions) == _NOBODY:
            raise StateLost("nobody knows where the training stands")
        source = versions.index(max(versions))
        document = {"state": None if state is None else state.to_json(), "shared": dict(shared)}
        received = broadcast_json(group, document, source)
        holding.adopt(state if version == max(versions) and state else TrainingState.from_json(received["state"]))
        holding.used = True
        return dict(received["shared"])


def lost_since(membership: Membership, view: View) -> bool:
    """Whether a newer view says that somebody of this one is gone; a planned one waits for the end of the step."""
    if membership.newest_epoch() <= view.epoch:
        return False
    newer = membership.next_view(view.epoch)
    return newer is None or not {*view.numbers} <= {*newer.numbers, *newer.leaving}


def broadcast_json(group: Group, document: Mapping[str, Any], source: int) -> dict[str, Any]:
    """The document of worker `source`, on every worker."""
    content = json.dumps(document).encode() if group.rank == source else b""
    size = group.broadcast(torch.tensor([len(content)], device=group.device), source)
    buffer = torch.zeros(int(size.item()), dtype=torch.uint8)
    if group.rank == source:
        buffer = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    received: dict[str, Any] = json.loads(bytes(group.broadcast(buffer.to(group.device), source).cpu().numpy()))
    return received


def _held(row: list[int]) -> tuple[int, int] | None:
    return None if row[3] == _NOBODY else (row[2], row[3])

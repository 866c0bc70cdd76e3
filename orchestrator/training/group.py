"""The workers of a view as a training loop sees them: a process group over gloo or NCCL, or one process alone.

Whatever a collective raises because a peer is gone becomes `GroupBroken`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Self
from weakref import WeakSet

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import _resolve_process_group
from torch.distributed.distributed_c10d import GroupName

from orchestrator.base.errors import OrchestratorError
from orchestrator.training.traffic import Traffic

HINT = "the others go on when the next view is there"
_PATIENCE = timedelta(seconds=1)
_TIMED_OUT = "Operation timed out!"
_SIGNS = ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer", "Broken pipe")


class GroupBroken(OrchestratorError):
    """A worker of the group is gone, or a newer view has taken its place."""

    code = "group_broken"


@contextmanager
def breaking() -> Iterator[None]:
    """Turn what torch raises in a collective, when a peer is gone, into `GroupBroken`."""
    try:
        yield
    except RuntimeError as error:
        if not lost_a_peer(error):
            raise
        raise GroupBroken(f"a worker was lost: {str(error).splitlines()[0]}", hint=HINT) from error


def lost_a_peer(error: BaseException) -> bool:
    """Whether an error means that another worker of the group is gone, and says nothing against this one."""
    if isinstance(error, GroupBroken | dist.DistError):
        return True
    if isinstance(error, torch.OutOfMemoryError) or not isinstance(error, RuntimeError):
        return False
    return any(sign in str(error) for sign in _SIGNS)


class Pending:
    """A collective under way. Start them in the same order on every worker.

    Args:
        result: what it fills; not to be read before `wait`.
        work: torch's handle; None where there is nothing to wait for.
        group: the workers.
    """

    def __init__(self, result: torch.Tensor, work: dist.Work | None, group: Group) -> None:
        self.result, self._work, self._group = result, work, group
        if work is not None:
            group.under_way.add(self)

    def wait(self) -> torch.Tensor:
        """The result, complete.

        Raises:
            GroupBroken: a worker is gone.
        """
        work, self._work = self._work, None
        self._group.finish(work)
        return self.result

    def forget(self) -> None:
        """Let go of torch's handle, which keeps the group's connections open."""
        self._work = None


@dataclass(frozen=True)
class Group:
    """The workers, and the few collectives that training needs. All of them raise `GroupBroken` when a worker is gone.

    Attributes:
        rank: this worker's place among the members.
        size: W, the world size.
        device: where this worker computes.
        epoch: of the view.
        name: of torch's group; empty where a worker is alone without one.
        waiting: told when this worker begins (True) and ends (False) to wait for others.
        given_up: asked about once a second while it waits: whether a member is known to be dead.
        under_way: collectives that nobody has waited for yet.
        sockets: that connect it; of gloo.
        traffic: what this worker sent in it.
    """

    rank: int
    size: int
    device: torch.device
    epoch: int = 1
    name: str = ""
    waiting: Callable[[bool], None] = lambda waits: None
    given_up: Callable[[], bool] = lambda: False
    under_way: WeakSet[Pending] = field(default_factory=WeakSet, repr=False, compare=False)
    sockets: Mapping[int, int] = field(default_factory=dict, repr=False, compare=False)
    traffic: Traffic = field(default_factory=Traffic, repr=False, compare=False)

    @property
    def handle(self) -> dist.ProcessGroup | None:
        """Torch's group, for what needs one itself. Whoever keeps it keeps its connections open after `leave`."""
        return _resolve_process_group(GroupName(self.name)) if self.name else None

    def all_gather(self, value: torch.Tensor) -> torch.Tensor:
        """Every worker's `value` (...), stacked by rank: (W, ...)."""
        return self.start_all_gather(value).wait()

    def all_to_all(self, rows: torch.Tensor) -> torch.Tensor:
        """Send row r of `rows` (W, ...) to worker r; returns what each worker sent here, (W, ...)."""
        return self.start_all_to_all(rows).wait()

    def all_reduce(self, value: torch.Tensor) -> torch.Tensor:
        """The sum over workers, in place, in whatever order the engine adds."""
        return self.start_all_reduce(value).wait()

    def broadcast(self, value: torch.Tensor, source: int = 0) -> torch.Tensor:
        """The `value` of worker `source`, in place."""
        return self.start_broadcast(value, source).wait()

    def start_all_gather(self, value: torch.Tensor) -> Pending:
        """Begin `all_gather`; `value` must not change meanwhile."""
        if self.size == 1:
            return Pending(value.unsqueeze(0), None, self)
        self.traffic.all_gather(value.nbytes, self.size)
        gathered = value.new_empty(self.size, *value.shape)
        flat = value.contiguous().view(-1)
        with breaking():
            work = dist.all_gather_into_tensor(gathered.view(-1), flat, group=self.handle, async_op=True)
        return Pending(gathered, work, self)

    def start_all_to_all(self, rows: torch.Tensor) -> Pending:
        """Begin `all_to_all`; `rows` must not change meanwhile."""
        if self.size == 1:
            return Pending(rows, None, self)
        self.traffic.in_parts(rows.nbytes, self.size)
        received = torch.empty_like(rows)
        with breaking():
            work = dist.all_to_all_single(received, rows, group=self.handle, async_op=True)
        return Pending(received, work, self)

    def start_all_reduce(self, value: torch.Tensor) -> Pending:
        """Begin `all_reduce`, in place."""
        if self.size == 1:
            return Pending(value, None, self)
        self.traffic.all_reduce(value.nbytes, self.size)
        with breaking():
            return Pending(value, dist.all_reduce(value, group=self.handle, async_op=True), self)

    def start_broadcast(self, value: torch.Tensor, source: int = 0) -> Pending:
        """Begin `broadcast`, in place."""
        if self.size == 1:
            return Pending(value, None, self)
        self.traffic.in_parts(value.nbytes, self.size)
        with breaking():
            return Pending(value, dist.broadcast(value, group_src=source, group=self.handle, async_op=True), self)

    def exchange(
        self, rows: torch.Tensor, sends: tuple[int, ...] | list[int], receives: tuple[int, ...] | list[int]
    ) -> torch.Tensor:
        """Send uneven parts: of `rows` (sum of `sends`, ...) the first `sends[0]` rows to worker 0, and so on.

        Returns:
            (sum of `receives`, ...): `receives[r]` rows from each worker r, in their order.
        """
        if self.size == 1:
            return rows
        self.traffic.directly(rows[sends[self.rank] :].nbytes)
        received = rows.new_empty(sum(receives), *rows.shape[1:])
        with breaking():
            work = dist.all_to_all_single(
                received, rows.contiguous(), list(receives), list(sends), group=self.handle, async_op=True
            )
        return Pending(received, work, self).wait()

    def agree(self, number: int) -> int:
        """Worker 0's `number`, on every worker."""
        return int(self.broadcast(torch.tensor([number], device=self.device)).item())

    def any(self, flag: bool) -> bool:
        """Whether any worker says yes."""
        return bool(self.all_gather(torch.tensor([flag], dtype=torch.uint8, device=self.device)).any().item())

    def finish(self, work: dist.Work | None) -> None:
        """Wait for a collective.

        Raises:
            GroupBroken: a worker is gone.
        """
        if work is None:
            return
        self.waiting(True)
        try:
            with breaking():
                self._wait(work)
        finally:
            self.waiting(False)

    def _wait(self, work: dist.Work) -> None:
        if self.device.type == "cuda":  # puts the wait into the stream; the host goes on
            work.wait()
            return
        while True:
            try:
                work.wait(_PATIENCE)
                return
            except RuntimeError as error:
                if str(error) != _TIMED_OUT:
                    raise
                if self.given_up():
                    raise GroupBroken("a worker of the group is dead", hint=HINT) from error

    def watched(self, waiting: Callable[[bool], None]) -> Self:
        """The same group; `waiting` is told."""
        return replace(self, waiting=waiting)


def alone(device: torch.device | None = None) -> Group:
    """One process without a process group: a trial, or a run with one worker."""
    return Group(0, 1, device or default_device())


def default_device() -> torch.device:
    """This worker's GPU, the first that it is shown; its CPU where it is shown none."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")

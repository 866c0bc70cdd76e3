"""The workers of a view as a training loop sees them: a process group over gloo or NCCL, or one process alone.

A group is formed for a view: its members meet at the key-value store of the first one. Whatever a collective raises
because a peer is gone becomes `GroupBroken`.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Self
from weakref import WeakSet

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore, PrefixStore, Store, TCPStore, _resolve_process_group
from torch.distributed.distributed_c10d import GroupName

from orchestrator.base.errors import OrchestratorError
from orchestrator.rundir.membership import Member, View
from orchestrator.training.connections import connections, cut, listening_port, open_sockets
from orchestrator.training.traffic import Traffic

_MEET_SECONDS = 10.0
_STORE_TIMEOUT = timedelta(seconds=_MEET_SECONDS)
_COLLECTIVE_TIMEOUT = timedelta(days=1)  # who hangs is found by the coordinator, not by a clock in here
_POLL_SECONDS = 0.002
_MOST_WAITING = 1024
_HINT = "the others go on when the next view is there"

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
        raise GroupBroken(f"a worker was lost: {str(error).splitlines()[0]}", hint=_HINT) from error


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
                    raise GroupBroken("a worker of the group is dead", hint=_HINT) from error

    def watched(self, waiting: Callable[[bool], None]) -> Self:
        """The same group; `waiting` is told."""
        return replace(self, waiting=waiting)


def alone(device: torch.device | None = None) -> Group:
    """One process without a process group: a trial, or a run with one worker."""
    return Group(0, 1, device or default_device())


def default_device() -> torch.device:
    """This worker's GPU, the first that it is shown; its CPU where it is shown none."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def own_store(host: str = "127.0.0.1") -> TCPStore:
    """A key-value store of this worker, on any free port (`.port`), where groups that it leads will meet.

    It listens at `host` alone: torch itself would listen on every interface, and asks nobody who he is.
    """
    listener = socket.create_server((host, 0), backlog=_MOST_WAITING)
    port = listener.getsockname()[1]
    return TCPStore(
        host,
        port,
        is_master=True,
        wait_for_workers=False,
        timeout=_STORE_TIMEOUT,
        master_listen_fd=listener.detach(),
    )


def form(
    view: View,
    number: int,
    store: TCPStore | None,
    *,
    device: torch.device | None = None,
    leavers: bool = False,
    always: bool = False,
    overtaken: Callable[[], bool] = lambda: False,
    given_up: Callable[[], bool] = lambda: False,
) -> Group:
    """Form the group of a view; all who take part call this with equal arguments, and `leave` it at the end.

    Args:
        view: who takes part; a member's rank is its place.
        number: this worker.
        store: this worker's own; may be None where it never leads others.
        device: where it computes; None: its GPU, else its CPU.
        leavers: those who leave take part too, after the members.
        always: form a process group for one worker as well.
        overtaken: whether there is a newer view; asked while waiting for the others to come.
        given_up: whether a member is known to be dead; see `Group`.

    Raises:
        GroupBroken: a member did not come.
    """
    numbers = (*view.numbers, *view.leaving) if leavers else view.numbers
    rank, where = numbers.index(number), device or default_device()
    if where.type == "cuda":
        torch.cuda.set_device(where)
    if len(numbers) == 1 and not always:
        return Group(rank, 1, where, view.epoch)
    leader = view.members[0]
    if _is_loopback(leader.host):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    with breaking(), _undone_when_it_fails():
        meeting = _meeting(leader, number, store, alone=len(numbers) == 1)
        place = PrefixStore(f"view-{view.epoch}{'-all' if leavers else ''}", meeting)
        if len(numbers) > 1:
            _meet(place, numbers, number, overtaken)
        before = open_sockets()
        dist.init_process_group(
            "nccl" if where.type == "cuda" else "gloo",
            store=place,
            rank=rank,
            world_size=len(numbers),
            timeout=_STORE_TIMEOUT,
        )
        _world()._get_backend(where)._set_default_timeout(_COLLECTIVE_TIMEOUT)
        group = Group(rank, len(numbers), where, view.epoch, _world().group_name, given_up=given_up)
        return _with_sockets(group, before)


def members_of(group: Group, count: int) -> Group | None:
    """The first workers of a group as a group of their own; None on the others. All workers of the group call this."""
    if count == group.size:
        return group
    before = open_sockets()
    with breaking():
        handle = dist.new_group(list(range(count)), timeout=_COLLECTIVE_TIMEOUT)
        if not isinstance(handle, dist.ProcessGroup):
            return None
        return _with_sockets(replace(group, size=count, name=handle.group_name, sockets={}), before)


def cut_off(group: Group) -> None:
    """End what is under way in a group that broke, here and on the others: nothing more comes of it."""
    cut(group.sockets)


def leave(group: Group) -> None:
    """Leave a group that was formed, broken or not: its connections close when nobody holds on to it any more."""
    for pending in list(group.under_way):
        pending.forget()
    if group.name and dist.is_initialized():
        dist.destroy_process_group()


def _with_sockets(group: Group, before: Mapping[int, int]) -> Group:
    """The group knows which of the sockets that are new are its own."""
    if group.device.type == "cuda" or group.size == 1:
        return group
    now = open_sockets()
    ports = group.all_gather(torch.tensor([listening_port(now, before)])).flatten().tolist()
    return replace(group, sockets=connections(now, before, {port for port in ports if port}))


def _world() -> dist.ProcessGroup:
    world = dist.group.WORLD
    assert world is not None
    return world


def _meeting(leader: Member, number: int, store: TCPStore | None, *, alone: bool) -> Store:
    if alone:
        return HashStore()
    if leader.number == number:
        assert store is not None, "who leads others has a store of its own"
        return store
    try:  # torch would go on trying where nobody listens any more
        socket.create_connection((leader.host, leader.port), timeout=_MEET_SECONDS).close()
    except OSError as error:
        raise GroupBroken(f"worker {leader.number} does not answer: {error}", hint=_HINT) from error
    return TCPStore(leader.host, leader.port, is_master=False, timeout=_STORE_TIMEOUT)


def _meet(place: Store, numbers: tuple[int, ...], number: int, overtaken: Callable[[], bool]) -> None:
    """Wait until all are there. One verdict holds for all: to form the group, or to give it up.

    Raises:
        GroupBroken: it was given up.
    """
    place.set(f"here/{number}", "1")
    here = [f"here/{each}" for each in numbers]
    deadline = time.monotonic() + 60 * _MEET_SECONDS
    while not place.check(["verdict"]):
        if place.check(here):
            place.compare_set("verdict", "", "form")
        elif overtaken() or time.monotonic() > deadline:
            place.compare_set("verdict", "", "give up")
        else:
            time.sleep(_POLL_SECONDS)
    if place.get("verdict") != b"form":
        raise GroupBroken("the group was given up before all its members were there", hint=_HINT)


@contextmanager
def _undone_when_it_fails() -> Iterator[None]:
    try:
        yield
    except BaseException:
        if dist.is_initialized():
            dist.destroy_process_group()
        raise


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"

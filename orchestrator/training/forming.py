"""Forms the group of a view, and leaves it: its members meet at the key-value store of the first one."""

from __future__ import annotations

import ipaddress
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore, PrefixStore, Store, TCPStore

from orchestrator.rundir.membership import Member, View
from orchestrator.training.connections import connections, cut, listening_port, open_sockets
from orchestrator.training.group import HINT, Group, GroupBroken, breaking, default_device

_MEET_SECONDS = 10.0
_STORE_TIMEOUT = timedelta(seconds=_MEET_SECONDS)
_COLLECTIVE_TIMEOUT = timedelta(days=1)  # who hangs is found by the coordinator, not by a clock in here
_POLL_SECONDS = 0.002
_MOST_WAITING = 1024


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
        raise GroupBroken(f"worker {leader.number} does not answer: {error}", hint=HINT) from error
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
        raise GroupBroken("the group was given up before all its members were there", hint=HINT)


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

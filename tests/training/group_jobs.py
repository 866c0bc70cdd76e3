"""What processes of the group tests do; each job is given its number, all members and its own store."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch._C._distributed_c10d import TCPStore

from orchestrator.rundir.membership import Member, View
from orchestrator.training.forming import cut_off, form, leave, members_of, own_store
from orchestrator.training.group import GroupBroken

CPU = torch.device("cpu")
Members = tuple[Member, ...]
Job = Callable[[int, Members, TCPStore], Any]


def start(job: Job, number: int, pipe: Connection) -> None:
    """Meet the others, do the job, say what came out."""
    store = own_store()
    pipe.send(Member(number, "127.0.0.1", store.port, os.getpid()))
    pipe.send(job(number, pipe.recv(), store))
    os._exit(0)


def exchange(number: int, members: Members, store: TCPStore) -> list[Any]:
    found = []
    for epoch in (1, 2):
        group = form(View(epoch, members), number, store, device=CPU)
        found.append(
            [
                group.all_gather(torch.tensor([number])).flatten().tolist(),
                group.all_to_all(torch.arange(3) + 10 * number).tolist(),
                group.broadcast(torch.tensor([number]), 2).item(),
                group.exchange(torch.arange(6), [1, 2, 3], [number + 1] * 3).tolist(),
                group.any(number == 1),
                group.traffic.sent,
            ]
        )
        leave(group)
    return found


def with_leavers(number: int, members: Members, store: TCPStore) -> Any:
    view = View(1, members[1:], leaving=(0,))
    whole = form(view, number, store, device=CPU, leavers=True)
    group = members_of(whole, 2)
    found = None if group is None else group.all_gather(torch.tensor([number])).flatten().tolist()
    leave(whole)
    return whole.rank, found


def lose_one(number: int, members: Members, store: TCPStore) -> Any:
    group = form(View(1, members), number, store, device=CPU)
    if number == 1:
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        group.all_gather(torch.zeros(3))
    except GroupBroken as error:
        reason = str(error)
    begun = time.monotonic()
    before = _sockets()
    leave(group)
    del group
    closed = before - _sockets()
    again = form(View(2, (members[0], members[2])), number, store, device=CPU)
    return reason, closed > 0, again.all_gather(torch.tensor([number])).flatten().tolist(), time.monotonic() - begun


def give_up_on_one(number: int, members: Members, store: TCPStore) -> Any:
    """Worker 1 hangs; its connections stay open. Worker 0 knows that it is dead, and goes."""
    group = form(View(1, members), number, store, device=CPU, given_up=lambda: number == 0)
    if number == 1:
        time.sleep(6)
        return None
    begun = time.monotonic()
    late = group.start_all_gather(torch.zeros(3))
    try:
        group.all_gather(torch.zeros(3))
    except GroupBroken as error:
        reason = str(error)
    cut_off(group)
    leave(group)
    del group, late
    return reason, time.monotonic() - begun


def come_too_late(number: int, members: Members, store: TCPStore) -> Any:
    """The last one never comes to the first view: a newer one is there."""
    if number == 2:
        group = form(View(2, members), number, store, device=CPU)
        return group.size
    begun = time.monotonic()
    try:
        form(View(1, members), number, store, device=CPU, overtaken=lambda: time.monotonic() > begun + 0.2)
    except GroupBroken as error:
        return str(error), form(View(2, members), number, store, device=CPU).size
    return None


def _sockets() -> int:
    links = (os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd") if _is_open(name))
    return sum(link.startswith("socket") for link in links)


def _is_open(name: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{name}")

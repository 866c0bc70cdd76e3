"""Forming the group of a view, what it exchanges, and what it says when a worker of it is lost."""

from __future__ import annotations

import os
import sys
from multiprocessing import forkserver, get_context
from pathlib import Path
from typing import Any

import group_jobs
import pytest
import torch

from orchestrator.rundir.membership import Member, View
from orchestrator.training.forming import form, own_store
from orchestrator.training.group import GroupBroken, alone, breaking, lost_a_peer


def together(count: int, job: group_jobs.Job) -> list[Any]:
    """What a job returns in each of so many processes; None where one is killed."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["elastic_worker", "group_jobs"])
    with pytest.MonkeyPatch.context() as patch:  # the server of Python 3.11 takes no sys.path along
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        patch.setenv("OMP_NUM_THREADS", "1")
        forkserver.ensure_running()
    pairs = [context.Pipe() for _ in range(count)]
    processes = [
        context.Process(target=group_jobs.start, args=(job, number, theirs), daemon=True)
        for number, (_, theirs) in enumerate(pairs)
    ]
    try:
        for process, (_, theirs) in zip(processes, pairs, strict=True):
            process.start()
            theirs.close()
        members = tuple(ours.recv() for ours, _ in pairs)
        for ours, _ in pairs:
            ours.send(members)
        return [_received(ours) for ours, _ in pairs]
    finally:
        for process in processes:
            process.kill()
            process.join()


def _received(pipe: Any) -> Any:
    assert pipe.poll(60), "a worker hangs"
    try:
        return pipe.recv()
    except (EOFError, ConnectionResetError):
        return None


def test_every_collective_gives_each_worker_its_part_in_one_view_after_another() -> None:
    found = together(3, group_jobs.exchange)
    for number, views in enumerate(found):
        parts = list(range((0, 1, 3)[number], (1, 3, 6)[number])) * 3
        # a port when it was formed, a number, two of three rows, two thirds of a number, rows for others, a flag
        sent = 2 * 8 + 2 * 8 + 2 * 8 + 2 * 8 // 3 + 8 * (6 - (number + 1)) + 2 * 1
        assert views == [[[0, 1, 2], [number, number + 10, number + 20], 2, parts, True, sent]] * 2


def test_those_who_leave_take_part_in_a_hand_over_after_the_members() -> None:
    assert together(3, group_jobs.with_leavers) == [(2, None), (0, [1, 2]), (1, [1, 2])]


def test_a_killed_worker_breaks_the_group_and_the_others_form_the_next_one_at_once() -> None:
    first, killed, last = together(3, group_jobs.lose_one)
    assert killed is None
    for reason, closed, members, seconds in (first, last):
        assert "a worker was lost" in reason
        assert closed
        assert members == [0, 2]
        assert seconds < 5


def test_a_group_with_a_worker_that_hangs_can_be_cut_and_left() -> None:
    (reason, seconds), _ = together(2, group_jobs.give_up_on_one)
    assert "is dead" in reason
    assert seconds < 4


def test_a_view_that_is_overtaken_is_given_up_by_all_who_wait() -> None:
    first, second, late = together(3, group_jobs.come_too_late)
    assert late == 3
    assert [size for _, size in (first, second)] == [3, 3]
    assert all("given up" in reason for reason, _ in (first, second))


def test_a_leader_that_does_not_answer_breaks_the_group_at_once() -> None:
    dead = Member(0, "127.0.0.1", 1, 0)
    with pytest.raises(GroupBroken, match="worker 0 does not answer"):
        form(View(1, (dead, Member(1, "127.0.0.1", 2, 0))), 1, None, device=torch.device("cpu"))


def test_one_worker_alone_needs_nobody() -> None:
    group = alone(torch.device("cpu"))
    value = torch.arange(3)
    assert group.all_gather(value).tolist() == [[0, 1, 2]]
    assert group.agree(5) == 5
    assert group.start_all_reduce(value).wait() is value


def test_only_what_a_lost_peer_causes_becomes_a_broken_group() -> None:
    with pytest.raises(RuntimeError, match="shape"), breaking():
        raise RuntimeError("a shape is wrong")
    with pytest.raises(GroupBroken), breaking():
        raise RuntimeError("[gloo/transport/tcp/pair.cc:1] Connection closed by peer [127.0.0.1]:1")
    assert not lost_a_peer(torch.OutOfMemoryError("NCCL has no memory"))


def test_a_worker_s_store_listens_at_its_host_alone() -> None:
    store = own_store("127.0.0.1")
    port = f":{store.port:04X}"
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()]
    assert [row[1] for row in rows if row[1].endswith(port) and row[3] == "0A"] == [f"0100007F{port}"]

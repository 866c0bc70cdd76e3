"""Agents' seats and workers' links over real sockets: who coordinates, and what a worker sees."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import socket
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from orchestrator.rundir.events import EventWriter
from orchestrator.rundir.layout import JobDirectory, RunDirectory
from orchestrator.rundir.membership import Member, View, membership_folder, newest_view, publish_view
from orchestrator.runtime.membership import events as e
from orchestrator.runtime.membership import talk
from orchestrator.runtime.membership.link import Link
from orchestrator.runtime.membership.note import Note
from orchestrator.runtime.membership.seat import Seat
from orchestrator.runtime.membership.terms import Term, newest_term

PATIENCE = 20.0
QUICK = {"lost_after": 1.0, "cut_within": 0.3, "settle_within": 0.5, "broken_within": 0.2, "join_within": 0.3}


@dataclass
class Net:
    """A run in one process: seats are turned one after another, workers are links without a training."""

    run: RunDirectory
    policy: e.Policy
    seats: dict[int, Seat] = field(default_factory=dict)
    links: dict[int, Link] = field(default_factory=dict)
    published: list[View] = field(default_factory=list)
    said: dict[int, list[e.Instruction]] = field(default_factory=dict)

    def agent(self, index: int, room: int) -> Seat:
        self.seats[index] = Seat(self.run, index, policy=self.policy, room=room, say=lambda line: None)
        self.said[index] = []
        return self.seats[index]

    def turn(self) -> None:
        for index, seat in list(self.seats.items()):
            for instruction in seat.turn(0.005):
                self.said[index].append(instruction)
                self.obey(seat, instruction)

    def obey(self, seat: Seat, instruction: e.Instruction) -> None:
        match instruction:
            case e.Publish():
                self.published.append(instruction.view)
            case e.StartWorker():
                self.links[instruction.number] = link = Link(self.run, instruction.number)
                seat.tell(e.WorkerStarted(instruction.number))
                link.ready(5000 + instruction.number)
            case e.EndWorker():
                self.kill(instruction.number)

    def kill(self, number: int) -> None:
        """A worker dies; its agent notices."""
        self.links.pop(number).close()
        self.seats[e.agent_of(number)].tell(e.WorkerGone(number, "was ended by SIGKILL"))

    def take(self) -> None:
        """Training threads take the newest view; who leaves or has no place ends."""
        for number, link in list(self.links.items()):
            note = link._note
            concerned = note.view is not None and number in (*note.view.numbers, *note.view.leaving)
            if link.newest_epoch() > note.place.epoch and (concerned or link._was_member):
                view = link.next_view(link._note.place.epoch)
                if view is None or number not in view.numbers:
                    self.links.pop(number).close()
                    self.seats[e.agent_of(number)].tell(e.WorkerDone(number, "left"))

    def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < deadline, [view.numbers for view in self.published]
            self.turn()
            self.take()

    def settled_on(self, *numbers: int) -> bool:
        """Whether these and nobody else have taken the newest view."""
        view = newest_view(self.run)
        return (
            view is not None
            and view.numbers == numbers
            and all(n in self.links and self.links[n]._note.place.epoch == view.epoch for n in numbers)
        )

    def crash(self, agent: int) -> None:
        """An agent's process ends: its connections break, its workers die."""
        self.seats.pop(agent).close()
        for number in [n for n in self.links if e.agent_of(n) == agent]:
            self.links.pop(number).close()


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Callable[..., Net]]:
    made: list[Net] = []

    def make(*rooms: int, wanted: int, **rules: float) -> Net:
        run = JobDirectory.under(tmp_path, "job-a").run("job-a-r1")
        run.create()
        made.append(Net(run, e.Policy(wanted=wanted, **(QUICK | rules))))  # type: ignore[arg-type]
        for index, room in enumerate(rooms):
            made[0].agent(index, room)
        return made[0]

    yield make
    for one in made:
        for link in one.links.values():
            link.close()
        for seat in one.seats.values():
            seat.close()


def test_workers_of_one_agent_find_each_other_in_a_view(net: Callable[..., Net]) -> None:
    run = net(3, wanted=3)
    run.until(lambda: run.settled_on(0, 1, 2))
    member = run.published[0].members[1]
    assert (member.number, member.host, member.port, member.pid) == (1, "127.0.0.1", 5001, os.getpid())
    assert newest_view(run.run) == run.published[0]


def test_a_wish_resizes_in_both_directions(net: Callable[..., Net]) -> None:
    run = net(4, wanted=4)
    run.until(lambda: run.settled_on(0, 1, 2, 3))
    run.seats[0].tell(e.Wanted(2))
    run.until(lambda: run.settled_on(0, 1) and sorted(run.links) == [0, 1])
    run.seats[0].tell(e.Wanted(4))
    run.until(lambda: run.settled_on(0, 1, 4, 5))
    assert [view.epoch for view in run.published] == list(range(1, len(run.published) + 1))


def test_a_killed_worker_is_left_out_and_replaced(net: Callable[..., Net]) -> None:
    run = net(3, wanted=3)
    run.until(lambda: run.settled_on(0, 1, 2))
    run.kill(0)
    run.until(lambda: run.settled_on(1, 2, 3))
    assert run.published[1].lost == (0,)


def test_a_worker_that_lost_its_connection_finds_the_hub_again(net: Callable[..., Net]) -> None:
    run = net(2, wanted=2, cut_within=5.0)
    run.until(lambda: run.settled_on(0, 1))
    run.seats[0]._role._hub.drop_all()  # type: ignore[union-attr]
    run.seats[0].tell(e.Wanted(1))
    run.until(lambda: run.settled_on(0))
    assert run.published[-1].lost == ()


def test_agents_come_back_to_a_coordinator_whose_connections_broke(net: Callable[..., Net]) -> None:
    run = net(1, 1, wanted=2, cut_within=5.0)
    run.until(lambda: run.settled_on(0, 1000))
    run.seats[0]._role._hub.drop_all()  # type: ignore[union-attr]
    run.kill(1000)
    run.until(lambda: run.settled_on(0, 1001))
    assert newest_term(run.run).number == 1  # type: ignore[union-attr]


def test_a_broken_group_gets_its_next_view(net: Callable[..., Net]) -> None:
    run = net(2, wanted=2)
    run.until(lambda: run.settled_on(0, 1))
    run.links[1].broken(1, "connection closed by peer")
    run.until(lambda: len(run.published) == 2 and run.settled_on(0, 1))


def test_several_agents_share_one_run(net: Callable[..., Net]) -> None:
    run = net(1, 2, 1, wanted=4)
    run.until(lambda: run.settled_on(0, 1000, 1001, 2000))
    assert [seat.coordinates for seat in run.seats.values()] == [True, False, False]
    run.kill(1000)
    run.until(lambda: run.settled_on(0, 1001, 1002, 2000))


def test_a_late_agent_brings_room(net: Callable[..., Net]) -> None:
    run = net(2, wanted=4, start_within=0.2)
    run.until(lambda: run.settled_on(0, 1))
    run.agent(1, 2)
    run.until(lambda: run.settled_on(0, 1, 1000, 1001))


@pytest.mark.parametrize("victim", [0, 1, 2])
def test_a_run_of_three_agents_survives_the_loss_of_any(net: Callable[..., Net], victim: int) -> None:
    run = net(1, 1, 1, wanted=3)
    run.until(lambda: run.settled_on(0, 1000, 2000))
    run.crash(victim)
    run.until(lambda: run.settled_on(*(n for n in (0, 1000, 2000) if n != victim * 1000)))
    assert sum(seat.coordinates for seat in run.seats.values()) == 1
    assert run.seats[1 if victim == 0 else 0].coordinates, "the lowest that is left"


def test_a_run_of_three_agents_survives_the_loss_of_two_one_after_the_other(net: Callable[..., Net]) -> None:
    run = net(1, 1, 1, wanted=3)
    run.until(lambda: run.settled_on(0, 1000, 2000))
    run.crash(0)
    run.until(lambda: run.settled_on(1000, 2000))
    run.crash(2)
    run.until(lambda: run.settled_on(1000))


def test_the_successor_goes_on_counting_epochs_and_numbers(net: Callable[..., Net]) -> None:
    run = net(1, 2, wanted=2)
    run.until(lambda: run.settled_on(0, 1000))
    run.seats[0].tell(e.Wanted(3))
    run.seats[1].tell(e.Wanted(3))
    run.until(lambda: run.settled_on(0, 1000, 1001))
    run.crash(0)
    run.until(lambda: run.settled_on(1000, 1001))
    run.kill(1001)
    run.until(lambda: run.settled_on(1000, 1002))
    assert newest_term(run.run).number == 2  # type: ignore[union-attr]


def test_a_coordinator_that_another_has_replaced_follows_it(net: Callable[..., Net]) -> None:
    run = net(1, 1, wanted=2)
    run.until(lambda: run.settled_on(0, 1000))
    asleep = run.seats.pop(0)
    run.until(lambda: run.seats[1].coordinates)
    run.seats[0] = asleep
    run.until(lambda: not run.seats[0].coordinates)
    run.until(lambda: run.settled_on(0, 1000))


def test_a_view_that_somebody_else_wrote_is_never_overwritten(net: Callable[..., Net]) -> None:
    run = net(2, wanted=2)
    run.until(lambda: run.settled_on(0, 1))
    foreign = View(2, run.published[0].members, cause="lost")
    assert publish_view(run.run, foreign)
    run.kill(1)
    run.until(lambda: run.settled_on(0, 2))
    assert [view.epoch for view in run.published][:3] == [1, 2, 3]


def test_a_run_directory_that_is_away_for_a_moment_ends_nobody(net: Callable[..., Net]) -> None:
    run = net(2, 1, wanted=3)
    run.until(lambda: run.settled_on(0, 1, 1000))
    folder = membership_folder(run.run)
    away = folder.rename(folder.with_name("away"))
    folder.touch()
    run.kill(1)
    for _ in range(100):
        run.turn()
    assert len(run.published) == 1, "nobody acts on a view that is not written down"
    folder.unlink()
    away.rename(folder)
    run.until(lambda: run.settled_on(0, 2, 1000))


def test_a_view_that_a_dead_coordinator_could_not_tell_of_is_told_by_the_next(net: Callable[..., Net]) -> None:
    run = net(wanted=1)
    assert publish_view(run.run, View(1, (Member(0, "127.0.0.1", 1, 1),), cause="start"))
    run.agent(1, 1)
    run.until(lambda: [view.epoch for view in run.published[:1]] == [1])


def test_a_worker_whose_talk_fails_talks_again(net: Callable[..., Net], monkeypatch: pytest.MonkeyPatch) -> None:
    run = net(1, wanted=1)
    fails = iter([True, True])

    def damaged(directory: RunDirectory) -> Term | None:
        if next(fails, False):
            raise TypeError("a term that says something else")
        return newest_term(directory)

    monkeypatch.setattr(talk, "newest_term", damaged)
    run.until(lambda: run.settled_on(0))
    assert next(fails, None) is None


def test_a_note_waits_for_descriptors_of_any_number() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    reader, writer = os.pipe()
    note = Note()
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
        high = fcntl.fcntl(reader, fcntl.F_DUPFD, 1024)
        os.write(writer, b"x")
        note.sleep(10.0, high)
        os.close(high)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        os.close(reader)
        os.close(writer)
        note.destroy()


def test_all_agents_learn_of_the_end(net: Callable[..., Net]) -> None:
    run = net(1, 1, wanted=2)
    run.until(lambda: run.settled_on(0, 1000))
    for number in (0, 1000):
        run.links.pop(number).close()
        run.seats[e.agent_of(number)].tell(e.WorkerDone(number, "succeeded"))
    run.until(lambda: all(any(isinstance(i, e.EndRun) for i in said) for said in run.said.values()))


@pytest.mark.parametrize(("outcome", "failure"), [("succeeded", None), ("failed", "data")])
def test_nobody_takes_over_a_run_that_has_finished(net: Callable[..., Net], outcome: Any, failure: Any) -> None:
    run = net(1, 1, wanted=2)
    run.until(lambda: run.settled_on(0, 1000))
    EventWriter(run.run, "agent-0", 1).append("finished", outcome=outcome, message="as it was", failure_class=failure)
    run.crash(0)
    run.until(lambda: e.EndRun(outcome, "as it was", failure) in run.said[1])
    assert not run.seats[1].coordinates


def test_a_worker_that_is_told_to_go_before_any_view_gets_none(net: Callable[..., Net]) -> None:
    run = net(1, wanted=2)
    run.until(lambda: 0 in run.links)
    run.seats[0].tell(e.Stopping())
    run.until(lambda: run.links[0]._note.released)
    assert run.links[0].next_view(0) is None


def test_only_the_owner_may_read_the_secret(net: Callable[..., Net]) -> None:
    run = net(1, wanted=1)
    mode = (run.run.path / "membership" / "secret").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


@pytest.mark.parametrize(
    "line",
    [
        b'{"kind":"hello","role":"agent","index":7,"proof":"00","nonce":"x","process":{}}\n',
        b'{"kind":"word","word":{"word":"WorkerGone","number":0,"why":"","failure_class":"x"}}\n',
        b"GET / HTTP/1.1\r\n",
        b"[" * 3000 + b"\n",
        b"x" * 5000,
    ],
)
def test_strangers_are_cut_off_and_change_nothing(net: Callable[..., Net], line: bytes) -> None:
    run = net(2, wanted=2)
    run.until(lambda: run.settled_on(0, 1))
    term = newest_term(run.run)
    assert term is not None
    with socket.create_connection((term.host, term.port)) as stranger:
        stranger.sendall(line)
        stranger.setblocking(False)
        run.until(lambda: _is_cut_off(stranger))
    assert run.settled_on(0, 1)


def test_a_stranger_learns_nothing_but_a_challenge(net: Callable[..., Net]) -> None:
    run = net(1, wanted=1)
    run.until(lambda: run.settled_on(0))
    term = newest_term(run.run)
    assert term is not None
    with socket.create_connection((term.host, term.port)) as stranger:
        run.turn()
        assert json.loads(stranger.makefile().readline()).keys() == {"kind", "nonce"}


def _is_cut_off(sock: socket.socket) -> bool:
    try:
        while sock.recv(4096):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    return True

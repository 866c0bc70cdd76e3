"""An allocation on a Ray cluster: which parts it begins with, which come and go, and when it is over."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from orchestrator.onray.cluster import Reserved
from orchestrator.onray.fitting import Sight, Word, stranded, to_bring, to_let_go, with_their_nodes, word_before
from orchestrator.onray.groups import Bundle, Group, ask_for, draining, nodes_there, resources_of
from orchestrator.onray.parts import Hosted
from orchestrator.rundir.allocations import AllocationFiles, run_has_finished
from orchestrator.rundir.control import read_control
from orchestrator.rundir.events import EventWriter
from orchestrator.rundir.grant import Grant
from orchestrator.rundir.launch import Launch
from orchestrator.rundir.membership import newest_view
from orchestrator.rundir.rayjob import RayJob, write_draining
from orchestrator.runtime.logs import say
from orchestrator.runtime.membership.events import agent_of
from orchestrator.runtime.placing import Part

_LOOK_SECONDS = 1.0
"""Between two looks at the run's files, which may lie far away, and at the cluster; what becomes of parts is seen at
once, and followed by a look."""
_OTHERS_SECONDS = 60.0
"""How long agents may take to end once the run is over."""


class Allocation:
    """What one driver has of a Ray cluster.

    Args:
        files: of the allocation.
        job: what was written down for it.
        launch: what runs.
        address: of Ray's control store.
    """

    def __init__(self, files: AllocationFiles, job: RayJob, launch: Launch, address: str) -> None:
        self._files = files
        self._job = job
        self._launch = launch
        self._address = address
        self._each = resources_of(launch, job.memory)
        self._where = job.placement
        self._born = time.monotonic()
        self._sight = Sight()
        self._looked = float("-inf")
        self._groups: list[Group] = []
        self._parts: list[Hosted] = []
        self._begun = False
        self._finished = False
        self._called_off = ""
        self._over_at: float | None = None
        self._told = False
        self._told_draining: Mapping[str, float] = {}

    @property
    def _resizable(self) -> bool:
        """Whether workers come and go one by one."""
        return self._launch.elastic and self._launch.min_workers < self._launch.max_workers

    def begin(self) -> None:
        """Ask for all that the run begins with."""
        where = ", ".join(f"{node}: {workers}" for node, workers in self._where)
        say(f"{self._files.allocation}: asking Ray for {where} workers of {self._each}")

    def step(self) -> int | None:
        """Do what can be done without waiting; the exit code once all is over."""
        moved = False
        for hosted in self._parts if self._begun else ():
            moved |= hosted.step()
        if moved or time.monotonic() > self._looked + _LOOK_SECONDS:
            self._look()
        if not self._begun:
            return self._try_to_begin()
        if self._finished:
            return self._wind_down()
        if all(hosted.state == "gone" for hosted in self._parts):
            return self._nothing_left()
        return None

    def _nothing_left(self) -> int:
        """All parts are over, and none has said how the run ended: with their nodes, or nobody knows how."""
        if lost := with_their_nodes(self._parts, self._sight):
            nodes = f"{', '.join(lost)} {'was' if len(lost) == 1 else 'were'} lost"
            return self._speak(Word("failed", f"{nodes}, and nothing of the run was left elsewhere", "infrastructure"))
        say("all parts are over, and none has said how the run ended")
        return 1

    def end(self) -> None:
        """End what is left, and give everything back."""
        for hosted in self._parts:
            hosted.end("the driver ends")
        for group in self._groups:
            with contextlib.suppress(Exception):  # all of Ray may be lost
                group.remove()

    def _read_placement(self) -> None:
        """Where the workers shall lie now."""
        with contextlib.suppress(OSError, TypeError):  # then what was said last holds
            control = read_control(self._files.run)
            if control is not None and control.token == self._launch.token and control.placement:
                self._where = control.placement

    def _look(self) -> None:
        """See what the run's files say, which nodes are there, and which of them are about to go."""
        self._looked = time.monotonic()
        if self._launch.elastic:
            self._read_placement()
        self._see_cluster()
        if not self._begun:
            self._called_off = self._who_called_off()
            return
        self._finished = self._finished or run_has_finished(self._files.run)
        self._pass_on_stop()
        if self._launch.elastic and not self._finished:
            self._fit()

    def _see_cluster(self) -> None:
        self._sight = Sight(nodes_there(), draining())
        if self._sight.until != self._told_draining:
            with contextlib.suppress(OSError):  # tried again at the next look
                self._tell_draining()
        if not self._begun:
            return
        for hosted in self._parts:
            seconds = self._sight.left(hosted.node, time.time())
            if seconds is not None and not hosted.leaves and hosted.state != "gone":
                say(f"Ray drains {hosted.part.node}: part {hosted.part.index} is asked to leave within {seconds:.0f} s")
                hosted.ask_to_leave("preempt", seconds)
        for hosted in stranded(self._parts, self._sight):
            hosted.end("its node is gone")

    def _tell_draining(self) -> None:
        """Ray tells it to nobody over HTTP: from here the server learns where nothing more is to be placed."""
        sight, before = self._sight, self._told_draining
        write_draining(self._files, sight.until)
        names = sorted({*(hosted.part.node for hosted in self._parts), *(node for node, _ in self._where)})
        new = {name: at for name, at in sight.draining(names).items() if before.get(sight.nodes[name]) != at}
        self._told_draining = sight.until
        if new:
            EventWriter(self._files.run, f"ray-{self._files.index}", self._launch.token).append("draining", until=new)

    def _try_to_begin(self) -> int | None:
        """All places or none: what is not complete in time is given back."""
        names = [node for node, _ in self._where]
        there = bool(self._parts) and all(group.is_there() for group in self._groups)
        late = self._job.start_within if not there and time.monotonic() > self._born + self._job.start_within else None
        pending = [group for group in self._groups if late is not None and not group.is_there()]
        missing = [bundle.node for group in pending for bundle in group.bundles]
        word = word_before(names, self._sight, called_off=self._called_off, missing=missing, late=late)
        if word is not None:
            return self._speak(word)
        if there:
            say(f"all places are there after {time.monotonic() - self._born:.1f} s")
            self._begun = True
        elif not self._parts and not self._sight.absent(names):
            self._ask()
        return None

    def _ask(self) -> None:
        """The parts that the run begins with, and their groups."""
        launch, placement = self._launch, self._where
        if launch.self_placed:
            self._drive(None, placement)
        elif launch.ranks_share_slots:
            self._drive(self._group([Bundle(*place) for place in placement], self._files.allocation), placement)
        elif self._resizable or launch.array:
            for node in (node for node, workers in placement for _ in range(workers)):
                self._bring(node, 1)
        elif launch.elastic:
            for node, workers in placement:
                self._bring(node, workers)
        else:
            self._bring_gang(placement)

    def _drive(self, group: Group | None, placement: Sequence[tuple[str, int]]) -> None:
        """One part that uses the slots of all: its process is a driver of the cluster's Ray as well."""
        name = "" if group is None else self._files.allocation
        ids = {self._sight.nodes[node]: workers for node, workers in placement}
        reserved = Reserved(self._address, name, ids, self._each)
        node, total = placement[0][0], sum(workers for _, workers in placement)
        grant = Grant(time_limit=self._job.time_limit, workers=total, ray=reserved.to_text())
        part = Part(0, node, total)
        hosted = Hosted(part, self._files, grant, self._job.env, group, node=self._sight.nodes[node], owns_group=False)
        self._parts.append(hosted)

    def _bring(self, node: str, workers: int) -> None:
        """One more part with a group of its own."""
        index = 1 + max((hosted.part.index for hosted in self._parts), default=-1)
        limit = self._job.time_limit
        left = None if limit is None else limit - (time.monotonic() - self._born)
        grant = Grant(time_limit=left, workers=workers, placed=self._launch.elastic)
        nodes = self._sight.nodes
        group = ask_for([Bundle(node, workers)], self._each, nodes, f"{self._files.allocation}-{index}")
        if not self._begun:
            self._groups.append(group)
        takes = {name: count * workers for name, count in self._each.items()}
        part, files = Part(index, node, workers), self._files.agent(index)
        self._parts.append(Hosted(part, files, grant, self._job.env, group, 0, takes, nodes[node]))

    def _bring_gang(self, placement: Sequence[tuple[str, int]]) -> None:
        """A gang of fixed size: one group, a part on each node."""
        group = self._group([Bundle(*place) for place in placement], self._files.allocation)
        gang = tuple(workers for _, workers in placement)
        whole = Grant(time_limit=self._job.time_limit, nodes=len(gang), gang=gang)
        for place, (node, workers) in enumerate(placement):
            takes = {name: count * workers for name, count in self._each.items()}
            grant = replace(whole, place=place, workers=workers)
            part, files = Part(place, node, workers), self._files.agent(place)
            where = self._sight.nodes[node]
            hosted = Hosted(part, files, grant, self._job.env, group, place, takes, where, owns_group=False)
            self._parts.append(hosted)

    def _group(self, bundles: Sequence[Bundle], name: str) -> Group:
        group = ask_for(bundles, self._each, self._sight.nodes, name)
        self._groups.append(group)
        return group

    def _fit(self) -> None:
        """Bring parts where workers are wanted and none is there, let those go that nobody works in any more."""
        wanted = dict(self._where)
        for hosted in to_let_go(self._parts, wanted, self._working()):
            hosted.ask_to_leave("resize")
        most = self._launch.replacements
        for node, workers in to_bring(self._parts, wanted, self._sight, one_by_one=self._resizable, replacements=most):
            self._bring(node, workers)

    def _working(self) -> set[int] | None:
        """Agents that have workers in the newest view; None where that cannot be read now."""
        with contextlib.suppress(OSError):
            view = newest_view(self._files.run)
            return set() if view is None else {agent_of(number) for number in view.numbers}
        return None

    def _pass_on_stop(self) -> None:
        """What the server leaves as a note for the allocation concerns all of its parts."""
        note = self._files.run.path / self._files.stops[0].name
        if not self._told and note.exists():
            self._told = True
            request = self._files.stop_request()
            for hosted in self._parts:
                if request is not None and hosted.part.index != self._files.index:
                    hosted.files.request_stop(request.grace_seconds)

    def _wind_down(self) -> int | None:
        """The run is over: its agents end by themselves."""
        self._over_at = self._over_at or time.monotonic()
        for hosted in self._parts:
            if hosted.state in {"waiting", "arriving"}:
                hosted.end("the run is over")
        late = time.monotonic() > self._over_at + _OTHERS_SECONDS
        return 0 if late or all(hosted.state == "gone" for hosted in self._parts) else None

    def _who_called_off(self) -> str:
        """Why the run is to stop before it has begun; empty where nobody wants that."""
        with contextlib.suppress(OSError, TypeError):
            control = read_control(self._files.run)
            if control is not None and control.token == self._launch.token and control.want == "stop":
                return control.cause or "cancel"
        return "cancel" if self._files.read_claim() is not None or self._files.stop_request() is not None else ""

    def _speak(self, word: Word) -> int:
        """The run's last word, where no agent is there that could say one."""
        say(f"{word.outcome}: {word.message}")
        writer = EventWriter(self._files.run, self._files.writer, self._launch.token)
        writer.append("finished", **{name: value for name, value in vars(word).items() if value is not None})
        return 0 if word.outcome == "stopped" else 1

"""`SimulatedBackend`: an engine in a file, so that it outlives the controller; runs follow scripts, a word a tick."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from orchestrator.backends.protocol import (
    AllocationState,
    Capacity,
    LaunchPlan,
    LaunchRequest,
    NodeFacts,
    Observation,
    Others,
    Room,
    Standing,
    Wait,
)
from orchestrator.base.clock import Clock
from orchestrator.base.errors import BackendUnavailable, LaunchRefused
from orchestrator.base.files import read_json, write_json
from orchestrator.rundir.control import read_control
from orchestrator.rundir.layout import RunDirectory
from orchestrator.testing.allocation import Allocation, after, read_allocation
from orchestrator.testing.program import Effect, perform, stop_effect

SCRIPT = "SIMULATED_SCRIPT"
"""A workload's environment variable that holds its script, where that is not its command: of a training."""


class SimulatedBackend:
    """An engine for tests; see `program` for the scripts that a workload's `command` or `env` may hold.

    Args:
        path: the engine's state; a second object on the same file is the same engine.
        slots: of its one node, or of each of its nodes by name.
        clock: for grace times.
        queues: what is launched waits in a queue of its own, until the test calls `begin` or `begin_all`.
    """

    name = "simulated"

    def __init__(self, path: Path, *, slots: int | Mapping[str, int], clock: Clock, queues: bool = False) -> None:
        self._path = path
        self._clock = clock
        self._changing = threading.Lock()
        self.queues = queues
        self.nodes: dict[str, NodeFacts] = {}
        """What it has, all of it free; a test may change it."""
        for name, count in ({"localhost": slots} if isinstance(slots, int) else slots).items():
            self.nodes[name] = NodeFacts(name, count, count)
        self.potential: tuple[NodeFacts, ...] = ()
        self.grows = False
        """Nodes that may come."""
        self.announced: tuple[Room, ...] = ()
        """What it was told that there should be room for."""
        self.held_by_others: dict[str, int] = {}
        """Slots of nodes that others hold."""
        self.available = True
        """Set False: every call raises BackendUnavailable."""
        self.answers_to_lose = 0
        """So many launches take place and raise BackendUnavailable all the same."""
        self.unknown: set[str] = set()
        """Allocations of which it does not know now how they are."""
        self.by_itself: set[str] = set()
        """Allocations of which it says, once they are over, that they ended by themselves."""
        self.refusal = ""
        """What `adjust` says of what it does not let us change."""
        self.takes_none = ""
        """Why the dry run refuses whatever it is asked for; empty: it does not."""
        self.dry_runs = 0
        """How often it was asked for one."""
        self.calls: list[str] = []
        """The names of the calls so far."""

    def plan(self, request: LaunchRequest) -> LaunchPlan:
        """The script itself."""
        return LaunchPlan(request.launch.argv, dict(request.launch.env), _slots_of(request))

    def expected_start(self, request: LaunchRequest) -> float | None:
        """Not said; refused where the test says so."""
        self.dry_runs += 1
        if not self.available:
            raise BackendUnavailable("the simulated engine does not answer", hint="wait")
        if self.takes_none:
            raise LaunchRefused(self.takes_none, hint="name another account")
        return None

    def adjust(self, allocation: str, standing: Standing) -> str:
        """A pending one is held, or released, and has this priority."""
        self._call("adjust")
        with self._changing:
            known = self._read()
            if (old := known.get(allocation)) is not None and old.state == "pending":
                known[allocation] = replace(old, held=standing.held, priority=standing.priority)
                self._write(known)
        return self.refusal

    def launch(self, request: LaunchRequest) -> None:
        """Start an allocation once.

        Raises:
            LaunchRefused: the script's first word is `refuse`.
        """
        self._call("launch")
        script = _script_of(request)
        if script[0] == "refuse":
            raise LaunchRefused(f"{request.allocation}: the engine refuses it", hint="ask for something else")
        with self._changing:
            known = self._read()
            if (old := known.get(request.allocation)) is not None:
                known[request.allocation] = replace(old, launches=old.launches + 1)
            else:
                known[request.allocation] = self._new(request, script, len(known))
            self._write(known)
        if self.answers_to_lose > 0:
            self.answers_to_lose -= 1
            raise BackendUnavailable("the answer was lost", hint="ask again")

    def observe(self, allocations: Sequence[str]) -> Mapping[str, Observation]:
        """All in one look."""
        self._call("observe")
        known = self._read()
        unknown = Observation(AllocationState.UNKNOWN)
        found = {name: unknown if name in self.unknown else self._seen(known.get(name)) for name in allocations}
        return {name: replace(seen, by_itself=name in self.by_itself) for name, seen in found.items()}

    def stop(self, allocation: str, *, grace_seconds: float) -> None:
        """The script ends with the next tick; a stubborn one when the grace time is over."""
        self._call("stop")
        with self._changing:
            known = self._read()
            if (old := known.get(allocation)) is None or not old.live:
                return
            if self.queues and old.state == "pending":
                self._write(known | {allocation: replace(old, state="ended")})
            elif old.stop_by is None:
                self._write(known | {allocation: replace(old, stop_by=self._clock.monotonic() + grace_seconds)})

    def kill(self, allocation: str) -> None:
        """It ends at once, without a word."""
        self._call("kill")
        with self._changing:
            known = self._read()
            if (old := known.get(allocation)) is not None and old.live:
                self._write(known | {allocation: replace(old, state="ended")})

    def list(self) -> Sequence[str]:
        """What is pending or running."""
        self._call("list")
        return sorted(name for name, allocation in self._read().items() if allocation.live)

    def capacity(self) -> Capacity:
        """Slots in all, and free, of each node."""
        self._call("capacity")
        free = self._free(self._read())
        ours = {name: free[name] - self.held_by_others.get(name, 0) for name in self.nodes}
        nodes = tuple(replace(node, free=max(0, ours[name])) for name, node in self.nodes.items())
        total = sum(node.slots for node in nodes)
        gang = total + sum(node.slots for node in self.potential)
        found = Capacity(total, sum(node.free for node in nodes), gang, nodes=nodes, potential=self.potential)
        return replace(found, grows=self.grows)

    def announce(self, wanted: Sequence[Room]) -> None:
        """Remember it."""
        self._call("announce")
        self.announced = tuple(wanted)

    def others(self, node: str) -> Others:
        """Somebody, where the test says so."""
        return Others("somebody") if self.held_by_others.get(node) else Others()

    def close(self) -> None:
        """Nothing of it is open."""

    def tick(self) -> None:
        """Every live script goes on by one word."""
        known = self._read()
        for name, allocation in known.items():
            if allocation.live:
                known[name] = self._advance(name, allocation, known)
        self._write(known)

    def allocations(self) -> Mapping[str, Allocation]:
        """Everything that was ever launched."""
        return self._read()

    def begin(self, allocation: str) -> None:
        """Start a pending one, packed onto as few nodes as there are; it must fit."""
        known = self._read()
        begun = self._begun(known[allocation], self._free(known))
        assert begun is not None, (allocation, known[allocation], self._free(known))
        self._write(known | {allocation: begun})

    def begin_all(self) -> None:
        """Start all pending ones that fit and that nobody holds, by priority, then in the order of their launch."""
        for name in sorted(self._read(), key=lambda name: self._order(name)):
            known = self._read()
            old = known[name]
            begun = None if old.state != "pending" or old.held else self._begun(old, self._free(known))
            if begun is not None:
                self._write(known | {name: begun})

    def wait(self, allocation: str, code: str, text: str) -> None:
        """Say why a pending one waits."""
        known = self._read()
        self._write(known | {allocation: replace(known[allocation], waits=(code, text))})

    def take_back(self, allocation: str) -> None:
        """Preempt it."""
        self.set_state(allocation, "ended", "preempted")

    def script(self, allocation: str, *words: str) -> None:
        """What an allocation does from now on."""
        known = self._read()
        self._write(known | {allocation: replace(known[allocation], argv=words, position=0)})

    def set_state(self, allocation: str, state: str, failure_class: str | None = None) -> None:
        """Something happens to an allocation; `state` is a value of `AllocationState`."""
        known = self._read()
        known[allocation] = replace(known[allocation], state=state, failure_class=failure_class)
        self._write(known)

    def _advance(self, name: str, old: Allocation, known: Mapping[str, Allocation]) -> Allocation:
        run, free = RunDirectory(Path(old.directory)), self._free(known)
        if self.queues and old.state == "pending":
            return old
        wish = read_control(run)
        stops = wish is not None and wish.want == "stop"
        if old.growth and not old.stubborn and stops:
            return replace(old, state="ended")
        mine = [other for other in known.values() if other.directory == old.directory and other.state == "running"]
        if old.stop_by is not None:
            if not old.stubborn:
                leaves = old.growth or (self.queues and not stops and len(mine) > 1)
                return after(old, Effect("ended") if leaves else stop_effect(run, old.token), free)
            if self._clock.monotonic() >= old.stop_by:
                return replace(old, state="ended")
        if old.position >= len(old.argv):
            return old
        has = _together(mine if self.queues else [old], old.each)
        word = old.argv[old.position]
        again = word.startswith("always:")
        effect = perform(word.removeprefix("always:"), run, name, old.token, has, joined=self.queues)
        return replace(after(old, effect, free), position=old.position + (not again))

    def _new(self, request: LaunchRequest, script: tuple[str, ...], number: int) -> Allocation:
        terms = request.terms
        growth = terms is not None and terms.growth
        return Allocation(
            directory=str(request.directory.path),
            argv=() if growth else script,
            placement=() if self.queues else self._placed(request),
            each=_slots_of(request) // request.launch.workers,
            token=request.launch.token,
            growth=growth,
            held=terms is not None and terms.standing.held,
            priority=0 if terms is None else terms.standing.priority,
            number=1000 + number,
            asked=_slots_of(request),
        )

    def _order(self, name: str) -> tuple[int, int, str]:
        """Who begins first; what is launched at once for one run, by several threads, in the order of its names."""
        known = self._read()
        mine = known[name]
        alike = [one.number for one in known.values() if (one.directory, one.state) == (mine.directory, mine.state)]
        return -mine.priority, min(alike), name

    def _begun(self, old: Allocation, free: Mapping[str, int]) -> Allocation | None:
        """The same, started; None where it does not fit."""
        shares: dict[str, int] = {}
        for node, slots in sorted(free.items(), key=lambda item: (-item[1], item[0])):
            if self.nodes[node].up and (more := min(slots, old.asked - sum(shares.values())) // old.each * old.each):
                shares[node] = more
        fits = sum(shares.values()) == old.asked and not (old.growth and len(shares) > 1)
        placed = tuple(shares.items())
        return replace(old, state="running", placement=placed, since=self._clock.now()) if fits else None

    def _seen(self, allocation: Allocation | None) -> Observation:
        if allocation is None:
            return Observation(AllocationState.ABSENT)
        found = Observation(AllocationState(allocation.state), allocation.failure_class)
        if not self.queues:
            return found
        waits = None if allocation.waits is None or allocation.state != "pending" else Wait(*allocation.waits)
        nodes = tuple(node for node, _ in allocation.placement)
        return replace(found, engine_id=str(allocation.number), waits=waits, nodes=nodes, since=allocation.since)

    def _free(self, known: Mapping[str, Allocation]) -> dict[str, int]:
        """Slots of each node that nobody holds."""
        free = {name: node.slots for name, node in self.nodes.items()}
        for allocation in known.values():
            for node, slots in allocation.placement if allocation.live else ():
                free[node] = free.get(node, 0) - slots
        return free

    def _placed(self, request: LaunchRequest) -> tuple[tuple[str, int], ...]:
        """Slots by node: where the scheduler says, or on the first node."""
        each = _slots_of(request) // request.launch.workers
        shares = request.placement or ((next(iter(self.nodes)), request.launch.workers),)
        return tuple((node, workers * each) for node, workers in shares)

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if not self.available:
            raise BackendUnavailable("the simulated engine does not answer", hint="wait")

    def _read(self) -> dict[str, Allocation]:
        document = read_json(self._path) or {}
        return {name: read_allocation(value) for name, value in document.items()}

    def _write(self, allocations: Mapping[str, Allocation]) -> None:
        document: dict[str, Any] = {name: asdict(allocation) for name, allocation in allocations.items()}
        write_json(self._path, document, durable=False)


def _together(allocations: Sequence[Allocation], each: int) -> tuple[tuple[str, int], ...]:
    """Workers by node of several allocations."""
    shares: dict[str, int] = {}
    for allocation in sorted(allocations, key=lambda one: one.number):
        for node, slots in allocation.placement:
            shares[node] = shares.get(node, 0) + slots // each
    return tuple(shares.items())


def _script_of(request: LaunchRequest) -> tuple[str, ...]:
    return tuple(request.launch.env.get(SCRIPT, "").split()) or request.launch.argv


def _slots_of(request: LaunchRequest) -> int:
    return request.launch.workers * max(1, request.launch.gpus_per_worker or request.launch.cpus_per_worker)

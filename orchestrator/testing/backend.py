"""`SimulatedBackend`: an engine in a file, so that it outlives the controller; runs follow scripts, a word a tick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
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
)
from orchestrator.base.clock import Clock
from orchestrator.base.errors import BackendUnavailable, LaunchRefused
from orchestrator.base.files import read_json, write_json
from orchestrator.rundir.layout import RunDirectory
from orchestrator.testing.program import Effect, perform, stop_effect


@dataclass(frozen=True)
class Allocation:
    """What the simulated engine knows of one allocation.

    Attributes:
        directory: the run's directory.
        argv: its script.
        placement: (node, slots) that it holds while it is pending or running.
        each: slots of one worker.
        token: the run's fencing token.
        launches: how often `launch` was called for it.
        starts: how often it was really started; never more than 1.
        position: the next word of the script.
        state: as `observe` tells it.
        failure_class: as `observe` tells it.
        stubborn: it ignores `stop`.
        stop_by: clock seconds at which a stop becomes a kill.
    """

    directory: str
    argv: tuple[str, ...]
    placement: tuple[tuple[str, int], ...]
    each: int
    token: int
    launches: int = 1
    starts: int = 1
    position: int = 0
    state: str = "pending"
    failure_class: str | None = None
    stubborn: bool = False
    stop_by: float | None = None

    @property
    def live(self) -> bool:
        """Whether it holds slots."""
        return self.state in {"pending", "running"}

    @property
    def slots(self) -> int:
        """How many, while it is live."""
        return sum(slots for _, slots in self.placement)


SCRIPT = "SIMULATED_SCRIPT"
"""A workload's environment variable that holds its script, where that is not its command: of a training."""


class SimulatedBackend:
    """An engine for tests; see `program` for the scripts that a workload's `command` or `env` may hold.

    Args:
        path: the engine's state; a second object on the same file is the same engine.
        slots: of its one node, or of each of its nodes by name.
        clock: for grace times.
    """

    name = "simulated"

    def __init__(self, path: Path, *, slots: int | Mapping[str, int], clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self.nodes: dict[str, NodeFacts] = {}
        """What it has, all of it free; a test may change it."""
        for name, count in ({"localhost": slots} if isinstance(slots, int) else slots).items():
            self.nodes[name] = NodeFacts(name, count, count)
        self.held_by_others: dict[str, int] = {}
        """Slots of nodes that others hold."""
        self.available = True
        """Set False: every call raises BackendUnavailable."""
        self.answers_to_lose = 0
        """So many launches take place and raise BackendUnavailable all the same."""
        self.calls: list[str] = []
        """The names of the calls so far."""

    def plan(self, request: LaunchRequest) -> LaunchPlan:
        """The script itself."""
        return LaunchPlan(request.launch.argv, dict(request.launch.env), _slots_of(request))

    def launch(self, request: LaunchRequest) -> None:
        """Start an allocation once.

        Raises:
            LaunchRefused: the script's first word is `refuse`.
        """
        self._call("launch")
        script = _script_of(request)
        if script[0] == "refuse":
            raise LaunchRefused(f"{request.allocation}: the engine refuses it", hint="ask for something else")
        known = self._read()
        if (old := known.get(request.allocation)) is not None:
            known[request.allocation] = replace(old, launches=old.launches + 1)
        else:
            known[request.allocation] = Allocation(
                directory=str(request.directory.path),
                argv=script,
                placement=self._placed(request),
                each=_slots_of(request) // request.launch.workers,
                token=request.launch.token,
            )
        self._write(known)
        if self.answers_to_lose > 0:
            self.answers_to_lose -= 1
            raise BackendUnavailable("the answer was lost", hint="ask again")

    def observe(self, allocations: Sequence[str]) -> Mapping[str, Observation]:
        """All in one look."""
        self._call("observe")
        known = self._read()
        return {name: _observation(known.get(name)) for name in allocations}

    def stop(self, allocation: str, *, grace_seconds: float) -> None:
        """The script ends with the next tick; a stubborn one when the grace time is over."""
        self._call("stop")
        known = self._read()
        if (old := known.get(allocation)) is not None and old.live and old.stop_by is None:
            known[allocation] = replace(old, stop_by=self._clock.monotonic() + grace_seconds)
            self._write(known)

    def kill(self, allocation: str) -> None:
        """It ends at once, without a word."""
        self._call("kill")
        known = self._read()
        if (old := known.get(allocation)) is not None and old.live:
            known[allocation] = replace(old, state="ended")
            self._write(known)

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
        return Capacity(total, sum(node.free for node in nodes), total, nodes=nodes)

    def others(self, node: str) -> Others:
        """Somebody, where the test says so."""
        return Others("somebody") if self.held_by_others.get(node) else Others()

    def tick(self) -> None:
        """Every live script goes on by one word."""
        known = self._read()
        for name, allocation in known.items():
            if allocation.live:
                known[name] = self._advance(name, allocation, self._free(known))
        self._write(known)

    def allocations(self) -> Mapping[str, Allocation]:
        """Everything that was ever launched."""
        return self._read()

    def set_state(self, allocation: str, state: str, failure_class: str | None = None) -> None:
        """Something happens to an allocation; `state` is a value of `AllocationState`."""
        known = self._read()
        known[allocation] = replace(known[allocation], state=state, failure_class=failure_class)
        self._write(known)

    def _advance(self, name: str, old: Allocation, free: Mapping[str, int]) -> Allocation:
        run = RunDirectory(Path(old.directory))
        if old.stop_by is not None:
            if not old.stubborn:
                return _after(old, stop_effect(run, old.token), free)
            if self._clock.monotonic() >= old.stop_by:
                return replace(old, state="ended")
        if old.position >= len(old.argv):
            return old
        has = tuple((node, slots // old.each) for node, slots in old.placement)
        effect = perform(old.argv[old.position], run, name, old.token, has)
        return replace(_after(old, effect, free), position=old.position + 1)

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
        return {name: _allocation(value) for name, value in document.items()}

    def _write(self, allocations: Mapping[str, Allocation]) -> None:
        document: dict[str, Any] = {name: asdict(allocation) for name, allocation in allocations.items()}
        write_json(self._path, document, durable=False)


def _allocation(document: Mapping[str, Any]) -> Allocation:
    placement = tuple((node, slots) for node, slots in document["placement"])
    return Allocation(**{**document, "argv": tuple(document["argv"]), "placement": placement})


def _after(old: Allocation, effect: Effect, free: Mapping[str, int]) -> Allocation:
    return replace(
        old,
        state=effect.state or old.state,
        failure_class=effect.failure_class or old.failure_class,
        stubborn=old.stubborn or effect.stubborn,
        placement=_placed_after(old, effect, free),
    )


def _placed_after(old: Allocation, effect: Effect, free: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """Where its control.json says: nobody else is there. Without such a word the engine chooses."""
    if effect.placement is not None:
        held, placement = dict(old.placement), tuple((node, workers * old.each) for node, workers in effect.placement)
        assert all(slots <= free.get(node, 0) + held.get(node, 0) for node, slots in placement), (placement, free)
        return placement
    return old.placement if effect.workers is None else _resized(old, effect.workers * old.each, free)


def _resized(old: Allocation, slots: int, free: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """It gives up what it holds last, and takes what is free, first where it is already."""
    shares: dict[str, int] = {}
    for node, held in old.placement:
        shares[node] = min(held, slots - sum(shares.values()))
    for node in sorted(free, key=lambda name: (name not in shares, name)):
        more = min(max(0, free[node]), slots - sum(shares.values())) // old.each * old.each
        shares[node] = shares.get(node, 0) + more
    return tuple((node, held) for node, held in shares.items() if held)


def _observation(allocation: Allocation | None) -> Observation:
    if allocation is None:
        return Observation(AllocationState.ABSENT)
    return Observation(AllocationState(allocation.state), allocation.failure_class)


def _script_of(request: LaunchRequest) -> tuple[str, ...]:
    return tuple(request.launch.env.get(SCRIPT, "").split()) or request.launch.argv


def _slots_of(request: LaunchRequest) -> int:
    return request.launch.workers * max(1, request.launch.gpus_per_worker or request.launch.cpus_per_worker)

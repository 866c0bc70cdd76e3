"""The local engine: launches, observes and ends agents on this machine; needs no daemon and survives restarts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from orchestrator.backends.local.machine import Machine, gpus_of_this_machine, measure
from orchestrator.backends.local.others import AGENT, Agent, others_among
from orchestrator.backends.local.records import Record, Records
from orchestrator.backends.protocol import (
    AllocationState,
    Capacity,
    LaunchPlan,
    LaunchRequest,
    Observation,
    Others,
    Room,
    Standing,
)
from orchestrator.backends.records import KEPT
from orchestrator.base.errors import BackendUnavailable, LaunchRefused
from orchestrator.base.paths import state_dir
from orchestrator.base.process import ProcessIdentity, processes_with_environment
from orchestrator.base.slots import Lease, SlotLocks, default_folder
from orchestrator.base.sweep import sweep
from orchestrator.rundir.allocations import END_NOW, MARK, AllocationFiles, is_safe_name
from orchestrator.rundir.grant import GRANT, Grant, Pool
from orchestrator.rundir.launch import for_jobs
from orchestrator.spec.profile import ClusterProfile

_START_SECONDS = 30.0
_KILL_SECONDS = 2.0
_ENDED = Observation(AllocationState.ENDED)


class LocalBackend:
    """This machine.

    Args:
        profile: its one node says how many cores or GPUs may be used.
        state: the server's state directory; default: the user's.
        slots: folder of the machine-wide slot locks; default: in the user's runtime directory.
        monotonic: seconds that never jump.
    """

    name = "local"
    queues = False

    def __init__(
        self,
        profile: ClusterProfile,
        *,
        state: Path | None = None,
        slots: Path | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._profile = profile
        self._records = Records((state or state_dir()) / "local" / "allocations")
        self._slots_folder = slots or default_folder()
        self._monotonic = monotonic
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._silent_since: dict[str, float] = {}
        self._over: dict[str, Observation] = {}
        self._lock = threading.RLock()

    @cached_property
    def machine(self) -> Machine:
        """What this machine has; measured once."""
        return measure(self._profile, os.environ, gpus_of_this_machine)

    @cached_property
    def _slots(self) -> SlotLocks:
        names = self.machine.devices or tuple(str(core) for core in range(self.machine.slots))
        return SlotLocks(self._slots_folder, self.machine.kind, names)

    def plan(self, request: LaunchRequest) -> LaunchPlan:
        """The agent that `launch` would start; changes nothing.

        Raises:
            LaunchRefused: it can never start on this machine.
        """
        _check(request)
        slots = self.machine.slots_for(request.launch)
        return LaunchPlan(_agent_argv(request), {GRANT: Grant(time_limit=request.time_limit).to_text()}, slots)

    def expected_start(self, request: LaunchRequest) -> float | None:
        """Nothing: it has no queue of its own."""
        return None

    def launch(self, request: LaunchRequest) -> None:
        """Start the agent in a session of its own.

        The allocation is written down first; whoever starts for it claims it once and for ever. So a crash anywhere
        in between, and a second call by anybody, start nothing twice.

        Raises:
            LaunchRefused: it can never start.
            BackendUnavailable: its slots are not free now; nothing was started.
        """
        plan = self.plan(request)
        with self._lock:
            known = self._records.find(request.allocation)
            if known is not None and self._was_started(known):
                return
            with self._slots.hold(plan.slots) as lease:
                record = self._records.create(request.allocation, request.directory.path.absolute())
                child = self._spawn(request, plan, lease)
            self._children[request.allocation] = child
            identity = ProcessIdentity.of(child.pid)
            if identity is not None:
                self._records.set_spawned(record, identity)

    def observe(self, allocations: Sequence[str]) -> Mapping[str, Observation]:
        """Look at all of them in one batch."""
        with self._lock:
            self._reap()
            return {allocation: self._observe(allocation) for allocation in allocations}

    def adjust(self, allocation: str, standing: Standing) -> str:
        """Nothing: nothing waits in it."""
        return ""

    def stop(self, allocation: str, *, grace_seconds: float) -> None:
        """Ask the agent to stop its ranks, and to end them by force after the grace time."""
        record = self._records.find(allocation)
        if record is None or allocation in self._over:
            return
        record.files.request_stop(grace_seconds)
        claim = record.files.read_claim()
        if claim is not None and claim.alive() and claim.guard is not None:
            claim.guard.send(signal.SIGTERM)

    def kill(self, allocation: str) -> None:
        """End the agent and everything below it now; one that has not started never will."""
        record = self._records.find(allocation)
        if record is None:
            return
        record.files.claim(None)
        claim = record.files.read_claim()
        if claim is not None and claim.guard is not None and claim.alive():
            claim.guard.send(END_NOW)
            claim.guard.send(signal.SIGCONT)
            if not _wait_until(lambda: not claim.alive(), _KILL_SECONDS):
                _force(claim.guard, record.files)
        with self._lock:
            self._reap()

    def list(self) -> Sequence[str]:
        """All allocations that are pending or running."""
        observations = self.observe(self._records.current())
        alive = (AllocationState.PENDING, AllocationState.RUNNING)
        return [allocation for allocation, seen in observations.items() if seen.state in alive]

    def capacity(self) -> Capacity:
        """Slots of this machine; those that other servers of the user hold are not free."""
        total, free = self.machine.slots, self._slots.free()
        return Capacity(total, free, total, self.machine.kind, nodes=(self.machine.facts(free),))

    def announce(self, wanted: Sequence[Room]) -> None:
        """Nothing: it is as large as it is."""

    def others(self, node: str) -> Others:
        """Agents of other servers of this user, and what else holds slot locks of this machine: by process."""
        del node  # there is one
        held = self._slots.openers()
        return others_among(held, self._is_ours)

    def close(self) -> None:
        """Nothing of it is open."""

    def _is_ours(self, agent: Agent) -> bool:
        record = self._records.find(agent.allocation)
        return record is not None and str(record.directory) == agent.directory

    def _was_started(self, record: Record) -> bool:
        """Whether an agent has claimed it, or is about to."""
        if record.files.read_claim() is not None:
            return True
        return record.spawned is not None and record.spawned.alive()

    def _spawn(self, request: LaunchRequest, plan: LaunchPlan, lease: Lease) -> subprocess.Popen[bytes]:
        files = AllocationFiles(request.directory, request.allocation)
        grant = self._grant(request, lease)
        try:
            request.directory.create()
            with files.log.open("ab") as log:
                return subprocess.Popen(
                    plan.argv,
                    env=for_jobs(os.environ) | {GRANT: grant.to_text()},
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=lease.handles,
                )
        except OSError as error:
            raise BackendUnavailable(f"cannot start the agent of {request.allocation}: {error}") from error

    def _grant(self, request: LaunchRequest, lease: Lease) -> Grant:
        """What the agent may use; that of an elastic run takes more slots and gives them back by itself."""
        devices = self.machine.devices_of(lease.slots, request.launch)
        pool = Pool.of(self._slots, lease, self.machine.slots_of_worker(request.launch))
        return Grant(devices, request.time_limit, pool=pool if request.launch.elastic else None)

    def _observe(self, allocation: str) -> Observation:
        if allocation in self._over:
            return self._over[allocation]
        record = self._records.find(allocation)
        if record is None:
            return Observation(AllocationState.ABSENT)
        claim = record.files.read_claim()
        if claim is None:
            return self._unclaimed(record)
        if claim.alive() or _ends_survivors(record):
            return Observation(AllocationState.RUNNING)
        return self._set_over(record, "" if claim.guard else "called off before it started")

    def _unclaimed(self, record: Record) -> Observation:
        """No agent speaks for it yet: it is about to start, or it died before it could say a word."""
        alive = record.spawned is not None and record.spawned.alive()
        since = self._silent_since.setdefault(record.allocation, self._monotonic())
        gone = record.spawned is not None and not alive
        if not gone and self._monotonic() - since < _START_SECONDS:
            return Observation(AllocationState.PENDING, detail="the agent is starting")
        if not record.files.claim(None):  # it spoke after all
            return Observation(AllocationState.RUNNING)
        if record.spawned is not None:
            record.spawned.send(signal.SIGKILL)
        return self._set_over(record, f"the agent did not start; see {record.files.log}")

    def _set_over(self, record: Record, detail: str) -> Observation:
        if record.files.has_finished():
            seen = _ENDED
        else:
            detail = detail or f"the agent ended without a word on how the run ended; see {record.files.log}"
            seen = Observation(AllocationState.ENDED, "infrastructure", detail)
        self._records.set_ended(record.allocation)
        self._silent_since.pop(record.allocation, None)
        self._over[record.allocation] = seen
        while len(self._over) > KEPT:
            del self._over[next(iter(self._over))]
        return seen

    def _reap(self) -> None:
        """Collect agents that were started by this very process and have ended."""
        for allocation in [name for name, child in self._children.items() if child.poll() is not None]:
            del self._children[allocation]


def _agent_argv(request: LaunchRequest) -> tuple[str, ...]:
    return (sys.executable, "-P", "-m", AGENT, str(request.directory.path.absolute()), request.allocation)


def _check(request: LaunchRequest) -> None:
    launch = request.launch
    if not is_safe_name(request.allocation):
        raise LaunchRefused(f"{request.allocation!r} is no safe identifier of an allocation")
    strings = [*launch.argv, launch.workdir, *launch.env.keys(), *launch.env.values()]
    if not launch.argv or any("\0" in text for text in strings):
        raise LaunchRefused(f"run {launch.run} has no command, or a NUL byte in one of its strings")


def _ends_survivors(record: Record) -> bool:
    """Where agent and guard were both killed: end what carries their mark; whether something is still alive."""
    if record.files.has_finished():
        return False
    mark = (MARK, record.allocation)
    return bool(processes_with_environment(*mark)) and bool(sweep([], mark, seconds=0.5))


def _force(guard: ProcessIdentity, files: AllocationFiles) -> None:
    """The guard does not answer: end everything below it, then the guard itself."""
    sweep([guard.pid], (MARK, files.allocation), seconds=_KILL_SECONDS)
    guard.send(signal.SIGKILL)
    sweep([], (MARK, files.allocation), seconds=_KILL_SECONDS)


def _wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True

"""A Ray cluster as an engine: what is launched becomes a job of Ray's, whose driver reserves what we have chosen."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

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
from orchestrator.backends.ray.announcer import Announcer
from orchestrator.backends.ray.capacity import capacity_of, slot_kind
from orchestrator.backends.ray.inventory import Inventory
from orchestrator.backends.ray.jobs import Job, JobList
from orchestrator.backends.ray.records import Ending, Record, Records
from orchestrator.backends.ray.request import argv_of, check, each_of, job_of, ray_job_of, shape_of
from orchestrator.backends.ray.rest import RayRest
from orchestrator.backends.ray.states import alive, ending_of, has_word, observation, unknown
from orchestrator.backends.ray.sweeper import Sweeper
from orchestrator.backends.records import KEPT
from orchestrator.backends.turns import Turns
from orchestrator.base.clock import Clock, SystemClock
from orchestrator.base.errors import BackendUnavailable, LaunchRefused
from orchestrator.base.paths import state_dir
from orchestrator.rundir.allocations import AllocationFiles
from orchestrator.rundir.rayjob import write_ray_job
from orchestrator.spec.profile import ClusterProfile


def capacity_or_types(profile: ClusterProfile) -> Capacity:
    """What a cluster has now; while its Ray is silent what its autoscaler may bring, where that is not nothing.

    Raises:
        BackendUnavailable: it is silent, and the profile names no types of nodes.
        UsageError: the profile's address is none.
    """
    try:
        return RayBackend(profile).capacity()
    except BackendUnavailable:
        types = profile.ray.autoscaler
        if not types:
            raise
        return capacity_of((), {}, types, kind=slot_kind((), types), now=0.0)


class RayBackend:
    """A Ray cluster, over HTTP. Threads may share it; one process serves a state directory.

    Args:
        profile: of the cluster.
        state: the server's state directory; default: the user's.
        environment: of the server; default: that of this process.
        clock: what time it is.
        timeout: seconds that Ray may take to answer.
        forget_after: seconds for which Ray remembers a job of ours that is over.

    Raises:
        UsageError: the profile's address is none.
    """

    name = "ray"
    queues = False

    def __init__(
        self,
        profile: ClusterProfile,
        *,
        state: Path | None = None,
        environment: Mapping[str, str] | None = None,
        clock: Clock | None = None,
        timeout: float = 5.0,
        forget_after: float = 10.0,
    ) -> None:
        self._section = profile.ray
        self._environment = os.environ if environment is None else environment
        self._rest = RayRest(profile.ray, self._environment, timeout=timeout)
        self._records = Records((state or state_dir()) / "ray" / "allocations")
        clock = clock or SystemClock()
        self._job_list = JobList(self._rest, clock)
        self._inventory = Inventory(self._rest, self._job_list, profile.ray, clock)
        self._announcer = Announcer(self._rest, profile.ray)
        self._sweeper = Sweeper(self._rest, pause=forget_after)
        self._turns = Turns()
        self._lock = threading.Lock()
        self._over: dict[str, tuple[Record, Ending]] = {}
        self._swept = False

    def plan(self, request: LaunchRequest) -> LaunchPlan:
        """The driver that `launch` would hand to Ray; changes nothing, and needs no Ray.

        Raises:
            LaunchRefused: it can never start.
        """
        check(request)
        each, workers = each_of(request.launch), request.launch.workers
        by_gpu = self._inventory.kind == "gpu" or each.gpus > 0
        slots = max(1, int(each.gpus)) if by_gpu else max(1, int(each.cpus))
        return LaunchPlan(
            argv=argv_of(request, self._section),
            env=dict(self._section.env),
            slots=workers * slots,
            cpus=workers * int(each.cpus) if by_gpu else 0,
            shape=shape_of(request),
            limit=request.time_limit,
        )

    def expected_start(self, request: LaunchRequest) -> float | None:
        """Nothing: it has no queue of its own."""
        return None

    def launch(self, request: LaunchRequest) -> None:
        """Hand the driver to Ray as a job.

        The allocation is written down first, and Ray's job carries its name, of which Ray takes but one. One that Ray
        has had once, or that a driver has claimed, is never handed over again, although Ray may have forgotten it with
        its head.

        Raises:
            LaunchRefused: it can never start.
            BackendUnavailable: Ray does not answer; whether it has it, the next launch finds out.
        """
        check(request)
        if not request.placement:
            raise LaunchRefused(f"nobody has said on which nodes {request.allocation} is to lie")
        files = AllocationFiles(request.directory, request.allocation)
        with self._turns.of(request.allocation):
            known = self._records.find(request.allocation)
            if known is not None and (known.taken or known.ending is not None):
                return
            if files.read_claim() is not None or files.ray_claim.exists():
                return
            record = known or Record(
                request.allocation, request.directory.path.absolute(), request.placement, each_of(request.launch)
            )
            self._hand_over(record, request)

    def observe(self, allocations: Sequence[str]) -> Mapping[str, Observation]:
        """Look at all of them in one batch."""
        records = {name: self._records.find(name) for name in allocations if name not in self._over}
        open_ones = {name: one for name, one in records.items() if one is not None and one.ending is None}
        jobs = self._jobs(open_ones) if open_ones else {}
        found: dict[str, Observation] = {}
        for name in allocations:
            record = records.get(name)
            if name in open_ones:
                found[name] = self._look(open_ones[name], jobs.get(name))
            elif record is not None and record.ending is not None:
                found[name] = self._remember(record, record.ending)
            else:
                found[name] = self._ended(name)
        return found

    def adjust(self, allocation: str, standing: Standing) -> str:
        """Nothing: nothing waits in it."""
        return ""

    def stop(self, allocation: str, *, grace_seconds: float) -> None:
        """Leave word for its driver and its agents, which look for it."""
        record = self._records.find(allocation)
        if record is not None and record.ending is None:
            record.files.request_stop(grace_seconds)

    def kill(self, allocation: str) -> None:
        """Have Ray end the driver, and with it all that it reserved and started; one that starts late does nothing.

        Where Ray does not know it any more, or is silent, agents that may have outlived the head are told to stop at
        once, all of them.
        """
        with self._turns.now(allocation):
            record = self._records.find(allocation)
            if record is None or record.ending is not None:
                return
            for place in range(len(record.nodes)):
                record.files.agent(place).claim(None)
            if not record.killed:
                self._records.set_killed(record)
            known = False
            try:
                known = self._rest.stop(allocation)
            finally:
                if not known:
                    for files in record.agents():
                        files.request_stop(0.0)

    def list(self) -> Sequence[str]:
        """All allocations that are pending or running."""
        states = (AllocationState.PENDING, AllocationState.RUNNING)
        return [name for name, seen in self.observe(self._records.current()).items() if seen.state in states]

    def capacity(self) -> Capacity:
        """Nodes that Ray has, and those that its autoscaler may bring."""
        return self._inventory.capacity(self._current())

    def announce(self, wanted: Sequence[Room]) -> None:
        """Tell Ray's autoscaler, where the profile says what it can bring."""
        if self._section.autoscaler:
            self._announcer.tell(wanted)

    def others(self, node: str) -> Others:
        """Jobs and drivers of others that Ray runs; it does not say which of them lie on this node."""
        del node
        return self._inventory.others(self._current())

    def close(self) -> None:
        """Leave to Ray what is not deleted yet."""
        self._sweeper.close()

    def _current(self) -> Sequence[Record]:
        found = (self._records.find(name) for name in self._records.current())
        return [record for record in found if record is not None]

    def _hand_over(self, record: Record, request: LaunchRequest) -> None:
        self._records.create(record)
        request.directory.create()
        write_ray_job(record.files, ray_job_of(request, self._section, self._environment))
        try:
            self._rest.submit(job_of(request, self._section))
        except LaunchRefused:
            self._records.discard(record.allocation)
            raise
        self._records.set_taken(record)

    def _jobs(self, wanted: Mapping[str, Record]) -> dict[str, Job]:
        rows = self._job_list.all()
        if not self._swept and rows is not None:
            self._swept = True
            self._sweep([str(row["submission_id"]) for row in rows if row.get("submission_id")])
        return self._job_list.named(wanted, rows)

    def _sweep(self, names: Sequence[str]) -> None:
        """What a server that is gone has not deleted any more."""
        self._announcer.adopt(names)
        for name in names:
            record = self._records.find(name)
            if record is not None and record.ending is not None:
                self._sweeper.add(record)

    def _look(self, record: Record, job: Job | None) -> Observation:
        """At one that was not over yet."""
        try:
            seen = None if job is None else alive(record, job)
        except (KeyError, TypeError, ValueError):
            raise self._rest.wrong("GET /api/jobs/") from None
        if seen is not None:
            return seen
        with self._turns.at_once(record.allocation) as mine:
            newest = self._records.find(record.allocation) if mine else None
            if newest is None:
                return Observation(AllocationState.UNKNOWN, detail="it is just being handed to Ray, or ended there")
            return self._over_or_absent(newest, job)

    def _over_or_absent(self, record: Record, job: Job | None) -> Observation:
        """One that Ray calls over, or does not know; nobody else changes its record now."""
        ending = record.ending or (unknown(record) if job is None else ending_of(record, job))
        if ending is None:
            return Observation(AllocationState.ABSENT)
        if record.ending is None:
            self._records.set_ended(record, ending)
            self._inventory.hear([record])
        if job is not None:
            self._sweeper.add(record)
        return self._remember(record, ending)

    def _remember(self, record: Record, ending: Ending) -> Observation:
        with self._lock:
            self._over[record.allocation] = (record, ending)
            while len(self._over) > KEPT:
                del self._over[next(iter(self._over))]
        return self._ended(record.allocation)

    def _ended(self, allocation: str) -> Observation:
        """One that is over, or that nobody knows; what it wrote on its node may be seen here later."""
        with self._lock:
            known = self._over.get(allocation)
        if known is None:
            return Observation(AllocationState.ABSENT)
        record, ending = known
        if ending.by_itself and has_word(record):
            ending = Ending()
            with self._lock:
                self._over[allocation] = (record, ending)
        return observation(record, ending)

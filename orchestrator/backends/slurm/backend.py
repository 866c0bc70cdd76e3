"""Slurm as an engine: what is launched becomes one of its jobs, waits in its queue, and is placed by it."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

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
from orchestrator.backends.slurm.abandoned import Abandoned
from orchestrator.backends.slurm.capacity import Ground, assumed, capacity_of, ground_of
from orchestrator.backends.slurm.commands import Slurm
from orchestrator.backends.slurm.endings import told
from orchestrator.backends.slurm.limits import Limit, limit_of
from orchestrator.backends.slurm.orders import Orders
from orchestrator.backends.slurm.probe import probe
from orchestrator.backends.slurm.records import Record, Records
from orchestrator.backends.slurm.refusals import NotStarted
from orchestrator.backends.slurm.request import Lane, Place, lane_of, parameters_of, terms_of
from orchestrator.backends.slurm.shape import Shape, shape_of
from orchestrator.backends.slurm.submit import Submitter
from orchestrator.backends.slurm.watch import Asked, Watch
from orchestrator.backends.slurm.whereabouts import left_behind, waiting
from orchestrator.backends.turns import Turns
from orchestrator.base.clock import Clock, SystemClock
from orchestrator.base.errors import BackendUnavailable, LaunchRefused, UsageError
from orchestrator.base.paths import state_dir
from orchestrator.lifecycle.failures import FailureClass
from orchestrator.rundir.allocations import AllocationFiles, is_safe_name
from orchestrator.rundir.batch import Batch, write_batch
from orchestrator.spec.profile import ClusterProfile

_BY_FORCE_AFTER = 5.0
"""Seconds after a kill that a second one is done by SIGKILL."""
_SHARE = 0.7
"""Of the time that Slurm leaves a job to end: for its processes; the rest is for their agents."""
_KEPT = 1000


@dataclass(frozen=True)
class _Prepared:
    """A launch as Slurm would be asked for it."""

    shape: Shape
    limit: Limit
    lane: Lane
    parameters: Mapping[str, Any]


class SlurmBackend:
    """A Slurm cluster. Threads may share it; one process serves a state directory.

    Args:
        profile: of the cluster.
        state: the server's state directory; default: the user's.
        environment: of the server; default: that of this process.
        clock: what time it is.
        watch: what looks at Slurm; default: one that runs its programs.

    Raises:
        UsageError: this installation has no submitit.
    """

    name = "slurm"
    queues = True

    def __init__(
        self,
        profile: ClusterProfile,
        *,
        state: Path | None = None,
        environment: Mapping[str, str] | None = None,
        clock: Clock | None = None,
        watch: Watch | None = None,
    ) -> None:
        if importlib.util.find_spec("submitit") is None:
            raise UsageError(
                f"cluster {profile.name} is a Slurm, which jobs reach through submitit, and submitit is not installed",
                hint="install the package with its extra: orchestrator[slurm]",
            )
        self._profile = profile
        self._section = profile.slurm
        self._clock = clock or SystemClock()
        self._slurm = Slurm(self._section, environment=environment)
        self._watch = watch or Watch(self._slurm, look_every=self._section.look_every, clock=self._clock)
        self._submitter = Submitter(self._slurm, self._section, environment=environment)
        self._records = Records((state or state_dir()) / "slurm" / "allocations")
        self._orders = Orders(self._slurm)
        self._turns = Turns()
        self._abandoned = Abandoned(self._clock)
        self._killed: dict[str, float] = {}
        self._over: dict[str, Observation] = {}

    @property
    def commands(self) -> Slurm:
        """The programs that it runs, and how often it did."""
        return self._slurm

    def plan(self, request: LaunchRequest) -> LaunchPlan:
        """The script that `launch` would submit; changes nothing, and needs no Slurm.

        Raises:
            LaunchRefused: it can never start on this cluster.
        """
        lane = self._lane(request)
        notes: tuple[str, ...] = ()
        try:
            ground = self._ground(lane)
        except BackendUnavailable as error:
            ground, notes = Ground(lane.partition or ""), (assumed(error),)
        found = self._prepare(request, lane, ground)
        script, (slots, cores) = self._submitter.path(request), self._takes(request)
        return LaunchPlan(
            argv=("sbatch", "--parsable", str(script)),
            env={} if self._section.conf is None else {"SLURM_CONF": self._section.conf},
            slots=found.shape.workers * slots,
            cpus=found.shape.workers * cores,
            script=self._submitter.script(request, found.parameters, found.shape.tasks),
            shape=found.shape.text,
            limit=found.limit.seconds,
            limit_why=found.limit.why,
            notes=notes,
        )

    def expected_start(self, request: LaunchRequest) -> float | None:
        """When Slurm would start it now, by `sbatch --test-only`."""
        self._watch.heard()
        lane = self._lane(request)
        found = self._prepare(request, lane, self._ground(lane))
        return self._submitter.expected_start(request, found.parameters, found.shape.tasks)

    def launch(self, request: LaunchRequest) -> None:
        """Submit an allocation.

        It is written down first, and Slurm's job carries its name. Where it stands there without a number (a crash,
        or sbatch's answer was lost), looks that begin now say whether Slurm has it; where it does not stand there,
        any look of this process does, for nobody but this process submits it.

        Raises:
            LaunchRefused: it can never start.
            BackendUnavailable: Slurm does not answer, or takes no more jobs now.
        """
        with self._turns.of(request.allocation):
            known = self._records.find(request.allocation)
            if known is not None and known.job:
                return
            begun = AllocationFiles(request.directory, request.allocation).read_claim() is not None
            if known is not None and begun:
                return
            if known is None:
                sight = self._watch.sight(request.allocation)
            else:
                sight = left_behind(self._watch, self._clock, request.allocation)
            if sight is not None and (begun or not sight.over):
                self._adopt(request, known, sight.job)
            elif not begun:
                self._submit(request)  # Slurm remembers also what it refused, as failed

    def observe(self, allocations: Sequence[str]) -> Mapping[str, Observation]:
        """Look at all of them, in the newest look at Slurm's queue."""
        records = {name: self._records.find(name) for name in allocations if name not in self._over}
        asked = [Asked(name) if record is None else record.asked for name, record in records.items()]
        seen = self._watch.observe(asked)
        found = {name: self._ended(name) for name in allocations if name in self._over}
        for name, record in records.items():
            if record is None:
                found[name] = seen[name]
            else:
                self._correct(record, seen[name])
                self._abandoned.end(record, seen[name], self.kill)
                found[name] = self._noted(record, seen[name])
        return found

    def adjust(self, allocation: str, standing: Standing) -> str:
        """Move a pending one in Slurm's queue, hold it or release it, as far as Slurm lets us."""
        with self._turns.now(allocation):
            record = self._records.find(allocation)
            if record is None or not record.job or allocation in self._over:
                return ""
            sight = waiting(self._watch, allocation)
            if sight is None:
                return ""
            if sight.job != record.job:
                record = self._records.set_job(record, sight.job)
            lane = lane_of(self._profile, standing, growth=record.growth)
            own = record.own.with_seen(record.lane, Place(sight.partition, sight.qos, sight.account))
            reached, refused = self._orders.move(allocation, record.job, record.lane, lane, own)
            if reached != record.lane:
                self._records.set_lane(record, reached, own)
                self._watch.changed()
            return refused

    def stop(self, allocation: str, *, grace_seconds: float) -> None:
        """Call off one that nobody runs yet; leave word for its agents where they do."""
        with self._turns.now(allocation):
            record = self._records.find(allocation)
            if record is None or allocation in self._over:
                return
            begun = [part for part in record.parts if not _is_called_off(part)]
            for part in begun:
                part.request_stop(grace_seconds)
            if len(begun) < len(record.parts):
                self._cancel(record, *(("--state=PENDING",) if begun else ()))

    def kill(self, allocation: str) -> None:
        """End it: by Slurm's own means first, which gives its processes a few seconds; asked again, by force."""
        with self._turns.now(allocation):
            record = self._records.find(allocation)
            if allocation in self._over or not is_safe_name(allocation):
                return
            if record is None:
                self._kill_unknown(allocation)
                return
            for part in record.parts:
                _is_called_off(part)
            since = self._killed.setdefault(allocation, self._clock.monotonic())
            if self._clock.monotonic() - since >= _BY_FORCE_AFTER:
                self._cancel(record, "--signal=KILL", "--full")
            self._cancel(record)

    def list(self) -> Sequence[str]:
        """All allocations that wait or run."""
        alive = (AllocationState.PENDING, AllocationState.RUNNING)
        return [name for name, seen in self.observe(self._records.current()).items() if seen.state in alive]

    def capacity(self) -> Capacity:
        """Nodes of the partitions that the profile names."""
        nodes, partitions = self._watch.nodes(), self._watch.partitions()
        return capacity_of(self._section, nodes, partitions, self._watch.counted_at())

    def announce(self, wanted: Sequence[Room]) -> None:
        """Nothing: Slurm sees what waits in its own queue."""

    def others(self, node: str) -> Others:
        """Nothing: Slurm counts what others hold as taken."""
        return Others()

    def close(self) -> None:
        """End the thread that looks, and what of Slurm's programs runs; from here on Slurm is not asked again."""
        self._slurm.close()
        self._watch.close()

    @cached_property
    def _kill_wait(self) -> float:
        return probe(self._slurm).kill_wait

    def _lane(self, request: LaunchRequest) -> Lane:
        terms = terms_of(request)
        return lane_of(self._profile, terms.standing, growth=terms.growth)

    def _ground(self, lane: Lane) -> Ground:
        nodes, partitions = self._watch.nodes(), self._watch.partitions()
        return ground_of(lane.partition, nodes, partitions, self._section.constraint)

    def _prepare(self, request: LaunchRequest, lane: Lane, ground: Ground) -> _Prepared:
        terms, section = terms_of(request), self._section
        shape = shape_of(
            terms, request.launch, ground.nodes, gres=section.gres, most=ground.most_nodes, partition=ground.name
        )
        limit = limit_of(
            request.launch,
            time_limit=request.time_limit,
            expected=terms.expected,
            longest=section.longest,
            most=ground.most_time,
            default=ground.default_time,
            warn_before=section.warn_before,
        )
        return _Prepared(shape, limit, lane, parameters_of(request, section, lane, shape, limit, ground.nodes))

    def _takes(self, request: LaunchRequest) -> tuple[int, int]:
        """Slots of one worker, and its cores beside them: where no node has a GPU, slots are cores."""
        gpus, cores = request.launch.gpus_per_worker, request.launch.cpus_per_worker
        try:
            by_gpu = gpus > 0 or self.capacity().cores_apart
        except BackendUnavailable:
            by_gpu = False
        return (gpus, cores) if by_gpu else (cores, 0)

    def _adopt(self, request: LaunchRequest, known: Record | None, job: str) -> None:
        """Slurm has it already: a server that is gone submitted it."""
        if known is None:
            lane = self._lane(request)
            known = self._record(request, self._prepare(request, lane, self._ground(lane)))
            self._records.create(known)
        self._records.set_job(known, job)

    def _submit(self, request: LaunchRequest) -> None:
        lane = self._lane(request)
        ground = self._ground(lane)
        found = self._prepare(request, lane, ground)
        record = self._record(request, found)
        request.directory.create()
        for part in record.parts:
            write_batch(part, self._batch(request, found, ground))
        self._records.create(record)
        try:
            with self._watch.launching(request.allocation):
                job = self._submitter.submit(request, found.parameters, found.shape.tasks)
        except (LaunchRefused, NotStarted):
            self._records.discard(request.allocation)
            raise
        self._records.set_job(record, job)

    def _record(self, request: LaunchRequest, found: _Prepared) -> Record:
        return Record(
            request.allocation,
            request.directory.path.absolute(),
            self._clock.now(),
            found.limit.final,
            found.lane,
            growth=terms_of(request).growth,
            tasks=found.shape.tasks,
        )

    def _batch(self, request: LaunchRequest, found: _Prepared, ground: Ground) -> Batch:
        launch, terms = request.launch, terms_of(request)
        grows = self._section.growth is not None and launch.elastic
        return Batch(
            workers=found.shape.per_node,
            gpus=launch.gpus_per_worker,
            grace=found.limit.warn * _SHARE,
            time_limit=None if terms.growth else request.time_limit,
            wall_is_ours=not found.limit.final,
            elastic=launch.elastic,
            grows=grows,
            joined=grows or found.shape.nodes_max > 1,
            notice=self._kill_wait * _SHARE + ground.grace_time,
            commands=self._section.commands or "",
            conf=self._section.conf or self._slurm.environment.get("SLURM_CONF", ""),
        )

    def _noted(self, record: Record, seen: Observation) -> Observation:
        """One look; an end is final."""
        if seen.state is not AllocationState.ENDED:
            return seen
        seen = told(record, seen, self._watch.partitions)
        if seen.provisional and seen.failure_class == FailureClass.PERMANENT:
            detail = f"Slurm's job {seen.engine_id} was cancelled by Slurm's own means; accounting is asked by whom"
            return Observation(AllocationState.UNKNOWN, detail=detail, engine_id=seen.engine_id)
        self._records.set_ended(record.allocation)
        self._killed.pop(record.allocation, None)
        self._over[record.allocation] = seen
        while len(self._over) > _KEPT:
            self._over.pop(next(iter(self._over)), None)
        return seen

    def _ended(self, allocation: str) -> Observation:
        """One that is over; what it wrote on its node may be seen here later."""
        seen = self._over[allocation]
        silent = seen.by_itself and seen.failure_class == FailureClass.INFRASTRUCTURE
        if silent and (record := self._records.find(allocation)) is not None:
            self._over[allocation] = seen = told(record, seen, self._watch.partitions)
        return seen

    def _correct(self, record: Record, seen: Observation) -> None:
        """The number is that of the job that counts: one submitted before it may have landed after all."""
        living = seen.state in {AllocationState.PENDING, AllocationState.RUNNING}
        if living and seen.engine_id not in {"", record.job}:
            with self._turns.at_once(record.allocation) as mine:
                if mine and (newest := self._records.find(record.allocation)) is not None:
                    self._records.set_job(newest, seen.engine_id)

    def _cancel(self, record: Record, *options: str) -> None:
        before, record = record, self._records.set_cancelled(record, True)
        try:
            self._orders.cancel(record.allocation, record.job, *options)
        except BackendUnavailable:
            self._records.set_cancelled(record, before.cancelled)  # what ends it now may be something else
            raise
        self._watch.changed()

    def _kill_unknown(self, allocation: str) -> None:
        """One that was never launched from here, as far as is known; Slurm may know better."""
        sight = self._watch.sight(allocation)
        if sight is not None and not sight.over:
            self._orders.cancel(allocation, sight.job)
            self._watch.changed()


def _is_called_off(part: AllocationFiles) -> bool:
    """Whether nobody runs it, or ever will: who starts for it finds that out and stops."""
    if part.claim(None):
        return True
    claim = part.read_claim()
    return claim is not None and claim.guard is None

"""A running job gets more or fewer workers: what is refused, what is written down, and when it is given up."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from orchestrator.backends.protocol import Capacity
from orchestrator.base.errors import Conflict, UsageError
from orchestrator.base.text import counted, one_line
from orchestrator.control.accounts import charge
from orchestrator.control.demands import placement_of
from orchestrator.control.headroom import Headroom
from orchestrator.control.membership import running, runs_on
from orchestrator.control.places import between, trimmed
from orchestrator.control.site import Site
from orchestrator.control.starting import phase_of
from orchestrator.control.terms import Width
from orchestrator.control.timers import Elapsed
from orchestrator.control.wishes import running_run
from orchestrator.lifecycle.reasons import Holder, duration, too_few_slots
from orchestrator.lifecycle.states import JobState
from orchestrator.planning.launch import is_elastic, kind_of
from orchestrator.scheduling.cluster import joined
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.store import events, jobs, nodes, runs
from orchestrator.store.records import JobRecord, Placed, RunRecord

_UNCHANGED = "nothing was changed"
_NOT_YET = frozenset({JobState.QUEUED, JobState.HELD, JobState.RECOVERING, JobState.STARTING})
_LONGEST_REST = 6 * 3600.0


@dataclass(frozen=True)
class Pin:
    """A person gives a running job another number of workers; the policy leaves its width alone from then on."""

    site: Site
    connection: Connection
    job: JobRecord
    workers: int
    by: str

    def begin(self, capacity: Capacity) -> None:
        """Write the wish down; the next pass of the controller tells the run. Asking twice changes nothing.

        Raises:
            UsageError: the workload can never have so many.
            Conflict: not now: it does not run, another resize is under way, or there is no room.
        """
        workload = _elastic(self.site, self.job)
        if self.job.state in {JobState.QUEUED, JobState.HELD}:
            raise Conflict(f"job {self.job.id} {self.job.state.clause}", hint=self._anew(workload))
        self._refuse_while_it_starts()
        run = running_run(self.connection, self.job, "be resized")
        self._refuse_for_ever(workload)
        if self.site.backend.queues:
            self._ask_the_engine(run)
            return
        if run.wanted == self.workers:
            if not run.pinned:
                _say(self.site, self.connection, run, f"pinned at {counted(self.workers, 'worker')} by", self.by)
            runs.change(self.connection, run, pinned=True)
            return
        if self.job.state is JobState.RESIZING:
            under_way = f"from {run.resizing_from} to {counted(run.wanted, 'worker')}"
            raise Conflict(
                f"job {self.job.id} is being resized {under_way} already",
                hint="wait until that is done; `orchestrator status` tells",
            )
        self._write_down(run, self._placement(run, capacity))

    def _ask_the_engine(self, run: RunRecord) -> None:
        """Where the engine places what joins the run, it has that width when the engine has given it."""
        engine, width = self.site.backend.name.capitalize(), Width.of(self.site, self.job)
        if self.workers > max(width.most, run.world_size):
            raise Conflict(
                f"job {self.job.id} keeps the {counted(width.most, 'worker')} that it began with: no run grows on "
                f"cluster {self.site.profile.name}",
                hint="its profile has no `slurm.growth`",
            )
        if run.wanted != self.workers:
            _say(self.site, self.connection, run, f"asked to have up to {counted(self.workers, 'worker')} by", self.by)
            more = f"; {engine} gives it more as there is room" if self.workers > run.world_size else ""
            reason = f"{runs_on(run.world_size, self.workers, run.id)}{more}"
            jobs.set_columns(self.connection, self.job, reason=reason)
        elif not run.pinned:
            _say(self.site, self.connection, run, f"pinned at {counted(self.workers, 'worker')} by", self.by)
        runs.change(self.connection, run, wanted=self.workers, pinned=True)

    def _anew(self, workload: RegNetWorkload) -> str:
        """How a job that waits would have so many workers, if it could."""
        try:
            self._refuse_by_limits(workload)
        except UsageError as error:
            return f"it could not have {self.workers} either: {error.message}; {error.hint}"
        return f"cancel it, and submit it anew with --set resources.workers={self.workers}"

    def _refuse_while_it_starts(self) -> None:
        phase = phase_of(self.site, self.connection, self.job, runs.newest_of(self.connection, self.job.id))
        if phase:
            raise Conflict(
                f"job {self.job.id} cannot be resized yet, it is {phase}",
                hint=f"{_UNCHANGED}; once it runs (`orchestrator status {self.job.id}`), ask again",
            )

    def _refuse_for_ever(self, workload: RegNetWorkload) -> None:
        asked = workload.resources.workers
        if self.workers not in asked:
            least = "" if asked.min == asked.max else f"{asked.min} to "
            raise UsageError(
                f"job {self.job.id} has {least}{counted(asked.max, 'worker')} by its resources.workers, "
                f"not {self.workers}",
                hint=_UNCHANGED,
            )
        self._refuse_by_limits(workload)

    def _refuse_by_limits(self, workload: RegNetWorkload) -> None:
        slices, most = workload.train.virtual_workers, self.site.profile.limits.max_workers
        if self.workers > slices:
            raise UsageError(
                f"job {self.job.id} cuts its batch into {counted(slices, 'virtual worker')}; "
                f"{self.workers} workers would have nothing to do",
                hint=f"{_UNCHANGED}; one with a lower train.samples_per_virtual_worker is cut into more",
            )
        if most is not None and self.workers > most:
            allowed = counted(most, "worker")
            raise UsageError(f"cluster {self.site.profile.name} allows {allowed} a job", hint=_UNCHANGED)

    def _placement(self, run: RunRecord, capacity: Capacity) -> Placed:
        """Where its workers will lie."""
        before = sum(workers for _, workers in run.placement)
        if self.workers <= before:
            return trimmed(run.placement, self.workers)
        room = Headroom.now(self.connection, self.site, capacity)
        wider = room.widened(run.placement, self.job.id, self.workers)
        found = sum(workers for _, workers in wider)
        if found < self.workers:
            self._refuse_without_room(run, capacity, room, found)
        return wider

    def _refuse_without_room(self, run: RunRecord, capacity: Capacity, room: Headroom, possible: int) -> None:
        more = self.workers * self.job.slots_per_worker - run.slots
        active = runs.unreleased(self.connection)
        holders = [Holder(other.job, other.slots, other.created_at) for other in active if other.job != run.job]
        why = too_few_slots(more, room.free, capacity.slots, capacity.slot_kind, holders).text
        others = self.workers - run.wanted
        raise Conflict(
            f"job {self.job.id} cannot grow from {run.wanted} to {counted(self.workers, 'worker')}: "
            f"for {others} more it {why}",
            hint=f"there is room for {possible} now" if possible > run.wanted else _UNCHANGED,
        )

    def _write_down(self, run: RunRecord, placement: Placed) -> None:
        if run.world_size == self.workers:  # a lost worker that is not to be replaced
            run = charge(self.connection, self.site, run)
            slots = self.workers * self.job.slots_per_worker
            runs.change(self.connection, run, wanted=self.workers, slots=slots, placement=placement, pinned=True)
            jobs.set_columns(self.connection, self.job, reason=running(self.workers, run.id))
            return
        reason = f"asked to resize from {run.wanted} to {counted(self.workers, 'worker')} by {one_line(self.by, 200)}"
        write_down(self.site, self.connection, self.job, run, placement, reason=reason, pinned=True)


def write_down(
    site: Site,
    connection: Connection,
    job: JobRecord,
    run: RunRecord,
    placement: Placed,
    *,
    reason: str,
    freed_for: str | None = None,
    pinned: bool = False,
) -> None:
    """A resize that begins: until it is done both of the two placements are kept for the run.

    Args:
        site: where.
        connection: of a transaction.
        job: whose run.
        run: which runs.
        placement: what it will have.
        reason: for people.
        freed_for: the job that it gives slots up for.
        pinned: a person chose the width.
    """
    now = site.clock.now()
    run = charge(connection, site, run)
    becomes, workers = tuple((node, count) for node, count in placement), sum(count for _, count in placement)
    held = joined(placement_of(run.placement) or (), placement_of(becomes) or ())
    runs.change(
        connection,
        run,
        wanted=workers,
        resizing_from=run.wanted,
        resizing_since=now,
        resized_at=now,
        slots=max(run.slots, sum(count for _, count in held) * job.slots_per_worker),
        placement=tuple(map(tuple, held)),
        was=run.placement,
        becomes=becomes,
        freed_for=freed_for,
        pinned=pinned,
    )
    told = {"workers": workers} | ({} if freed_for is None else {"for": freed_for})
    jobs.move(connection, job, JobState.RESIZING, reason=reason, time=now, run=run.id, data=told)


def _elastic(site: Site, job: JobRecord) -> RegNetWorkload:
    """The workload of a job whose width can change while it runs.

    Raises:
        UsageError: it cannot.
    """
    workload = site.workload_of(job)
    if not is_elastic(workload):
        raise UsageError(
            f"job {job.id} is a {kind_of(workload)}: it keeps the workers that it was started with",
            hint="one training of a recipe can be resized, with elastic.engine: builtin",
        )
    return workload


def unpin(site: Site, connection: Connection, job: JobRecord, by: str) -> None:
    """The policy chooses its width again, that of its run or of the next one.

    Raises:
        UsageError: it has no width that could change.
        Conflict: it neither runs nor waits with a width that a person chose.
    """
    _elastic(site, job)
    run = runs.newest_of(connection, job.id)
    if job.state not in _NOT_YET or run is None or not run.pinned:
        if job.state is JobState.STARTING:
            raise Conflict(f"no person chose the width of job {job.id}", hint=f"{_UNCHANGED}: the policy chooses it")
        run = running_run(connection, job, "be resized")
    if run.pinned:
        _say(site, connection, run, "its width was handed back to the policy by", by)
        wanted = Width.of(site, job).most if site.backend.queues else run.wanted
        runs.change(connection, run, pinned=False, wanted=wanted)


def _say(site: Site, connection: Connection, run: RunRecord, what: str, by: str) -> None:
    """In the history of the job: who changed what nobody else can see."""
    message = f"{what} {one_line(by, 200)}"
    events.append(connection, run.job, "width", message, time=site.clock.now(), run=run.id, data={"by": by})


class Resizes:
    """The controller's look at resizes that are under way."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._elapsed = Elapsed(site.clock)

    def watch(self, run: RunRecord, capacity: Capacity) -> None:
        """Call a resize off that cannot or does not come about: the run goes on with the workers that it had."""
        if run.resizing_since is None or run.resizing_from is None:
            return
        key = f"{run.id} {run.resizing_since}"
        limit = self._site.profile.watch.resize_within
        gone = self._unusable(run, capacity)
        late = self._elapsed.since(key, run.resizing_since) > limit
        if not (late or gone):
            return
        why = gone or f"{run.wanted} did not come about within {duration(limit)}"
        with self._site.commit("resize called off") as connection:
            self._call_off(connection, run, run.resizing_from, why, slow=not gone)
        self._elapsed.drop(key)

    def _unusable(self, run: RunRecord, capacity: Capacity) -> str:
        """Which node that it was to go to takes nothing more; empty: none of them."""
        has, wanted = dict(run.was or run.placement), run.becomes or ()
        goes_to = [node for node, count in wanted if count > has.get(node, 0)]
        if not goes_to:
            return ""
        with self._site.store.read() as connection:
            marks = nodes.all(connection)
        up = {node.name for node in capacity.nodes if node.up}
        drained = {node.name for node in capacity.nodes if node.drained}
        for name in goes_to:
            if name not in up:
                return f"node {name} is down"
            if name in drained or (name in marks and marks[name].state == "drained"):
                return f"node {name} is drained"
        return ""

    def _call_off(self, connection: Connection, run: RunRecord, before: int, why: str, *, slow: bool) -> None:
        job = jobs.get(connection, run.job)
        run = charge(connection, self._site, run)
        workers, now = max(before, run.world_size), self._site.clock.now()
        times = self._called_off_before(connection, run) + slow
        runs.change(
            connection,
            run,
            wanted=before,
            resizing_from=None,
            resizing_since=None,
            resized_at=now + (self._rest(times) if slow else 0.0),
            slots=workers * job.slots_per_worker,
            placement=between(run.was or run.placement, run.becomes or run.placement, workers),
            was=None,
            becomes=None,
            freed_for=None,
        )
        self._forget_claim(connection, run.freed_for)
        if job.state is JobState.RESIZING and job.token == run.token:
            had = f"wanted on {counted(before, 'worker')} again: {why}, it has {run.world_size}"
            reason = f"{had}; `orchestrator logs {job.id}` may tell why" if slow else had
            told = {"number": times}
            jobs.move(connection, job, JobState.RUNNING, reason=reason, time=now, run=run.id, data=told)

    def _called_off_before(self, connection: Connection, run: RunRecord) -> int:
        """How many resizes of this run were too slow."""
        told = events.numbers(connection, run.job, run.id, "state")
        return max((number for number in told if isinstance(number, int)), default=0)

    def _rest(self, times: int) -> float:
        """Seconds for which a run that was too slow so often is asked for no resize, beside the policy's `between`."""
        return float(min(_LONGEST_REST, self._site.profile.watch.resize_within * 2.0 ** min(times - 1, 30)))

    def _forget_claim(self, connection: Connection, name: str | None) -> None:
        """Nothing is freed for that job after all: it is decided anew."""
        if name is None:
            return
        job = jobs.get(connection, name)
        if job.claim is not None:
            jobs.set_columns(connection, job, claim=None)

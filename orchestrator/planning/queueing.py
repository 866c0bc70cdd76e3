"""What an engine with a queue of its own would be asked for a workload, and, by its dry run, when it would start it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.backends.protocol import Backend, Capacity, LaunchRequest, Needs, Standing, Terms
from orchestrator.base.errors import BackendUnavailable, LaunchRefused, UsageError
from orchestrator.base.text import counted, one_line
from orchestrator.planning.check import cores_per_worker, slots_per_worker
from orchestrator.planning.launch import is_elastic, launch_for
from orchestrator.planning.whatif import NEW, some_widths
from orchestrator.rundir.layout import RunDirectory
from orchestrator.scheduling.cluster import Demand
from orchestrator.scheduling.jobs import Estimate, Job
from orchestrator.scheduling.upper_bound import upper_bound
from orchestrator.spec.answers import EstimateView, Moment, Option, WhatIfView
from orchestrator.spec.profile import ClusterProfile
from orchestrator.spec.workload import Workload

_LONGEST = 200


@dataclass(frozen=True)
class Ask:
    """What is asked of the engine for a workload.

    Attributes:
        workload: the resolved workload.
        profile: the cluster.
        workdir: where the user stands.
        directory: that its first run would have.
        environment: of the user's shell.
        estimate: of its run time; None: nobody has an idea.
        memory: bytes that each worker is reckoned to need, where the workload does not say; 0: not counted.
    """

    workload: Workload
    profile: ClusterProfile
    workdir: str
    directory: RunDirectory
    environment: Mapping[str, str]
    estimate: EstimateView | None = None
    memory: int = 0

    def request(self, workers: int | None = None) -> LaunchRequest:
        """The first allocation of its first run.

        An elastic run begins with its fewest workers, or as few more as nodes hold in equal shares, and grows; others
        take what they get of what they asked for.

        Args:
            workers: as if it asked for exactly so many; None: as it is written.
        """
        low, first, most = self._width(workers)
        run = f"{NEW}-r1"
        launch = launch_for(
            self.workload,
            job=NEW,
            run=run,
            token=1,
            workers=first,
            workdir=self.workdir,
            environment=self.environment,
            python=self.profile.python,
        )
        limits = (self.workload.time_limit, self.profile.limits.max_time)
        return LaunchRequest(
            f"{run}.0",
            self.directory,
            launch,
            min((limit for limit in limits if limit is not None), default=None),
            terms=self._terms(low, most, exact=workers is not None),
        )

    def _width(self, workers: int | None) -> tuple[int, int, int]:
        """The fewest workers, those that it is launched with, and the most."""
        if workers is not None:
            return workers, workers, workers
        asked, limit = self.workload.workers, self.profile.limits.max_workers
        most = max(asked.min, asked.max if limit is None else min(asked.max, limit))
        return asked.min, asked.min if is_elastic(self.workload) else most, most

    def _terms(self, low: int, high: int, *, exact: bool) -> Terms:
        asked = self.workload.resources
        return Terms(
            workers_min=low,
            workers_max=high,
            standing=Standing(self.workload.priority, self.workload.team),
            name=self.workload.name,
            needs=Needs(
                memory=asked.memory_per_worker or self.memory,
                gpu_types=tuple(asked.gpu_types),
                not_on=tuple(asked.not_on),
                same_rack=asked.same_rack,
                anywhere=asked.placement == "anywhere",
            ),
            expected=self._at_most(low, exact=exact),
        )

    def _at_most(self, workers: int, *, exact: bool) -> float | None:
        """The upper bound of what it takes with so many workers; exact: it would ask for no other number."""
        known = self.estimate
        if known is None:
            return None
        if exact and workers in known.widths:
            estimate, demand = Estimate(known.widths[workers], known.error), Demand(workers, workers)
        else:
            most = max(workers, self.workload.workers.max)
            estimate, demand = Estimate(known.seconds, known.error), Demand(min(workers, most), most)
        bound = upper_bound(Job(NEW, 1, 0.0, demand, estimate=estimate, exponent=known.exponent), workers)
        return bound if math.isfinite(bound) else None


def capacity_or_all(backend: Backend, workload: Workload) -> tuple[Capacity, str]:
    """What the engine has; one with a queue of its own that is silent counts as if it had room for the workload.

    Returns:
        The capacity, and why it is not known; empty where it is.

    Raises:
        BackendUnavailable: an engine without a queue of its own does not answer.
    """
    try:
        return backend.capacity(), ""
    except BackendUnavailable as error:
        if not backend.queues:
            raise
        return room_for(workload), one_line(error.message, _LONGEST)


def refuse_unfit(ask: Ask, backend: Backend) -> None:
    """Refuse what the engine's own shapes never hold, in the words in which a launch would be refused.

    It is a dry run on what is known of the engine; one that is silent is not waited for.

    Raises:
        UsageError: it never fits.
    """
    try:
        backend.plan(ask.request())
    except LaunchRefused as error:
        raise UsageError(f"{ask.workload.name}: {error.message}", hint=error.hint) from error
    except BackendUnavailable:
        return


def room_for(workload: Workload) -> Capacity:
    """An engine that has what the workload asks for, where nobody knows what there is."""
    kind = "gpu" if workload.resources.gpus_per_worker else "cpu"
    room = max(workload.resources.workers.max, 1) * slots_per_worker(workload, Capacity(0, 0, 0, kind))
    return Capacity(room, 0, room, kind)


def dry_run_view(ask: Ask, backend: Backend, widths: Sequence[int], *, now: float, live: bool) -> WhatIfView:
    """When the engine would start the workload, as it is written and as if it asked for exactly so many workers.

    Args:
        ask: what is asked of it.
        backend: the engine.
        widths: numbers of workers; empty: a few of those that the workload may have.
        now: seconds since the epoch.
        live: a server asks, for its own queue.
    """
    capacity, unknown = capacity_or_all(backend, ask.workload)
    slots = slots_per_worker(ask.workload, capacity)
    cores = cores_per_worker(ask.workload, capacity)
    low, high = ask.workload.workers.min, ask.workload.workers.max
    others = [width for width in dict.fromkeys(widths or some_widths(ask.workload)) if not width == low == high]
    options, silent = [], unknown
    for width in (None, *others):
        option, why = _option(ask, backend, width, now) if not silent else (_unknown(ask, width), "")
        options.append(option.model_copy(update={"slots": slots, "cpus": cores}))
        silent = silent or why
    return WhatIfView(
        now=now,
        profile=ask.profile.name,
        policy="",
        engine=backend.name,
        live=live,
        estimate=ask.estimate,
        options=options,
        notes=[*_notes(ask, backend.name, silent)],
    )


def _option(ask: Ask, backend: Backend, width: int | None, now: float) -> tuple[Option, str]:
    """One number of workers, and why the engine is silent; empty where it is not."""
    found, request = _unknown(ask, width), ask.request(width)
    try:
        start = backend.expected_start(request)
    except LaunchRefused as error:
        return found.model_copy(update={"reason": f"refused: {one_line(error.message, _LONGEST)}"}), ""
    except BackendUnavailable as error:
        return found, one_line(error.message, _LONGEST)
    if start is None:
        return found.model_copy(update={"reason": f"{backend.name.capitalize()} does not say when"}), ""
    begins = max(start, now)
    seconds = _seconds(ask, request.launch.workers)
    end = None if seconds is None else Moment(at=begins + seconds)
    return found.model_copy(update={"start": Moment(at=begins), "waits": begins - now, "end": end}), ""


def _unknown(ask: Ask, width: int | None) -> Option:
    asked = ask.workload.workers
    low, high = (asked.min, asked.max) if width is None else (width, width)
    begins = ask.request(width).launch.workers
    return Option(workers_min=low, workers_max=high, slots=0, workers=begins if begins != high else None)


def _seconds(ask: Ask, workers: int) -> float | None:
    """With the workers that it begins with; what comes later makes it quicker."""
    known = ask.estimate
    if known is None:
        return None
    most = ask.workload.workers.max
    speed: float = (min(workers, most) / most) ** known.exponent
    return known.widths.get(workers, known.seconds / speed)


def _notes(ask: Ask, engine: str, silent: str) -> Iterator[str]:
    name = engine.capitalize()
    if silent:
        yield f"{name} was not asked when it would start: {silent}"
    if ask.estimate is None and ask.workload.time_limit is None:
        yield f"nobody has an idea how long it takes: a `time_limit` may let {name} start it earlier"
    if is_elastic(ask.workload) and ask.workload.workers.max > ask.workload.workers.min:
        yield _growth(ask)


def _growth(ask: Ask) -> str:
    low, high = ask.workload.workers.min, ask.workload.workers.max
    grows = ask.profile.slurm.growth
    if grows is None:
        return f"it keeps the {counted(low, 'worker')} that it begins with: the profile has no `slurm.growth`"
    return f"it begins with {low} of up to {high} workers; the others join as partition {grows.partition} has room"

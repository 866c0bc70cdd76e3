"""`Questions`: what people ask of the live queue; answers change nothing, and many who ask share the work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from orchestrator.backends.protocol import Capacity
from orchestrator.base.errors import BackendUnavailable
from orchestrator.control.expecting import estimate_by_name
from orchestrator.control.history import Told, told_of
from orchestrator.control.lines import WITHHELD, Lines, node_views, slot_count, team_lines, under
from orchestrator.control.looking import Newest, one_what_if
from orchestrator.control.measuring import ends_of
from orchestrator.control.mirror import Mirror
from orchestrator.control.others import Withheld
from orchestrator.control.site import Site
from orchestrator.control.snapshot import Believed, Snapshots
from orchestrator.control.starting import phase_of
from orchestrator.lifecycle.reasons import Waiting, position
from orchestrator.planning.casefile import CaseFile
from orchestrator.planning.outlook import Outlook
from orchestrator.planning.waits import just_before, waiting_view
from orchestrator.planning.whatif import WhatIf, candidate, notes_of, some_widths
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.spec.answers import (
    NodeView,
    QueueView,
    Remedy,
    SlotCount,
    WhatIfRequest,
    WhatIfView,
    WhyView,
)
from orchestrator.spec.load import parse_workload
from orchestrator.spec.messages import JobView
from orchestrator.store import briefs, jobs, nodes, runs

_LONGEST_AGE = 10.0
"""Seconds for which an answer holds while nothing is written down; engines change by themselves."""
_IDLE_SHARE = 5.0
"""An answer that took long to work out is given again for so many times as long, while the queue changes on,"""
_BEHIND = 2.0
"""but for no longer than so many seconds."""
_WAITING = frozenset({"queued", "held"})
_ONE_NODE = frozenset({"local"})
"""Engines that have one node, and will never have another."""


@dataclass(frozen=True)
class _Look:
    """What was known at one moment.

    Attributes:
        outlook: the queue.
        marks: what people said of the nodes.
        capacity: of the engine.
        withheld: what others hold.
    """

    outlook: Outlook
    marks: Mapping[str, nodes.NodeMark]
    capacity: Capacity
    withheld: Withheld


class Questions:
    """Answers about the queue of one site.

    Args:
        site: the store, the engine, the profile.
        snapshots: takes the snapshot that the policy would see now; default: one of its own.
        believed: what others are believed to hold by the controller that serves the queue; for the default.
    """

    def __init__(
        self,
        site: Site,
        *,
        snapshots: Callable[[Site, Capacity], Snapshot] | None = None,
        believed: Believed = lambda: None,
    ) -> None:
        self._site = site
        self._snapshots = snapshots or Snapshots(believed).take
        self._one_what_if = threading.Lock()
        self._mirror = Mirror(site.profile.policy)
        self._newest = Newest(site, self._take, lambda: min(_BEHIND, self._cost * _IDLE_SHARE))
        self._cost = 0.0

    def forget(self) -> None:
        """Somebody changed something: the next answer is worked out anew, whatever is being looked at meanwhile."""
        self._newest.forget()

    def why(self, job: str) -> WhyView:
        """Why a job is where it is; where the engine is silent, that, and what is stored of the job.

        Raises:
            NotFound: there is no such job.
        """
        told = self._told(job)
        if told.terminal:
            return told.view
        try:
            with self._answering() as look:
                if job not in look.outlook.pending:
                    return _running(job, told, look)
                return self._waiting(job, told, look)
        except BackendUnavailable as error:
            return _unknown(told, self._site.backend.name, error)

    def queue(self, *, team: str | None = None, limit: int | None = None) -> QueueView:
        """What runs, and the first ones of what waits, in the policy's order.

        Args:
            team: only of this team and of those under it.
            limit: so many of those that wait; None: all.

        Raises:
            NotFound: there is no such team.
            BackendUnavailable: the engine does not say what it has.
        """
        with self._answering() as look:
            return self._queue(look, team, limit)

    def _queue(self, look: _Look, team: str | None, limit: int | None) -> QueueView:
        outlook = look.outlook
        chosen = None if team is None else under(team, outlook.snapshot)
        running = [r for r in outlook.snapshot.running if chosen is None or r.job.team in chosen]
        waiting = [outlook.pending[job] for job in outlook.order]
        waiting = [job for job in waiting if chosen is None or job.team in chosen]
        shown = [*(r.job.id for r in running), *(job.id for job in waiting[:limit])]
        lines = Lines(outlook, self._briefs(shown), look.withheld)
        return QueueView(
            now=outlook.now,
            profile=self._site.profile.name,
            policy=outlook.policy.name,
            slots=slot_count(node_views(outlook, look.marks, look.withheld.nodes), outlook.snapshot.slot_kind),
            running=[lines.running(r) for r in sorted(running, key=lambda r: (r.since, r.job.sequence))],
            waiting=[lines.waiting(job) for job in waiting[:limit]],
            waiting_total=len(waiting),
            held=sum(job.held for job in waiting),
            teams=team_lines(outlook.snapshot, outlook.policy.order.half_life),
            team=team or "",
            notes=look.withheld.texts,
        )

    def slot_count(self) -> SlotCount:
        """What the slots do, as `queue` tells it: of a slot that a worker without a GPU holds the engine knows nothing.

        Raises:
            BackendUnavailable: the engine does not say what it has.
        """
        with self._answering() as look:
            kind = look.outlook.snapshot.slot_kind
            found = slot_count(node_views(look.outlook, look.marks, look.withheld.nodes), kind)
        return SlotCount(total=found.total, used=found.used, free=found.free, kind=kind)

    def snapshot(self) -> str:
        """What the policy sees now, and the policy, as `CaseFile.of` reads it.

        Raises:
            BackendUnavailable: the engine does not say what it has.
        """
        with self._answering() as look:
            outlook = look.outlook
            known = self._briefs([*outlook.running, *outlook.pending]).values()
            names = {brief.id: brief.name for brief in known}
            asked = {brief.id: (brief.workers_min, brief.workers_max) for brief in known if brief.id in outlook.running}
            return CaseFile(outlook.snapshot, outlook.policy, outlook.words, asked, names).text()

    def nodes(self) -> list[NodeView]:
        """The machines, by name.

        Raises:
            BackendUnavailable: the engine does not say what it has.
        """
        with self._answering() as look:
            return node_views(look.outlook, look.marks, look.withheld.nodes)

    def what_if(self, request: WhatIfRequest) -> WhatIfView:
        """When a workload would start, and whom it would delay; nothing is queued.

        Raises:
            SpecError: the workload is wrong.
            UsageError: it can never run here, or asks for no such number of workers.
            Conflict: too many ask this at once.
            BackendUnavailable: the engine does not say what it has.
        """
        with one_what_if(self._one_what_if):
            return self._what_if(request)

    def _what_if(self, request: WhatIfRequest) -> WhatIfView:
        site = self._site
        workload = parse_workload(request.source.encode(), request.filename, tuple(request.overrides))
        with self._answering() as look:
            capacity = look.capacity
            estimate = request.estimate or estimate_by_name(site, workload)
            limit = site.profile.limits.max_time
            job = candidate(workload, capacity, look.outlook, estimate=estimate, limit=limit)
            known = self._briefs([*look.outlook.near, *look.outlook.running])
            names = {brief.id: brief.name for brief in known.values()}
            widths = request.workers or some_widths(workload)
            whatif = WhatIf(look.outlook, job, names, estimate.widths if estimate else {})
            return whatif.view(site.profile.name, widths, live=True, notes=notes_of(job))

    def whole(self, view: JobView) -> JobView:
        """The view of one job with why it waits, at length, its place, and when it should start."""
        look = self._seen([view], 0.0)
        if look is None:
            return view
        with self._measured():
            filled, outlook = _filled(view, look), look.outlook
            if filled is view:
                return view
            start, where = outlook.start_of(view.id), position(outlook.places[view.id], len(outlook.order))
            why = outlook.reason(view.id)
            reason = f"{_withheld(look) if look.withheld.keeps(view.id) else why.text}; {where}"
        likely = None if start is None or start.by_limit else start.at  # the reason tells of limits
        return filled.model_copy(update={"reason": reason, "expected_start": likely})

    def fill(self, views: Sequence[JobView], *, max_age: float = 0.0) -> list[JobView]:
        """The views with why those that wait do, in a few words.

        Args:
            views: of jobs.
            max_age: what was known so many seconds ago will do.
        """
        look = self._seen(views, max_age)
        if look is None:
            return list(views)
        with self._measured():
            return [_filled(view, look) for view in views]

    def _seen(self, views: Sequence[JobView], max_age: float) -> _Look | None:
        """What is known of these jobs; None where nothing is to be told: none waits, or the engine does not answer."""
        if not any(view.state in _WAITING for view in views):
            return None
        try:
            look = self._look(max_age)
            if any(view.state == "queued" and view.id not in look.outlook.pending for view in views):
                look = self._look()  # one of them came after that
        except BackendUnavailable:
            return None
        return look

    def _told(self, job: str) -> Told:
        with self._site.store.read() as connection:
            record = jobs.get(connection, job)
            told = told_of(self._site, connection, record, self._site.clock.now())
            phase = phase_of(self._site, connection, record, runs.newest_of(connection, job))
        return replace(told, view=told.view.model_copy(update={"phase": phase}))

    @contextmanager
    def _answering(self) -> Iterator[_Look]:
        """What is known now; how long the answer takes is remembered."""
        with self._measured():
            yield self._look()

    @contextmanager
    def _measured(self) -> Iterator[None]:
        """What is worked out for one answer serves all that follow: of each look the longest answer counts."""
        began = self._site.clock.monotonic()
        yield
        self._cost = max(self._cost, self._site.clock.monotonic() - began)

    def _look(self, max_age: float = 0.0) -> _Look:
        """What is known now; the same as before where nothing has changed, or where looking takes long."""
        return self._newest.look(max_age=max_age, unchanged=_LONGEST_AGE)

    def _take(self) -> _Look:
        began = self._site.clock.monotonic()
        capacity = self._site.backend.capacity()
        snapshot = self._snapshots(self._site, capacity)
        with self._site.store.read() as connection:
            words, marks = ends_of(connection, snapshot.now), nodes.all(connection)
        outlook = Outlook(snapshot, self._site.profile.policy, self._mirror.copy_at(snapshot), words=words)
        look = _Look(outlook, marks, capacity, Withheld(outlook, capacity, self._site.backend))
        self._cost = self._site.clock.monotonic() - began
        return look

    def _briefs(self, shown: Sequence[str]) -> Mapping[str, briefs.Brief]:
        """What people call jobs; of a long queue, those that are shown."""
        with self._site.store.read() as connection:
            return briefs.of_jobs(connection, shown)

    def _waiting(self, job: str, told: Told, look: _Look) -> WhyView:
        """Of a job that waits."""
        outlook = look.outlook
        lines = Lines(outlook, self._briefs(before := just_before(job, outlook)))
        more_nodes = self._site.profile.backend not in _ONE_NODE
        view = waiting_view(told.view, outlook, [lines.brief(other) for other in before], more_nodes=more_nodes)
        if not look.withheld.nodes or view.kind == Waiting.STARTS:
            return view
        update: dict[str, object] = {"details": [*look.withheld.texts, *view.details]}
        if look.withheld.keeps(job):
            freed = [Remedy(text=one.remedy) for one in look.withheld.nodes.values()]
            update |= {"reason": f"{WITHHELD}: {view.reason}", "remedies": [*freed, *view.remedies]}
        return view.model_copy(update=update)


def _unknown(told: Told, engine: str, error: BackendUnavailable) -> WhyView:
    """What is known while the engine is silent: what it runs, and what is free, is not."""
    said = f"the engine {engine} does not answer ({error.message}): what is free, and what runs, is not known"
    details = [told.view.reason, *told.view.details] if told.view.reason else told.view.details
    return told.view.model_copy(update={"kind": str(Waiting.ENGINE), "reason": said, "details": details})


def _running(job: str, told: Told, look: _Look) -> WhyView:
    running = look.outlook.running.get(job)
    if running is None:
        return told.view
    end = look.outlook.leaves(running)
    reason = look.outlook.explained_run(job, (told.job.workers_min, told.job.workers_max))
    return told.running(running, look.outlook.now, reason=reason, end=end)


def _filled(view: JobView, look: _Look) -> JobView:
    outlook = look.outlook
    if view.id not in outlook.pending or view.state not in _WAITING:
        return view
    where, why = position(outlook.places[view.id], len(outlook.order)), outlook.reason(view.id)
    return view.model_copy(update={"reason": f"{WITHHELD if look.withheld.keeps(view.id) else why.short}; {where}"})


def _withheld(look: _Look) -> str:
    return f"{WITHHELD}: {'; '.join(look.withheld.texts)}"

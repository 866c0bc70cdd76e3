"""`EngineQuestions`: what people ask of a queue that an engine with a queue of its own serves, such as Slurm."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.backends.protocol import Capacity
from orchestrator.base.errors import BackendUnavailable, Conflict
from orchestrator.base.text import one_line
from orchestrator.control.engine_lines import EngineLines, team_snapshot
from orchestrator.control.engine_look import EngineLook, Handed, Seen
from orchestrator.control.engine_nodes import engine_nodes
from orchestrator.control.engine_runs import details_of, drained_of, end_of, reason_of, running_of
from orchestrator.control.engine_waits import Stand, stand_here, stand_there
from orchestrator.control.expecting import estimate_by_name
from orchestrator.control.facts import FactsReader
from orchestrator.control.history import Told, told_of
from orchestrator.control.lines import slot_count, team_lines, under
from orchestrator.control.looking import Newest, one_what_if
from orchestrator.control.measuring import ends_of
from orchestrator.control.site import Site
from orchestrator.control.starting import phase_of
from orchestrator.lifecycle.reasons import Waiting, position, tells_silence, utc
from orchestrator.lifecycle.states import JobState
from orchestrator.planning.queueing import Ask, dry_run_view
from orchestrator.planning.whatif import NEW
from orchestrator.spec.answers import (
    Moment,
    NodeView,
    QueueView,
    SlotCount,
    WhatIfRequest,
    WhatIfView,
    WhyView,
)
from orchestrator.spec.load import parse_workload
from orchestrator.spec.messages import JobView
from orchestrator.store import briefs, jobs, runs

_FRESH = 1.0
"""Seconds for which a look holds while nothing is written down; the engine is looked at more rarely than that."""
_BEFORE = 3
_WAITING = frozenset({"queued", "held", "starting"})
_WITH_ENGINE = frozenset({Waiting.ENGINE, Waiting.STARTS, Waiting.FULL, Waiting.HANDED, Waiting.RELEASE})
"""What these wait for is the engine's to give."""


@dataclass(frozen=True)
class _Look:
    """What was known at one moment.

    Attributes:
        look: what was known.
        words: when running jobs should be over by their own word.
    """

    look: EngineLook
    words: Mapping[str, Moment]


class EngineQuestions:
    """Answers about the queue of one site whose engine decides itself; the same questions as of `Questions`.

    Args:
        site: the store, the engine, the profile.
        seen: the controller's newest observations.
        silence: since when the engine does not answer the controller; empty where it does.
    """

    def __init__(self, site: Site, seen: Seen, silence: Callable[[], str] = lambda: "") -> None:
        self._site = site
        self._seen = seen
        self._silence = silence
        self._reader = FactsReader()
        self._one_what_if = threading.Lock()
        self._newest = Newest(site, self._take)

    def forget(self) -> None:
        """Somebody changed something: the next answer is worked out anew."""
        self._newest.forget()

    def why(self, job: str) -> WhyView:
        """Why a job is where it is.

        Raises:
            NotFound: there is no such job.
        """
        known = self._look()
        told, look = self._told(job, known.look), known.look
        if told.terminal:
            return told.view
        if job in look.waiting:
            return self._waiting_here(told, look)
        one = look.handed.get(job)
        if one is None or told.job.state is JobState.CANCELLING:
            return told.view
        return self._running(told, one, known) if one.begun else self._waiting_there(told, one, look)

    def queue(self, *, team: str | None = None, limit: int | None = None) -> QueueView:
        """What runs, what the engine has in its queue, and what waits here.

        Args:
            team: only of this team and of those under it.
            limit: so many of those that wait, there and here; None: all.

        Raises:
            NotFound: there is no such team.
        """
        known = self._look()
        look, site = known.look, self._site
        snapshot = team_snapshot(look, site.profile)
        chosen = None if team is None else under(team, snapshot)
        running = [one for one in look.running if chosen is None or one.job.team in chosen]
        there = [one for one in look.there if chosen is None or one.job.team in chosen]
        here = [job for job in look.waiting.values() if chosen is None or job.team in chosen]
        shown = [*running, *there[:limit]]
        lines = self._lines(known, [*(one.job.id for one in shown), *(job.id for job in here[:limit])])
        slots, notes = self._slots(look)
        return QueueView(
            now=look.now,
            profile=site.profile.name,
            policy="",
            engine=site.backend.name,
            slots=slots,
            running=[lines.running(one) for one in running],
            pending=[lines.there(one, self._there(one, look)) for one in there[:limit]],
            pending_total=len(there),
            waiting=[lines.here(job, self._here(job.id, look)) for job in here[:limit]],
            waiting_total=len(here),
            held=sum(job.state == "held" for job in [*here, *(one.job for one in there)]),
            teams=team_lines(snapshot, site.profile.policy.order.half_life),
            team=team or "",
            notes=notes,
        )

    def snapshot(self) -> str:
        """Nothing: there is no policy of ours that sees a queue here.

        Raises:
            Conflict: always.
        """
        name = self._site.backend.name.capitalize()
        raise Conflict(
            f"cluster {self._site.profile.name} is served by {name}'s own scheduler: no policy of ours decides here",
            hint="for a bug report: `orchestrator why JOB --json` and `orchestrator queue --json`",
        )

    def slot_count(self) -> SlotCount:
        """What the slots, and the cores beside them, do.

        Raises:
            BackendUnavailable: the engine does not say what it has.
        """
        return self._count(self._look().look, self._site.backend.capacity())

    def nodes(self) -> list[NodeView]:
        """The machines, by name.

        Raises:
            BackendUnavailable: the engine does not say what it has.
        """
        look = self._look().look
        return engine_nodes(self._site.backend.capacity(), look.running, look.now)

    def what_if(self, request: WhatIfRequest) -> WhatIfView:
        """When the engine would start a workload, by its own dry run; nothing is queued.

        Raises:
            SpecError: the workload is wrong.
            Conflict: too many ask this at once.
        """
        with one_what_if(self._one_what_if):
            return self._what_if(request)

    def whole(self, view: JobView) -> JobView:
        """The view of one job with why it waits, at length, what it does, and when it should start."""
        if view.state not in _WAITING:
            return view
        look = self._look().look
        stand = self._stand(view.id, look)
        if stand is None:
            return view
        start = None if stand.start is None else stand.start.at
        told = self._told(view.id, look).view
        text = stand.short if told.phase else stand.text  # where it waits is its phase
        reason = told.reason if _silences(told, stand) else _with_place(text, stand, view.id, look)
        return view.model_copy(update={"reason": reason, "expected_start": start, "phase": told.phase})

    def fill(self, views: Sequence[JobView], *, max_age: float = 0.0) -> list[JobView]:
        """The views with why those that wait do, in a few words.

        Args:
            views: of jobs.
            max_age: what was known so many seconds ago will do.
        """
        if not any(view.state in _WAITING for view in views):
            return list(views)
        look = self._look(max_age).look
        return [self._filled(view, look) for view in views]

    def _filled(self, view: JobView, look: EngineLook) -> JobView:
        stand = self._stand(view.id, look) if view.state in _WAITING else None
        if stand is None or tells_silence(view.reason):
            return view
        if stand.kind in _WITH_ENGINE and (silence := self._silence()):
            return view.model_copy(update={"reason": silence})
        return view.model_copy(update={"reason": _with_place(stand.short, stand, view.id, look)})

    def _stand(self, job: str, look: EngineLook) -> Stand | None:
        """Why a job waits; None where it does not."""
        if job in look.waiting:
            return self._here(job, look)
        one = look.handed.get(job)
        return None if one is None or one.begun else self._there(one, look)

    def _here(self, job: str, look: EngineLook) -> Stand:
        return stand_here(look.waiting[job], look, self._site.backend.name, self._site.profile.slurm.waiting)

    def _there(self, one: Handed, look: EngineLook) -> Stand:
        return stand_there(one, look, self._site.backend.name)

    def _waiting_here(self, told: Told, look: EngineLook) -> WhyView:
        job, stand = told.job.id, self._here(told.job.id, look)
        view = _standing(told.view, stand, look)
        if stand.kind is Waiting.ENGINE and not tells_silence(told.view.reason):
            return view.model_copy(update={"details": [told.view.reason, *view.details]})  # what is in doubt
        if stand.kind is not Waiting.FULL:
            return view
        place = look.places[job]
        before = look.follows[max(0, place - 1 - _BEFORE) : place - 1]
        lines = self._lines(_Look(look, {}), [other.id for other in before])
        told_before = [lines.here(other, self._here(other.id, look)) for other in before]
        return view.model_copy(update={"position": place, "queue": len(look.follows), "before": told_before})

    def _waiting_there(self, told: Told, one: Handed, look: EngineLook) -> WhyView:
        view = _standing(told.view, self._there(one, look), look)
        update: dict[str, object] = {"engine_id": one.base.engine_id, "partition": one.base.partition}
        if one.pending:
            update["phase"] = ""  # the reason says it
        elif told.view.reason not in {view.reason, *view.details}:
            update["details"] = [told.view.reason, *view.details]  # what went wrong with its launch, perhaps
        return view.model_copy(update=update)

    def _running(self, told: Told, one: Handed, known: _Look) -> WhyView:
        site, now = self._site, known.look.now
        reason = reason_of(one, now, site.profile, site.backend.name, _kind(told), known.words)
        end = end_of(one, now, site.profile, known.words)
        view = told.running(running_of(one, now), now, reason=reason, end=end)
        silent = [told.view.reason] if tells_silence(told.view.reason) else []
        details = [*silent, *self._drained(one), *details_of(one, site.backend.name), *told.view.details]
        update = {"workers": one.run.world_size, "details": details}
        return view.model_copy(update=update | {"engine_id": one.base.engine_id, "partition": one.base.partition})

    def _drained(self, one: Handed) -> list[str]:
        try:
            capacity = self._site.backend.capacity()
        except BackendUnavailable:  # which is told already
            return []
        narrow = one.job.elastic and one.run.world_size < one.run.wanted
        return [*(capacity.faults if narrow else ()), *drained_of(one, capacity)]

    def _lines(self, known: _Look, shown: Sequence[str]) -> EngineLines:
        with self._site.store.read() as connection:
            names: Mapping[str, briefs.Brief] = briefs.of_jobs(connection, shown)
        return EngineLines(known.look, names, self._site.profile, known.words)

    def _slots(self, look: EngineLook) -> tuple[SlotCount, list[str]]:
        """What the slots do; while the engine is silent, what ours have, and that nothing else is known."""
        try:
            capacity: Capacity = self._site.backend.capacity()
        except BackendUnavailable as error:
            used = sum(one.run.world_size * one.job.slots_per_worker for one in look.running)
            said = f"the engine {self._site.backend.name} does not answer: {one_line(error.message, 300)}"
            return SlotCount(total=0, used=used, free=0), [self._silence() or said]
        count, at = self._count(look, capacity), capacity.counted_at
        notes = [*filter(None, [self._silence()]), *capacity.faults]
        if not count.held_by_others or at is None:
            return count, notes
        name = self._site.backend.name.capitalize()
        held = f"what others hold is what {name} said of its nodes at {utc(at)}: what has ended since counts too"
        return count, [*notes, held]

    def _count(self, look: EngineLook, capacity: Capacity) -> SlotCount:
        return slot_count(engine_nodes(capacity, look.running, look.now), capacity.slot_kind)

    def _what_if(self, request: WhatIfRequest) -> WhatIfView:
        site = self._site
        workload = parse_workload(request.source.encode(), request.filename, tuple(request.overrides))
        estimate = request.estimate or estimate_by_name(site, workload)
        directory = site.job_directory(NEW).run(f"{NEW}-r1")
        ask = Ask(workload, site.profile, str(site.runs_root), directory, {}, estimate, request.memory)
        return dry_run_view(ask, site.backend, request.workers, now=site.clock.now(), live=True)

    def _told(self, job: str, look: EngineLook) -> Told:
        with self._site.store.read() as connection:
            record = jobs.get(connection, job)
            told = told_of(self._site, connection, record, look.now)
            run = runs.newest_of(connection, job)
            seen = None if run is None else look.seen.get(run.allocation)
            phase = phase_of(self._site, connection, record, run, seen)
        update = {"phase": phase}
        silence = "" if told.terminal or record.state is JobState.HELD else self._silence()
        if silence and not tells_silence(told.view.reason):  # it came, or moved, since then
            update["reason"] = silence
        return replace(told, view=told.view.model_copy(update=update))

    def _look(self, max_age: float = 0.0) -> _Look:
        """What is known now; the same as a moment before where nothing was written down since."""
        return self._newest.look(max_age=max_age, unchanged=_FRESH)

    def _take(self) -> _Look:
        facts, seen, now = self._reader.read(self._site.store), self._seen(), self._site.clock.now()
        with self._site.store.read() as connection:
            words = ends_of(connection, now)
        return _Look(EngineLook(now, facts, seen), words)


def _standing(view: WhyView, stand: Stand, look: EngineLook) -> WhyView:
    """The answer for a job that waits; while the engine is silent, that first, where it waits for the engine."""
    silent = tells_silence(view.reason)
    with_engine = silent and stand.kind in _WITH_ENGINE
    details = [*stand.details, *view.details]
    if silent:
        details = [f"before that: {stand.text}" if with_engine else view.reason, *details]
    update = {
        "now": look.now,
        "kind": str(Waiting.ENGINE if with_engine else stand.kind),
        "reason": view.reason if with_engine else stand.text,
        "details": details,
        "expected_start": None if with_engine else stand.start,
        "remedies": [] if with_engine else list(stand.remedies),
    }
    return view.model_copy(update=update)


def _silences(view: WhyView, stand: Stand) -> bool:
    return tells_silence(view.reason) and stand.kind in _WITH_ENGINE


def _with_place(text: str, stand: Stand, job: str, look: EngineLook) -> str:
    """Only where others before it are what it waits for, its place says something."""
    if stand.kind is not Waiting.FULL:
        return text
    return f"{text}; {position(look.places[job], len(look.follows))}"


def _kind(told: Told) -> str:
    """Of its slots: GPUs where its workers have any."""
    return "gpu" if told.job.needs.get("cpus") else "cpu"

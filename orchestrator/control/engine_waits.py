"""Why a job waits whose engine has a queue of its own: here, until it is handed over; there, in the engine's words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.backends.protocol import AllocationState, Wait
from orchestrator.base.text import counted, one_line
from orchestrator.control.engine_look import EngineLook, Handed
from orchestrator.control.facts import dependencies_of
from orchestrator.control.quota import is_array
from orchestrator.control.starting import place_of
from orchestrator.lifecycle.reasons import Waiting, backing_off, releasing, unmet_dependencies, utc
from orchestrator.lifecycle.states import JobState, RunState
from orchestrator.spec.answers import Moment, Remedy
from orchestrator.store.jobs import OpenJob

_SHOWN = 5
_LONGEST = 500
_PRIORITY = "Priority"
"""What engines call it where others come first."""


@dataclass(frozen=True)
class Stand:
    """Why a job waits.

    Attributes:
        kind: what it waits for.
        text: for people, with numbers.
        short: for one line of many.
        details: more, a sentence each.
        remedies: what would help.
        start: when it should start; None: nobody knows.
    """

    kind: Waiting
    text: str
    short: str
    details: Sequence[str] = ()
    remedies: Sequence[Remedy] = field(default_factory=list)
    start: Moment | None = None


def stand_here(job: OpenJob, look: EngineLook, engine: str, most: int) -> Stand:
    """Of a job that waits here.

    Args:
        job: the job.
        look: what is known.
        engine: its name.
        most: so many may wait in the engine's queue at a time.
    """
    if job.state == str(JobState.HELD):
        text = "held until somebody releases it"
        return Stand(Waiting.HELD, text, "held", remedies=[_release(job.id)])
    if unmet := look.facts.unmet(job):
        return _dependent(job, unmet, look.facts.dependencies)
    if look.releasing(job):
        return Stand(Waiting.RELEASE, releasing().text, "waits until its last run is gone")
    if job.not_before is not None and job.not_before > look.now:
        reason = backing_off(job.not_before, _failures(job))
        start = Moment(at=job.not_before)
        wait = Remedy(text=f"wait: it is handed to {engine.capitalize()} after {utc(job.not_before)}")
        return Stand(Waiting.BACKOFF, reason.text, f"starts again after {utc(job.not_before)}", (), [wait], start)
    first = next(iter(look.follows), job)  # nobody passes it
    if look.pending + (min(first.workers_max, most) if is_array(first) else 1) > most:
        return _full(job, look, engine, most)
    if job.unchecked:
        text = f"{engine.capitalize()} has not said yet whether it fits: it is handed over once that is known"
        return Stand(Waiting.ENGINE, text, "is to be checked", remedies=[Remedy(text="see to the engine, or wait")])
    text = f"is handed to {engine.capitalize()} with the next pass of the server"
    return Stand(Waiting.STARTS, text, text, start=Moment(at=look.now))


def stand_there(one: Handed, look: EngineLook, engine: str) -> Stand:
    """Of a job whose run the engine has, or is about to get, and has not started."""
    name, run = engine.capitalize(), one.run
    if not one.pending:
        return _on_its_way(one, name)
    since = f"waits in {place_of(one.base, name)} since {utc(run.created_at)}"
    if one.job.state == str(JobState.HELD):
        text = f"held until somebody releases it; {since}"
        return Stand(Waiting.HELD, text, "held", remedies=[_release(one.job.id)])
    wait = one.wait
    if wait is None:
        text = f"{since}; {name} gives no reason"
        return Stand(Waiting.HANDED, text, f"waits in {name}: no reason is given", remedies=[Remedy(text="wait")])
    expects = f"; {name} expects to start it at {utc(wait.start)}" if wait.start is not None else ""
    return Stand(
        Waiting.HANDED,
        one_line(f"{since}: {wait.text}{expects}", 2 * _LONGEST),
        one_line(wait.text, _LONGEST),
        (),
        [*_engines(wait, one.job.id)],
        None if wait.start is None else Moment(at=max(wait.start, look.now)),
    )


def _engines(wait: Wait, job: str) -> Iterator[Remedy]:
    """What the engine's own reason ends in; where our means do it, with the command that does."""
    if wait.code == _PRIORITY:
        yield Remedy(text=wait.remedy or "wait, or raise its priority", command=_priority(job))
    elif wait.remedy or wait.command:
        yield Remedy(text=wait.remedy or wait.text, command=wait.command)


def _on_its_way(one: Handed, engine: str) -> Stand:
    """Between our queue and the engine's, or nobody knows where."""
    run = one.run
    if run.state is RunState.CREATED:
        text = f"{run.id} is written down since {utc(run.created_at)}, and {engine} has not taken it yet"
        return Stand(Waiting.HANDED, text, f"is being handed to {engine}")
    said = {
        AllocationState.ABSENT: f"{engine} has taken {run.id}, and does not show it",
        AllocationState.ENDED: f"{engine} has ended {run.id}",
        AllocationState.UNKNOWN: f"{engine} has taken {run.id}, and has not told yet what became of it",
    }
    text = said.get(one.base.state, f"{engine} has taken {run.id}")
    detail = f": {one.base.detail}" if one.base.detail else ""
    return Stand(Waiting.HANDED, one_line(f"{text}{detail}", _LONGEST), text)


def _dependent(job: OpenJob, unmet: Sequence[str], states: Mapping[str, JobState]) -> Stand:
    """It is not told to the engine before: a lost run of the other job runs anew, as another job of the engine."""
    shown = unmet[:_SHOWN]
    more = f"{counted(len(unmet) - _SHOWN, 'more job')} not told here" if len(unmet) > _SHOWN else ""
    details = [f"{other} {states[other].clause}" if other in states else f"there is no job {other}" for other in shown]
    met = len(dependencies_of(job)) - len(unmet)
    text = unmet_dependencies(unmet).text + (f"; {met} of {met + len(unmet)} have" if met else "")
    remedies = [Remedy(text=f"see why {other} is not over", command=f"orchestrator why {other}") for other in shown]
    return Stand(Waiting.DEPENDENCY, text, text, [*details, *([more] if more else [])], remedies)


def _full(job: OpenJob, look: EngineLook, engine: str, most: int) -> Stand:
    name, place = engine.capitalize(), look.places[job.id]
    text = (
        f"as many of our allocations wait in {name} as may ({look.pending:,}; slurm.waiting is {most:,}"
        f"{'' if look.pending >= most else ', and the next to follow is an array, of which each task counts'}); it is "
        f"number {place:,} of those that follow, by priority"
    )
    remedies = [
        Remedy(text=f"wait: it is handed over once {counted(place, 'job')} of those in {name} have started or ended"),
        Remedy(text="let it go first, with a higher priority", command=_priority(job.id)),
        Remedy(text=f"let more wait in {name}: raise `slurm.waiting` in the profile, and start the server anew"),
    ]
    return Stand(Waiting.FULL, text, f"{name} has {look.pending:,} of ours already", (), remedies)


def _priority(job: str) -> str:
    return f"orchestrator priority {job} N"


def _release(job: str) -> Remedy:
    return Remedy(text="let it start when its turn comes", command=f"orchestrator release {job}")


def _failures(job: OpenJob) -> int:
    return 0 if job.failures == "{}" else sum(json.loads(job.failures).values())

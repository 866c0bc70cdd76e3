"""The queue, and the teams that share it, as tables."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.base.text import counted, one_line, span
from orchestrator.cli.human import duration, point
from orchestrator.cli.output import note_lines, state, table
from orchestrator.spec.answers import JobLine, Moment, QueueView, SlotCount, TeamLine

_RUN_HEADS = ("job", "name", "team", ">prio", "state", ">wants", ">has", ">runs", "ends", "what it is asked")
_WAIT_HEADS = (">#", "job", "name", "team", ">prio", "state", ">wants", ">waits", "starts", "why it waits")
_THERE_HEADS = (
    "job",
    "name",
    "team",
    ">prio",
    "state",
    ">wants",
    ">id",
    "partition",
    ">waits",
    "starts",
    "why it waits",
)
_LONGEST_REASON = 90


def queue_text(queue: QueueView, *, teams: bool) -> str:
    """A summary line; what runs; what waits, in the policy's order; teams where they are asked for."""
    parts = ["\n".join([_summary(queue), *note_lines(queue.notes)])]
    if teams:
        parts.append(_teams(queue.teams, queue.slots))
    if queue.running:
        parts.append(table(_RUN_HEADS, [_running(line, queue.now) for line in queue.running]))
    parts += _in_engine(queue)
    if queue.waiting:
        head = "waiting here:\n" if queue.engine else ""
        parts.append(head + table(_WAIT_HEADS, [_waiting(line, queue.now) for line in queue.waiting]))
    if more := queue.waiting_total - len(queue.waiting):
        parts.append(f"… and {more:,} more wait (--all shows them)")
    return "\n\n".join(parts)


def _in_engine(queue: QueueView) -> list[str]:
    """What waits in the engine's own queue."""
    if not queue.pending:
        return []
    name = queue.engine.capitalize()
    found = [f"waiting in {name}:\n" + table(_THERE_HEADS, [_pending(line, queue.now) for line in queue.pending])]
    if more := queue.pending_total - len(queue.pending):
        found.append(f"… and {more:,} more wait in {name} (--all shows them)")
    return found


def slots_text(slots: SlotCount) -> str:
    """`5 of 8 gpu slots used, 1 free, 2 kept for claims, 0 drained`; where cores count beside them, these too."""
    rest = [f"{slots.free:,} free"]
    if slots.claimed:
        rest.append(f"{slots.claimed:,} kept for who they were freed for")
    if slots.held_by_others:
        rest.append(f"{slots.held_by_others:,} held by others")
    if slots.drained:
        rest.append(f"{slots.drained:,} on nodes that take nothing new")
    text = f"{slots.used:,} of {counted(slots.total, f'{slots.kind} slot')} used, {', '.join(rest)}"
    if not slots.cpus:
        return text
    return f"{text}; {slots.cpus_used:,} of {counted(slots.cpus, 'core')} used, {slots.cpus_free:,} free"


def wants_text(line: JobLine) -> str:
    """Slots of one worker x workers: `1 x 2..8`; of one that takes none, its cores: `4 cores x 2..8`."""
    each = counted(line.cpus, "core") if line.cpus and not line.slots else str(line.slots)
    return f"{each} x {span(line.workers_min, line.workers_max)}"


def expected_text(moment: Moment | None, now: float, *, whole: bool = False) -> str:
    """`now`, `14:20`; with `whole`, how sure that is: `14:20, in 12m 00s (14:05 to 15:10)`.

    Where only time limits tell, `by 14:20`; with `whole`, that it is so. Where a run is stopped then, `stops 14:20`.
    """
    if moment is None:
        return "not known" if whole else "?"
    about = "now" if moment.at <= now + 1 else f"{'by ' if moment.by_limit else ''}{point(moment.at, now)}"
    if not whole:
        return f"stops {about}" if moment.stops else about
    ahead = "" if moment.at <= now + 1 else f", in {duration(moment.at - now)}"
    if moment.stops:
        return f"stops {about}{ahead}: maintenance begins then; it goes back into the queue"
    if moment.by_limit and ahead:
        return f"{about} at the latest{ahead}: by a time limit, nobody knows how long it really takes"
    if moment.earliest is None or moment.latest is None or moment.latest - moment.earliest < 60:
        return about + ahead
    return f"{about}{ahead} ({point(max(moment.earliest, now), now)} to {point(moment.latest, now)})"


def _summary(queue: QueueView) -> str:
    who = f"served by {queue.engine.capitalize()}" if queue.engine else f"policy {queue.policy}"
    cluster = f"cluster {queue.profile}, {who}: {slots_text(queue.slots)}"
    running, waiting = counted(len(queue.running), "job"), _waiting_text(queue)
    if not queue.team:
        return f"{cluster}; {running} on them, {waiting}"
    slots = sum((line.workers or 0) * line.slots for line in queue.running)
    cores = sum((line.workers or 0) * line.cpus for line in queue.running) if queue.slots.cpus else 0
    beside = f" and {counted(cores, 'core')}" if cores else ""
    return f"{cluster}\nteam {queue.team}: {running} on {slots:,} of them{beside}, {waiting}"


def _waiting_text(queue: QueueView) -> str:
    held = f" ({queue.held:,} held)" if queue.held else ""
    if not queue.engine:
        return f"{queue.waiting_total:,} waiting{held}"
    return f"{queue.pending_total:,} waiting in {queue.engine.capitalize()}, {queue.waiting_total:,} here{held}"


def _running(line: JobLine, now: float) -> tuple[str, ...]:
    has = "" if line.workers is None else f"{line.workers}{'*' if line.pinned else ''}"
    ends = expected_text(line.expected_end, now)
    return (*_who(line), wants_text(line), has, duration(now - line.since), ends, _reason(line))


def _waiting(line: JobLine, now: float) -> tuple[str, ...]:
    place = "" if line.position is None else f"{line.position:,}"
    starts = expected_text(line.expected_start, now)
    return (place, *_who(line), wants_text(line), duration(now - line.since), starts, _reason(line))


def _pending(line: JobLine, now: float) -> tuple[str, ...]:
    starts = expected_text(line.expected_start, now)
    where = (line.engine_id, one_line(line.partition, 20))
    return (*_who(line), wants_text(line), *where, duration(now - line.since), starts, _reason(line))


def _who(line: JobLine) -> tuple[str, ...]:
    return line.job, one_line(line.name, 30), one_line(line.team, 20), str(line.priority), state(line.state)


def _reason(line: JobLine) -> str:
    return one_line(line.reason, _LONGEST_REASON)


def _teams(teams: Sequence[TeamLine], slots: SlotCount) -> str:
    """With the cores that they hold, where these count beside the slots."""
    cores = (">cores",) if slots.cpus else ()
    numbers = (">run", ">wait", ">weight", ">share", ">recent", ">quota", ">limit")
    return table(("team", f">{slots.kind} slots", *cores, *numbers), [_team(team, cores=bool(cores)) for team in teams])


def _team(team: TeamLine, *, cores: bool) -> tuple[str, ...]:
    bounds = ("" if bound is None else f"{bound:,}" for bound in (team.quota, team.limit))
    shares = (f"{team.share:.0%}", f"{team.recent:.0%}")
    beside = (f"{team.cpus_used:,}",) if cores else ()
    counts = (f"{team.running:,}", f"{team.waiting:,}", f"{team.weight:g}")
    return (one_line(team.team, 30), f"{team.used:,}", *beside, *counts, *shares, *bounds)

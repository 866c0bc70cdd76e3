"""Why a job waits, in words and numbers; a reason's text changes only when what it says has changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Waiting(StrEnum):
    """What kind of thing a queued job waits for."""

    STARTS = "starts"  # for nothing: it starts with this decision
    SLOTS = "slots"  # too few slots are free
    FRAGMENTED = "fragmented"  # enough slots are free in all, but not where one gang can lie
    MEMORY = "memory"  # slots are free, but too little memory beside them
    CPUS = "cpus"  # slots are free, but too few cores beside them
    CONSTRAINTS = "constraints"  # slots are free, but not on the nodes that it accepts
    NODES = "nodes"  # nodes that it needs are drained, down or in maintenance
    TURN = "turn"  # jobs before it come first
    RESERVATION = "reservation"  # there is room, and to use it would delay a job before it
    CLAIMED = "claimed"  # its room is being freed
    LIMIT = "limit"  # its team holds as much as it ever may
    TOO_LARGE = "too_large"  # the cluster, with all of its nodes up and empty, could not hold it
    HELD = "held"  # a person keeps it from starting
    DEPENDENCY = "dependency"  # jobs that it depends on have not succeeded yet
    BACKOFF = "backoff"  # its last run failed; the next one may start later
    RELEASE = "release"  # its last run still holds slots
    ENGINE = "engine"  # the engine does not answer
    FULL = "full"  # as many as may wait in the engine's own queue already
    HANDED = "handed"  # it waits in the engine's own queue, which decides


_SILENT = "unknown since"


@dataclass(frozen=True)
class Reason:
    """Why a job does not start now.

    Attributes:
        kind: what it waits for.
        text: for people, with numbers.
        until: when the wait ends by itself, in seconds since the epoch; None where nobody knows.
    """

    kind: Waiting
    text: str
    until: float | None = None


@dataclass(frozen=True)
class Holder:
    """A job that holds slots.

    Attributes:
        job: its identifier.
        slots: how many.
        since: seconds since the epoch.
    """

    job: str
    slots: int
    since: float


def too_few_slots(needed: int, free: int, total: int, kind: str, holders: Sequence[Holder]) -> Reason:
    """The next job in the queue does not fit yet; names the largest holders."""
    text = f"needs {slots(needed, kind)}; {free} of {total} free"
    if holders:
        first = sorted(holders, key=lambda h: (-h.slots, h.since, h.job))[:3]
        text += "; " + ", ".join(f"{h.job} holds {h.slots} since {utc(h.since)}" for h in first)
        text += f" and {len(holders) - 3} more" if len(holders) > 3 else ""
    return Reason(Waiting.SLOTS, text)


def unmet_dependencies(dependencies: Sequence[str]) -> Reason:
    """It waits for other jobs to succeed."""
    shown = ", ".join(dependencies[:5]) + (f" and {len(dependencies) - 5} more" if len(dependencies) > 5 else "")
    return Reason(Waiting.DEPENDENCY, f"waits until {shown} {'has' if len(dependencies) == 1 else 'have'} succeeded")


def backing_off(until: float, failures: int) -> Reason:
    """Its last run failed; the next one may start at `until`."""
    times = "once" if failures == 1 else f"{failures} times"
    return Reason(Waiting.BACKOFF, f"failed {times}; starts again after {utc(until)}; its place is kept", until)


def releasing() -> Reason:
    """Its last run is over, and the engine has not freed its slots yet."""
    return Reason(Waiting.RELEASE, "waits until its last run has freed its slots")


def engine_silent(backend: str, since: float, detail: str) -> Reason:
    """The engine does not answer, so what it runs is unknown."""
    return Reason(Waiting.ENGINE, f"{_SILENT} {utc(since)}: the engine {backend} does not answer ({detail})")


def tells_silence(text: str) -> bool:
    """Whether a reason is that of `engine_silent`."""
    return text.startswith(_SILENT)


def position(place: int, queue: int) -> str:
    """Where a job stands in the queue, from 1."""
    return f"position {place:,} of {queue:,}"


def slots(count: int, kind: str) -> str:
    """`1 cpu slot`, `4 gpu slots`."""
    return f"{count} {kind} slot{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """`45 s`, `3 min`, `2.5 h`, `30 d`, `1,000 d`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds >= 172_800:
        return f"{seconds / 86_400:{'.3g' if seconds < 999 * 86_400 else ',.0f'}} d"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def utc(seconds: float) -> str:
    """A time as `2026-11-21 05:12:09 UTC`, by arithmetic alone (days from civil, H. Hinnant's algorithm reversed)."""
    days, rest = divmod(int(seconds // 1), 86_400)
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9
    year = year_of_era + era * 400 + (month <= 2)
    clock = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{year:04d}-{month:02d}-{day:02d} {clock} UTC"

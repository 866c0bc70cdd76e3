"""The time limit that Slurm is told: long enough for the run, and no longer than what is known of it allows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.rundir.launch import Launch

START_UP = 60.0
"""Seconds from the start of a Slurm job until its workers work."""

_SHORTEST_GUESS = 600.0
"""Seconds: whatever our estimate, for what it knows least of is how long a short run takes to begin."""
_DOUBLINGS = 10
_START_UP_DOUBLINGS = 5
_LONGEST = 365 * 86_400.0  # Slurm counts minutes in 32 bits; nobody's cluster goes on for longer without a break


@dataclass(frozen=True)
class Limit:
    """A time limit for Slurm.

    Attributes:
        minutes: Slurm's grain; None: it is told none, and takes the partition's default.
        final: who reaches it has used up its time; otherwise it is a guess of ours, or the most that the partition
            gives at a time, and the job goes on as another run.
        why: whose limit it is, and what it comes from.
        warn: so many seconds before it ends, Slurm tells the job.
    """

    minutes: int | None
    final: bool
    why: str
    warn: int

    @property
    def seconds(self) -> float | None:
        """What Slurm is told."""
        return None if self.minutes is None else self.minutes * 60.0


@dataclass(frozen=True)
class _Wall:
    seconds: float
    final: bool
    why: str


def limit_of(
    launch: Launch,
    *,
    time_limit: float | None,
    expected: float | None,
    longest: float | None,
    most: float | None,
    default: float | None,
    warn_before: float,
) -> Limit:
    """What Slurm is told of how long a run takes: the least of all that is known of it.

    A time limit that a person set is kept by the agent to the second; Slurm's lies behind it, so that the run has its
    full time and ends in good order. A command keeps nothing of what it did when it is ended, so that a guess that is
    too low must not go on for ever: it gets twice the estimate, and twice as much again with each run.

    Args:
        launch: the run.
        time_limit: seconds that the user, or the cluster's profile, lets it take.
        expected: seconds that it takes at most, by our estimate and its error.
        longest: seconds for a run of which nothing is known; None: Slurm's default.
        most: seconds that the partition allows, a whole number of minutes, or infinite; None: not known.
        default: seconds that the partition gives a job that asks for no time, or infinite; None: not known.
        warn_before: seconds by which a run is told of its end.
    """
    keeps = launch.elastic or launch.ranks_share_slots or launch.array
    known = [*_walls(launch, keeps, time_limit, expected, _start_up(launch) + warn_before)]
    if not known and (longest is not None or not keeps):
        known = [*_unknown(keeps, longest, most)]
    if known and most is not None and most < min(wall.seconds for wall in known):
        known.append(_Wall(most, not keeps, "the most that the partition allows"))
    if not known:
        warn = int(min(warn_before, math.inf if default is None else default / 2))
        return Limit(None, not keeps, "nobody has an idea how long it takes: the partition's default", max(1, warn))
    wall = min(known, key=lambda one: one.seconds)
    minutes = max(1, math.ceil(min(wall.seconds, _LONGEST if most is None else most, _LONGEST) / 60))
    return Limit(minutes, wall.final, wall.why, int(min(warn_before, minutes * 30)))


def _start_up(launch: Launch) -> float:
    """Twice as much with each run: one that is ended before it has begun to work would never come to it."""
    return START_UP * 2.0 ** min(max(launch.token, 1) - 1, _START_UP_DOUBLINGS)


def _walls(
    launch: Launch, keeps: bool, time_limit: float | None, expected: float | None, margin: float
) -> Iterator[_Wall]:
    if time_limit is not None:
        yield _Wall(time_limit + margin, True, "its time limit, and time to begin and to end in good order")
    if expected is not None and keeps:
        expected = max(expected, _SHORTEST_GUESS)
        yield _Wall(expected + margin, False, "our estimate with its error, and time to begin and to end in good order")
    elif expected is not None:
        times = 2 ** min(max(launch.token, 1), _DOUBLINGS)
        why = f"{times} times our estimate with its error: a command that is ended too early has to begin again"
        yield _Wall(expected * times + margin, False, why)


def _unknown(keeps: bool, longest: float | None, most: float | None) -> Iterator[_Wall]:
    """Nothing is known of it; what keeps nothing is not left to a default, which may be short."""
    if longest is not None:
        yield _Wall(longest, not keeps, "nobody has an idea how long it takes: slurm.longest of the profile")
    elif most is not None:
        yield _Wall(most, True, "nobody has an idea how long it takes: the most that the partition allows")

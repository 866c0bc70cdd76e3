"""What teams have used of late: booked usage, decayed, and what their running jobs have held since."""

from __future__ import annotations

import math
from collections.abc import Iterable

from orchestrator.scheduling.jobs import Running
from orchestrator.scheduling.teams import Usage


def used(booked: Iterable[Usage], running: Iterable[Running], now: float, half_life: float) -> dict[str, float]:
    """Decayed slot-seconds of each team, without those under it.

    With the rate r = ln 2 / half_life, u booked at t0 counts u exp(-r (now - t0)), and s slots held from t1 on count
    s (1 - exp(-r (now - t1))) / r. A running job adds from where its record and its team's are both silent: a team is
    booked up to `at`, a job up to `counted`. The order of the arguments does not count, not even in the last bit.
    """
    rate = math.log(2) / half_life
    parts: dict[str, list[float]] = {}
    until: dict[str, float] = {}
    for usage in booked:
        parts[usage.team] = [usage.slot_seconds * math.exp(-rate * max(0.0, now - usage.at))]
        until[usage.team] = usage.at
    for run in running:
        team = run.job.team
        held = now - max(until.get(team, -math.inf), min(run.counted, now), run.since)
        if held > 0:
            parts.setdefault(team, []).append(run.slots * -math.expm1(-rate * held) / rate)
    return {team: math.fsum(found) for team, found in parts.items()}

"""What teams use, decayed: the account that fair share is computed from, kept as time passes."""

from __future__ import annotations

import math

from orchestrator.scheduling.teams import Usage


class Accounts:
    """Slot-seconds of each team. What was used one half-life before counts half.

    With slots s held from t0 to t1 and the half-life h, u(t1) = u(t0) * 2^(-(t1 - t0) / h) + s * h / ln 2 *
    (1 - 2^(-(t1 - t0) / h)).

    Args:
        half_life: seconds.
        usage: what was used before.
    """

    def __init__(self, half_life: float, usage: tuple[Usage, ...] = ()) -> None:
        self._rate = math.log(2) / half_life
        self._used = {u.team: (u.slot_seconds, u.at, 0) for u in usage}

    def change(self, team: str, slots: int, now: float) -> None:
        """From now on the team holds so many slots more, or less."""
        used, held = self._at(team, now)
        self._used[team] = (used, now, held + slots)

    def usage(self, now: float) -> tuple[Usage, ...]:
        """Of every team that ever used something, by name."""
        return tuple(Usage(team, self._at(team, now)[0], now) for team in sorted(self._used))

    def _at(self, team: str, now: float) -> tuple[float, int]:
        used, since, held = self._used.get(team, (0.0, now, 0))
        fade = math.exp((since - now) * self._rate)
        return used * fade + held * (1 - fade) / self._rate, held

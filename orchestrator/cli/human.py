"""Times and sizes as people read them."""

from __future__ import annotations

import time


def duration(seconds: float) -> str:
    """`8s`, `3m 20s`, `2h 05m`, `4d 3h`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}h {minutes:02d}m"
    days, hours = divmod(hours, 24)
    return f"{days}d {hours}h"


def ago(moment: float | None, *, now: float | None = None) -> str:
    """How long something is past: `3m 20s ago`; empty where it has not happened."""
    if moment is None:
        return ""
    return duration((time.time() if now is None else now) - moment) + " ago"


def clock(moment: float) -> str:
    """Local date and time to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))


def size(count: float) -> str:
    """Bytes: `12.3 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def figure(number: float) -> str:
    """A measured number with four significant digits; whole numbers, and the whole part of large ones, in full."""
    return f"{number:,.0f}" if number == int(number) or abs(number) >= 1000 else f"{number:.4g}"


def point(moment: float, now: float) -> str:
    """A time near `now` without what goes without saying: `14:20`, `Tue 14:20`, `2026-11-21 14:20`; local."""
    there, here = time.localtime(moment), time.localtime(now)
    if there[:3] == here[:3]:
        return time.strftime("%H:%M", there)
    near = abs(moment - now) < 6 * 86_400
    return time.strftime("%a %H:%M" if near else "%Y-%m-%d %H:%M", there)

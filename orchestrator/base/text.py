"""Text for people: foreign text made inert before it reaches a terminal, and numbers in words."""

from __future__ import annotations

import re
import unicodedata

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")

_CREDENTIALS = re.compile(r"//[^/\s\"']*@")


def without_credentials(text: str) -> str:
    """`text` with the `user:password@` of each URL in it left out."""
    return _CREDENTIALS.sub("//…@", text)


def inert(text: str) -> str:
    """`text` without escape sequences and control or direction-changing characters (tab and newline stay)."""
    stripped = _ANSI.sub("", text)
    return "".join(c for c in stripped if c in "\t\n" or unicodedata.category(c) not in {"Cc", "Cf", "Cs"})


def one_line(text: str, limit: int = 200) -> str:
    """`text` on one line, at most `limit` characters."""
    joined = " ".join(inert(text).split())
    return joined if len(joined) <= limit else joined[: limit - 1] + "…"


def counted(number: object, noun: str) -> str:
    """`1 worker`, `4 workers`, `1..2 workers`, `1,000 workers`; nouns whose plural ends in s."""
    shown = f"{number:,}" if isinstance(number, int) else str(number)
    return f"{shown} {noun}" if shown == "1" else f"{shown} {noun}s"


def takes_text(slots: int, cores: int) -> str:
    """`4 slots`; of what takes none, and cores instead, `8 cores`."""
    return counted(slots, "slot") if slots or not cores else counted(cores, "core")


def binary(size: int) -> str:
    """Bytes as `64 GiB`."""
    for unit, factor in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= factor:
            return f"{size / factor:{'.4g' if size < 9999 * factor else ',.0f'}} {unit}"
    return f"{size} B"


def span(low: int, high: int) -> str:
    """`1..4`, or `2` where both ends are the same."""
    return str(low) if low == high else f"{low}..{high}"


def measured(number: float) -> str:
    """A number for a log: four significant digits, whole numbers in full."""
    return f"{number:.0f}" if number.is_integer() and abs(number) >= 1 else f"{number:.4g}"


def human(count: float) -> str:
    """A count with four significant digits: `397.7M`."""
    for unit, factor in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(count) >= factor:
            return f"{count / factor:.4g}{unit}"
    return f"{count:.4g}"

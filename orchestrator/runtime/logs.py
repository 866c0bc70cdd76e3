"""The agent's log lines, and the last words of a rank's log."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from orchestrator.base.text import one_line

_TAIL = 8192


def say(message: str) -> None:
    """One line with the time on standard error, which is the agent's log; a full disk must not stop an agent."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S")
    try:
        sys.stderr.write(f"{stamp} {message}\n")
        sys.stderr.flush()
    except OSError:
        return


def tail(path: Path) -> list[str]:
    """The last lines of a log that are not blank, made inert; none where it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    return [line for raw in text.splitlines() if (line := one_line(raw))]

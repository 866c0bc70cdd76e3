"""When a run ended that did not say so itself: by what it wrote last, and by who saw it last."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from orchestrator.control.demands import counted_of
from orchestrator.control.site import Site
from orchestrator.rundir.events import newest_events
from orchestrator.store.records import RunRecord

_JUST_NOW = 10.0
"""Seconds; of a run that the engine had so short a time ago it is not asked when it ended."""


class Signs:
    """Of life: when this controller last saw each run at its engine, and what runs leave behind.

    While no server runs, nobody sees a run end; what it used is not counted up to when it was found.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._seen: dict[str, float] = {}

    def seen(self, run: str) -> None:
        """The engine has it."""
        self._seen[run] = self._site.clock.monotonic()

    def forget(self, keep: set[str]) -> None:
        """Drop all but these."""
        self._seen = {run: at for run, at in self._seen.items() if run in keep}

    def end_of(self, run: RunRecord) -> float | None:
        """When it ended by the newest of them, in seconds since the epoch; None: just now."""
        now, times = self._site.clock.now(), [counted_of(run)]
        if (seen := self._seen.get(run.id)) is not None:
            ago = self._site.clock.monotonic() - seen
            if ago <= _JUST_NOW:
                return None
            times.append(now - ago)
        directory = self._site.run_directory(run)
        times += [event.time for event in newest_events(directory, run.cursors)]
        times += _changed(directory.logs)
        return max((time for time in times if time <= now), default=None)


def _changed(folder: Path) -> Iterator[float]:
    """When each of its files was written last; an object store does not tell."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            yield path.stat().st_mtime

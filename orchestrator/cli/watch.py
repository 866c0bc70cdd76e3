"""Follows a job to its end, over a restart of the server, and shows how far it is."""

from __future__ import annotations

import time
from typing import Protocol

from orchestrator.base.errors import ServerUnreachable, TimedOut
from orchestrator.cli.human import duration
from orchestrator.cli.output import CommandFailed, note
from orchestrator.client import Client
from orchestrator.spec.messages import EventView, JobView

_PATIENCE_SECONDS = 120.0


class Display(Protocol):
    """What shows a job's life."""

    def event(self, event: EventView) -> None:
        """Something happened."""
        ...

    def job(self, job: JobView) -> None:
        """What is known of the job changed."""
        ...


def follow(client: Client, job: str, display: Display, *, timeout: float | None = None) -> JobView:
    """Show a job until it is terminal.

    Args:
        client: the server.
        job: its identifier.
        display: what shows it.
        timeout: seconds after which to give up; the job goes on.

    Raises:
        CommandFailed: with exit code 130 on Ctrl-C and 7 after `timeout`; the job goes on in both cases.
        ServerUnreachable: the server is away for long.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        final = _follow(client, job, display, deadline)
    except KeyboardInterrupt:
        raise _left(job, f"{job} goes on", code="interrupted", exit_code=130) from None
    if final is None:
        waited = duration(timeout or 0)
        raise _left(job, f"{job} has not ended within {waited}; it goes on", code="timed_out", exit_code=7)
    return final


def way_back(job: str) -> str:
    """The commands that lead back to a job that is left alone."""
    return f"orchestrator status {job}   orchestrator logs -f {job}"


def _left(job: str, message: str, *, code: str, exit_code: int) -> CommandFailed:
    return CommandFailed(message, hint=way_back(job), data={"job": {"id": job}}, code=code, exit_code=exit_code)


def _follow(client: Client, job: str, display: Display, deadline: float | None) -> JobView | None:
    after, away_since = 0, None
    while True:
        try:
            for item in client.stream(job, after=after):
                away_since = None
                if isinstance(item, EventView):
                    after = max(after, item.id)
                    display.event(item)
                elif item is not None:
                    display.job(item)
                if deadline is not None and time.monotonic() > deadline:
                    return None
            view = client.job(job)
            display.job(view)
            if view.terminal:
                return view
        except (ServerUnreachable, TimedOut):
            now = time.monotonic()
            if away_since is None:
                away_since = now
                note("the server does not answer; the job does not depend on it. Trying again …")
            if now - away_since > _PATIENCE_SECONDS:
                raise
        time.sleep(0.5)

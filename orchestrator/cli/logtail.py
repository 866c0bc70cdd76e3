"""Reads log files through the API: whole, from their end, or while they grow."""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable, Iterator, Sequence

from orchestrator.base.errors import NotFound, UsageError
from orchestrator.base.text import inert
from orchestrator.client import Client
from orchestrator.spec.messages import EventView, LogFile

DEFAULT_LOG = "rank-0.log"
_TAIL_BYTES = 256 * 1024
_POLL_SECONDS = 0.3


def choose(files: Sequence[LogFile], *, run: str | None, name: str) -> LogFile:
    """The log that is meant: of the run that is named, else of the newest run.

    Raises:
        NotFound: there is none; what there is, is named.
    """
    found = [f for f in of_run(files, run) if f.name == name]
    if not found:
        known = ", ".join(dict.fromkeys(f"{f.name} of {f.run}" for f in files)) or "none yet"
        raise NotFound(f"there is no log {name}" + (f" of run {run}" if run else ""), hint=f"logs: {known}")
    return max(found, key=lambda f: _number(f.run))


def of_run(files: Sequence[LogFile], run: str | None) -> list[LogFile]:
    """Those of the run that is named, else all."""
    return [file for file in files if run is None or _is_run(file.run, run)]


def log_name(rank: int | None, name: str | None) -> str | None:
    """The file's name from `--rank` or `--name`; None where neither is given: that of the worker that leads.

    Raises:
        UsageError: both are given.
    """
    if rank is not None and name is not None:
        raise UsageError("give --rank or --name, not both")
    return name or (None if rank is None else f"rank-{rank}.log")


class LeadersLog:
    """The log of the worker that speaks for a run: the first one's, until a resize or a loss makes it another's.

    Args:
        client: the server.
        job: whose history tells who leads.
        run: by number or identifier; None: the newest.
        name: of a log that is meant whoever leads.
    """

    def __init__(self, client: Client, job: str, run: str | None = None, name: str | None = None) -> None:
        self._client, self._job, self._run, self._name = client, job, run, name
        self._after = self._newest = 0
        self._log = DEFAULT_LOG

    def name(self) -> str:
        """Its file's name, as far as the history tells by now."""
        while self._name is None and (page := self._client.events(self._job, after=self._after)):
            for event in page:
                self._note(event)
            self._after = page[-1].id
        return self._name or self._log

    def _note(self, event: EventView) -> None:
        if event.run is None or not (
            self._run is None or event.run == self._run or event.run.endswith(f"-r{self._run}")
        ):
            return
        number = _number(event.run)
        if number > self._newest:
            self._newest, self._log = number, DEFAULT_LOG
        members = event.data.get("members")
        if number < self._newest:  # what an older run said, read late
            return
        if event.kind == "resized" and isinstance(members, list) and members and isinstance(members[0], dict):
            leader = members[0].get("number")
            self._log = f"rank-{leader}.log" if isinstance(leader, int) else self._log


def chunks(client: Client, job: str, file: LogFile, *, tail: int | None) -> Iterator[bytes]:
    """A log's content up to its present end."""
    offset = 0
    if tail is not None:
        last = client.read_log(job, file.name, run=file.run, offset=-_TAIL_BYTES, limit=_TAIL_BYTES)
        yield b"".join(last.data.splitlines(keepends=True)[-tail:] if tail else [])
        offset = last.next_offset
    while chunk := client.read_log(job, file.name, run=file.run, offset=offset):
        if not chunk.data:
            return
        yield chunk.data
        offset = chunk.next_offset


def follow_log(
    client: Client, job: str, log: LeadersLog, *, run: str | None, tail: int | None, tell: Callable[[str], None]
) -> Iterator[bytes]:
    """A log's content as it grows, over all leaders and runs that follow, until the job is over."""
    current: LogFile | None = None
    offset = 0
    told = False
    while True:
        over = client.job(job).terminal
        newest = _newest(client, job, run, log.name())
        if newest is not None and (current is None or (newest.run, newest.name) != (current.run, current.name)):
            if current is not None:
                yield from _rest(client, job, current, offset)
                same = newest.run == current.run
                tell(f"{newest.name} goes on" if same else f"run {newest.run} begins")
            current, offset = newest, 0
            if tail is not None:
                yield from chunks(client, job, newest, tail=tail)
                offset = client.read_log(job, newest.name, run=newest.run, offset=-1, limit=1).next_offset
        if current is None and not told and not over:
            told = True
            tell(f"{job} has not started yet; waiting for its output")
        got = client.read_log(job, current.name, run=current.run, offset=offset) if current is not None else None
        if got is not None and got.data:
            yield got.data
            offset = got.next_offset
        elif over:
            return
        else:
            time.sleep(_POLL_SECONDS)


def has_logs(client: Client, job: str) -> bool:
    """Whether anything of it ever ran and wrote, and that is still there."""
    try:
        return bool(client.logs(job))
    except NotFound:
        return False


def last_lines(client: Client, job: str, count: int) -> list[str]:
    """The last lines of the worker that led the newest run, made inert; none where there is no log."""
    newest = _newest(client, job, None, LeadersLog(client, job).name())
    if newest is None:
        return []
    text = b"".join(chunks(client, job, newest, tail=count)).decode(errors="replace")
    return [inert(line) for line in text.replace("\r", "\n").splitlines() if line.strip()][-count:]


class Readable:
    """Bytes of a log to text that a terminal can be given: whole characters, carriage returns as new lines."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def __call__(self, data: bytes) -> str:
        """The text of the next bytes."""
        return inert(self._decoder.decode(data).replace("\r\n", "\n").replace("\r", "\n"))


def _newest(client: Client, job: str, run: str | None, name: str) -> LogFile | None:
    try:
        return choose(client.logs(job), run=run, name=name)
    except NotFound:
        return None


def _rest(client: Client, job: str, file: LogFile, offset: int) -> Iterator[bytes]:
    while (chunk := client.read_log(job, file.name, run=file.run, offset=offset)).data:
        yield chunk.data
        offset = chunk.next_offset


def _is_run(run: str, named: str) -> bool:
    """Whether a run is the one that somebody names, by number or identifier."""
    return run == named or run.endswith(f"-r{named}")


def _number(run: str) -> int:
    digits = run.rpartition("-r")[2]
    return int(digits) if digits.isdigit() else 0

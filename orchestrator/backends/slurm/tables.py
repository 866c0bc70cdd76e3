"""What squeue and sacct print, as rows; what cannot be read is told and left out."""

from __future__ import annotations

import pwd
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from orchestrator.base.text import one_line

_BEGIN, _NEXT = "\x1e", "\x1f"
"""ASCII's own separators, before each job and behind each field: names of other jobs may hold bars and line ends."""
_LONGEST_LIST = 100_000
_JOB = re.compile(r"\d+")
_STATE = re.compile(r"[A-Z_]+")
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")

QUEUE_FORMAT = _BEGIN + "".join(f"%{letter}{_NEXT}" for letter in "FKTrSeVQPqaNjk")
"""For `squeue --format`; the times are numbers where SLURM_TIME_FORMAT is `%s`."""
ACCOUNT_FIELDS = "JobID,JobName,State,ExitCode,Submit,Start,End,NodeList"
ACCOUNT_DELIMITER = _NEXT
"""For `sacct --format` and `--delimiter`; with `--parsable2`."""

R = TypeVar("R")


@dataclass(frozen=True)
class Table(Generic[R]):
    """Rows, and what could not be read as one.

    Attributes:
        rows: in Slurm's order.
        garbled: on one line each; a job may be missing among the rows where there are any.
    """

    rows: tuple[R, ...]
    garbled: tuple[str, ...] = ()


@dataclass(frozen=True)
class JobRow:
    """One line of squeue: a job, or a task (or several pending tasks) of an array.

    Attributes:
        job: Slurm's number; of an array, that of the array.
        task: of an array: its index, or the indices that are still pending; empty otherwise.
        name: `<run>.<n>` where it is ours.
        comment: the run where it is ours.
        state: in Slurm's words, such as `PENDING`.
        reason: in Slurm's words, such as `Priority`.
        nodes: that it has.
        submitted: seconds since the epoch.
        start: when it began, or is expected to; None: not known.
        ends: when its time limit is reached; None: not known.
        partition: that it waits or runs in.
        qos: quality of service.
        account: that is charged.
        priority: Slurm's own number.
    """

    job: str
    task: str
    name: str
    comment: str
    state: str
    reason: str = "None"
    nodes: tuple[str, ...] = ()
    submitted: float = 0.0
    start: float | None = None
    ends: float | None = None
    partition: str = ""
    qos: str = ""
    account: str = ""
    priority: int = 0


@dataclass(frozen=True)
class AccountRow:
    """One line of sacct: a job, or a task of an array, as accounting knows it.

    Attributes:
        job: Slurm's number; of an array, that of the array. Numbers come round again.
        name: `<run>.<n>` where it is ours.
        state: in Slurm's words, without whoever cancelled it.
        by: who cancelled it; empty otherwise.
        code: exit status and signal, such as `0:53`.
        submitted: seconds since the epoch.
        start: None: never.
        end: None: not yet.
        nodes: that it had.
    """

    job: str
    name: str
    state: str
    by: str = ""
    code: str = "0:0"
    submitted: float = 0.0
    start: float | None = None
    end: float | None = None
    nodes: tuple[str, ...] = ()


def queue(text: str) -> Table[JobRow]:
    """What `squeue --noheader --format=QUEUE_FORMAT` printed."""
    before, *records = text.split(_BEGIN)
    rows, garbled = [], [one_line(before)] if before.strip() else []
    for record in records:
        fields = record.split(_NEXT)
        try:
            rows.append(_job(fields))
        except ValueError:
            garbled.append(one_line(record))
    return Table(tuple(rows), tuple(garbled))


def accounts(text: str) -> Table[AccountRow]:
    """What `sacct --noheader --parsable2 --format=ACCOUNT_FIELDS --delimiter=ACCOUNT_DELIMITER` printed."""
    rows, garbled = [], []
    for line in filter(None, text.split("\n")):
        try:
            rows.append(_account(line.split(_NEXT)))
        except ValueError:
            garbled.append(one_line(line))
    return Table(tuple(rows), tuple(garbled))


def node_names(text: str) -> tuple[str, ...]:
    """The nodes of a list in Slurm's notation: `n[1-3,07-09],m` is n1, n2, n3, n07, n08, n09, m.

    Raises:
        ValueError: it is no such list, or longer than any cluster.
    """
    if text in {"", "(null)", "None assigned", "None", "N/A", "n/a"}:
        return ()
    names: list[str] = []
    for part in _parts(text):
        names += _expanded(part)
        if len(names) > _LONGEST_LIST:
            raise ValueError("too many nodes")
    return tuple(names)


def moment(text: str) -> float | None:
    """A time in seconds since the epoch; None where Slurm prints a word such as `N/A` or `Unknown`."""
    return float(text) if text.isascii() and text.isdigit() and text != "0" else None


def _job(fields: list[str]) -> JobRow:
    """Who gives his jobs names with our separators in them has more fields, at the end: that is not one of ours."""
    job, task, state, reason, start, ends, submitted, priority, partition, qos, account, nodes, name, *rest = fields
    if not _JOB.fullmatch(job) or not _STATE.fullmatch(state) or len(rest) < 2:
        raise ValueError("no job")
    return JobRow(
        job=job,
        task="" if task in {"N/A", ""} else task,
        name=name if len(rest) == 2 else "",
        comment=rest[0],
        state=state,
        reason=reason,
        nodes=node_names(nodes),
        submitted=moment(submitted) or 0.0,
        start=moment(start),
        ends=moment(ends),
        partition=partition,
        qos=qos,
        account=account,
        priority=int(priority) if priority.isascii() and priority.isdigit() else 0,
    )


def _account(fields: list[str]) -> AccountRow:
    job, name, state, code, submitted, start, end, nodes = fields
    number, word = job.partition("_")[0].partition("+")[0], state.partition(" ")
    if not _JOB.fullmatch(number) or not _STATE.fullmatch(word[0]):
        raise ValueError("no job")
    by = word[2].removeprefix("by ").strip()
    times = (moment(submitted) or 0.0, moment(start), moment(end))
    return AccountRow(number, name, word[0], _user(by), code, *times, node_names(nodes))


def _user(number: str) -> str:
    """The name of a user, where this machine knows it; otherwise `user 1000`."""
    if not number.isascii() or not number.isdigit():
        return ""
    try:
        return pwd.getpwuid(int(number)).pw_name
    except (KeyError, OverflowError):
        return f"user {number}"


def _parts(text: str) -> Iterator[str]:
    """Split at the commas that stand in no bracket."""
    depth, begin = 0, 0
    for i, letter in enumerate(text):
        depth += (letter == "[") - (letter == "]")
        if letter == "," and depth == 0:
            yield text[begin:i]
            begin = i + 1
    if depth:
        raise ValueError(f"a bracket is open in {one_line(text)}")
    yield text[begin:]


def _expanded(part: str) -> list[str]:
    head, bracket, rest = part.partition("[")
    if not bracket:
        return [part] if part else []
    inside, _, tail = rest.partition("]")
    ends = _expanded(tail) or [tail]
    return [f"{head}{number}{end}" for number in _numbers(inside) for end in ends]


def _numbers(text: str) -> Iterator[str]:
    for entry in text.split(","):
        found = _RANGE.fullmatch(entry)
        if found is None:
            raise ValueError(f"no range: {one_line(entry)}")
        first, last = found[1], found[2] or found[1]
        if int(last) - int(first) > _LONGEST_LIST:
            raise ValueError("too many nodes")
        yield from (str(number).zfill(len(first)) for number in range(int(first), int(last) + 1))

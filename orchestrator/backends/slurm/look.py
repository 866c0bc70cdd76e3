"""One look at Slurm's queue: which of its jobs are allocations of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.backends.slurm.states import Asked, counting, is_over, is_pending
from orchestrator.backends.slurm.tables import JobRow, Table
from orchestrator.rundir.allocations import is_safe_name

_Jobs = dict[str, list[JobRow]]


@dataclass(frozen=True)
class Sight:
    """An allocation in Slurm's queue.

    Attributes:
        allocation: `<run>.<n>`.
        job: Slurm's number; of an array, that of the array.
        state: in Slurm's words, such as `PENDING`; of an array that of the task that is furthest from its end.
        pending: it has not begun.
        over: it has ended.
        partition: that it waits or runs in.
        submitted: seconds since the epoch.
        qos: quality of service.
        account: that is charged.
    """

    allocation: str
    job: str
    state: str
    pending: bool
    over: bool
    partition: str
    submitted: float
    qos: str = ""
    account: str = ""


@dataclass(frozen=True)
class Look:
    """What squeue showed.

    Attributes:
        began: when it was asked, on the clock that never jumps.
        rows: of each allocation: its Slurm job, which is several rows where that is an array.
        surplus: (allocation, Slurm's number) of living jobs that an allocation has beside the one that counts.
        garbled: what could not be read; an allocation may be missing where there is anything.
        others: by Slurm's number, the jobs that are over beside the one that counts: Slurm remembers as failed what it
            refused, too.
        mistakes: (allocation, Slurm's number) of second jobs that we had cancelled before.
    """

    began: float
    rows: Mapping[str, tuple[JobRow, ...]]
    surplus: tuple[tuple[str, str], ...] = ()
    garbled: tuple[str, ...] = ()
    others: Mapping[str, tuple[JobRow, ...]] = field(default_factory=dict)
    mistakes: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def of(cls, began: float, table: Table[JobRow], mistakes: frozenset[tuple[str, str]] = frozenset()) -> Look:
        """The jobs that carry the name of an allocation; others are somebody else's.

        Their comment is the run; a cluster whose own rules write something else there changes nothing else.
        """
        found: dict[str, _Jobs] = {}
        for row in table.rows:
            if row.name.rpartition(".")[2].isdigit() and is_safe_name(row.name):
                found.setdefault(row.name, {}).setdefault(row.job, []).append(row)
        rows, surplus = {}, []
        over: dict[str, tuple[JobRow, ...]] = {}
        for allocation, jobs in found.items():
            ranked = sorted(jobs.values(), key=_rank)
            ours = [job for job in ranked if (allocation, job[0].job) not in mistakes]
            first, *others = ours or ranked
            rows[allocation] = tuple(first)
            surplus += [(allocation, job[0].job) for job in others if _is_surplus(job)]
            over |= {job[0].job: tuple(job) for job in others if is_over(counting(job).state)}
        return cls(began, rows, tuple(surplus), table.garbled, over, mistakes)

    def rows_of(self, asked: Asked) -> tuple[JobRow, ...]:
        """The job of an allocation; empty where Slurm does not show it.

        One that is over and has another number than the one that is known was refused, or was a mistake of ours;
        unless it is the known one that was the mistake.
        """
        rows = self.rows.get(asked.allocation, ())
        mistaken = (asked.allocation, asked.job) in self.mistakes
        if rows and asked.job not in {"", rows[0].job} and not mistaken and is_over(counting(rows).state):
            return self.others.get(asked.job, ())
        return rows

    def sight(self, allocation: str) -> Sight | None:
        """One allocation; None where Slurm does not show it."""
        rows = self.rows.get(allocation)
        if rows is None:
            return None
        row = counting(rows)
        over, pending = is_over(row.state), is_pending(row.state)
        return Sight(allocation, row.job, row.state, pending, over, row.partition, row.submitted, row.qos, row.account)


def _rank(rows: list[JobRow]) -> tuple[bool, bool, bool, float, int]:
    """Of two jobs of one name, first the one with our comment, then one that lives, has begun, is older."""
    row = counting(rows)
    return not _is_marked(row), is_over(row.state), is_pending(row.state), row.submitted, int(row.job)


def _is_surplus(rows: list[JobRow]) -> bool:
    row = counting(rows)
    return _is_marked(row) and not is_over(row.state)


def _is_marked(row: JobRow) -> bool:
    return row.comment == row.name.rpartition(".")[0]

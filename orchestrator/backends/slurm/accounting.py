"""Asks sacct, in one batch, about jobs that Slurm's queue has forgotten; numbers come round, names do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestrator.backends.slurm.commands import Slurm
from orchestrator.backends.slurm.states import Asked, counting
from orchestrator.backends.slurm.tables import ACCOUNT_DELIMITER, ACCOUNT_FIELDS, AccountRow, accounts

MOST_AT_ONCE = 5000
"""Allocations; an argument of a program holds 128 KiB."""
_SKEW = 12 * 3600.0
"""Seconds that clocks may differ by, or jump: less than it takes until numbers come round."""


def asked_of(slurm: Slurm, asked: Sequence[Asked]) -> Mapping[str, AccountRow]:
    """What accounting knows of some allocations, `MOST_AT_ONCE` at most; those that it does not know are left out.

    Raises:
        BackendUnavailable: it does not answer, or there is none.
    """
    numbers = sorted({one.job for one in asked}, key=int)
    answer = slurm.read(
        "sacct",
        "--noheader",
        "--parsable2",
        "--allocations",
        "--duplicates",
        f"--format={ACCOUNT_FIELDS}",
        f"--delimiter={ACCOUNT_DELIMITER}",
        f"--jobs={','.join(numbers)}",
    )
    rows = accounts(answer.out).rows
    found = ((one.allocation, matching(rows, one)) for one in asked)
    return {allocation: row for allocation, row in found if row is not None}


def matching(rows: Sequence[AccountRow], asked: Asked) -> AccountRow | None:
    """The row of an allocation: its name, its number, and not older than itself; of several starts the newest."""
    ours = [
        row
        for row in rows
        if row.name == asked.allocation and row.job == asked.job and row.submitted >= asked.submitted - _SKEW
    ]
    newest = max((row.submitted for row in ours), default=0.0)
    return counting([row for row in ours if row.submitted == newest]) if ours else None

"""Jobs that can be read, and what is wrong with those that cannot: one damaged row is not the others' trouble."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from sqlalchemy import Connection

from orchestrator.control.foreign import FOREIGN_ERRORS
from orchestrator.store import jobs
from orchestrator.store.records import JobRecord


class Readable(NamedTuple):
    """What was found of some jobs.

    Attributes:
        jobs: that can be read.
        damaged: why the others cannot.
    """

    jobs: Mapping[str, JobRecord]
    damaged: Mapping[str, Exception]


def readable(connection: Connection, ids: Collection[str]) -> Readable:
    """All of them in one statement, or one by one where some cannot be read."""
    try:
        return Readable(jobs.get_many(connection, ids), {})
    except FOREIGN_ERRORS:
        found, damaged = dict[str, JobRecord](), dict[str, Exception]()
        for job in ids:
            try:
                found |= jobs.get_many(connection, [job])
            except FOREIGN_ERRORS as error:
                damaged[job] = error
        return Readable(found, damaged)

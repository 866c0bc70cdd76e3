"""Makes one part of a dataset: reads and checks its samples, writes its shard and its entry."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orchestrator.base.errors import DataError
from orchestrator.data.arrays import Structured
from orchestrator.data.assembly import ShardFacts
from orchestrator.data.batch import RecordBatch
from orchestrator.data.building.checks import Checks
from orchestrator.data.building.entries import PartFacts, entry_file, write_entry
from orchestrator.data.catalog import shard_file
from orchestrator.data.schema import Schema
from orchestrator.data.shard import ShardWriter
from orchestrator.data.source import Sample, Skipped
from orchestrator.data.table import record_type
from orchestrator.data.writer import Limits

Advance = Callable[[int], None]
"""Called with how many more samples are done."""

_FULL = (errno.ENOSPC, errno.EDQUOT)
# Not the sample is at fault but the machine: going on would leave out everything that follows.
_MACHINE = frozenset((*_FULL, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ENOTCONN))
_TOLD_EVERY = 32


@dataclass(frozen=True)
class Setting:
    """What all parts of a build have in common."""

    root: Path
    entries: Path
    schema: Schema
    limits: Limits
    checks: Checks


@dataclass(frozen=True)
class Job:
    """One part to make."""

    split: str
    number: int
    samples: Sequence[Sample]

    @property
    def shard(self) -> str:
        """The file name of its shard."""
        return shard_file(self.split, self.number)


def make_part(setting: Setting, job: Job, advance: Advance) -> PartFacts:
    """Make a part: its shard first, its entry last.

    Raises:
        DataError: the disk is full, or the source cannot be read at all.
    """
    try:
        return _Maker(setting, job).make(advance)
    except OSError as error:
        raise disk_error(setting.root, error) from error


def disk_error(root: Path, error: OSError) -> DataError:
    """The error that says where writing failed and, where the disk is full, how many bytes are free."""
    if error.errno in _FULL:
        there = next(folder for folder in (root, *root.absolute().parents) if folder.exists())
        free = shutil.disk_usage(there).free
        return DataError(
            f"the disk of {root} is full ({free:,} bytes free)",
            hint="free some space, then give the same command again",
        )
    place = error.filename or root
    return DataError(f"{place}: {error.strerror or error}", hint="mend it, then give the same command again")


class _Maker:
    def __init__(self, setting: Setting, job: Job) -> None:
        self._setting = setting
        self._job = job
        self._checks = setting.checks.columns()
        self._batch = RecordBatch(setting.schema)
        self._writer: ShardWriter | None = None
        self._skipped: list[Skipped] = []
        self._unread = False

    def make(self, advance: Advance) -> PartFacts:
        try:
            done = 0
            for done, sample in enumerate(self._job.samples, 1):
                self._take(sample)
                if done % _TOLD_EVERY == 0:
                    advance(_TOLD_EVERY)
            facts = self._finish()
        except BaseException:
            if self._writer is not None:
                self._writer.abandon()
            raise
        advance(done % _TOLD_EVERY)
        return facts

    def _take(self, sample: Sample) -> None:
        try:
            record = sample.read()
            for name, check in self._checks:
                if name in record:
                    check(record[name])
            self._batch.add(record)
        except DataError as error:
            self._skipped.append(Skipped(sample.name, error.message))
        except OSError as error:
            if error.errno in _MACHINE:
                raise
            self._unread = True
            self._skipped.append(Skipped(sample.name, f"cannot be read: {error.strerror or error}"))
        except Exception as error:
            raise DataError(
                f"{sample.name} of {self._job.split} cannot be read: {type(error).__name__}: {error}",
                hint="this is a fault of the converter, not of the sample",
            ) from error
        else:
            if self._setting.limits.full(self._batch):
                self._flush()

    def _flush(self) -> None:
        if self._writer is None:
            self._writer = ShardWriter(self._setting.root / self._job.shard, self._setting.schema)
        self._writer.write(self._batch.columns, self._batch.rows)
        self._batch.clear()

    def _finish(self) -> PartFacts:
        if self._batch.rows:
            self._flush()
        shard = None
        records: Structured = np.empty(0, dtype=record_type(self._setting.schema))
        if self._writer is not None:
            entry = self._writer.finish()
            records = entry.records
            shard = ShardFacts(len(records), entry.size, entry.sha256)
        facts = PartFacts(shard, tuple(self._skipped), self._unread)
        write_entry(entry_file(self._setting.entries, self._job.split, self._job.number), facts, records)
        return facts

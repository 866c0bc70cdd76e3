"""Finds out what a resampling must know of a split's rows, once for all epochs; of many rows it is kept on disk.

What is kept lies under the state directory in a folder that is named by a hash of data version, split and resampling,
so that it is never out of date. It is written under another name and renamed; of a node's processes one writes. Those
that were used last stay. What is counted is verified: records by their checksums, a column by the table's SHA-256,
and later looks into that column by the sums (`Shares`).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from orchestrator.base.errors import DataError, UsageError
from orchestrator.base.files import read_json, sync_folder, write_json
from orchestrator.base.paths import state_dir
from orchestrator.data import rarity
from orchestrator.data.arrays import AnyArray, Int64s
from orchestrator.data.frequencies import ListedClasses, Readable, label_counts
from orchestrator.data.index import SplitIndex
from orchestrator.data.proportion import MOST
from orchestrator.data.resample import Resample
from orchestrator.data.shares import Allocate, ClassFactors, Factors, Shares, WeightFactors, sum_up

FORMAT = 2

KEPT = 8
"""How many are kept on a node; those that were used longest ago are deleted."""

# Up to so many rows of an 8-byte column are summed anew in milliseconds; nothing is kept of them.
KEPT_ABOVE = 1 << 20

_SHOWN = 8
_WEIGHTS_AT_ONCE = 1 << 20
_ABOUT = "about.json"

Progress = Callable[[int, int], None]


class SplitRows(Readable, Protocol):
    """What an order needs to know of a split; `ShardedDataset` is one."""

    @property
    def version(self) -> str:
        """The dataset's version."""
        ...

    @property
    def split(self) -> SplitIndex:
        """Rows and shards."""
        ...


@dataclass(frozen=True)
class Tally:
    """What the orders of all epochs share.

    Attributes:
        shares: of the rows.
        slots: positions of an epoch.
        note: classes without rows, rows that never come; empty where there is nothing to say.
    """

    shares: Shares
    slots: int
    note: str


@dataclass(frozen=True)
class _Plan:
    """Factors, how many bits a factor of one has, and what to say of them."""

    factors: Factors
    bits: int
    note: str


def tally(dataset: SplitRows, resample: Resample, progress: Progress | None = None) -> Tally:
    """Count, or take what was counted before.

    Args:
        dataset: the split.
        resample: which rows are to come how often.
        progress: called with (rows done, rows in all); the rows are passed once or twice.

    Raises:
        UsageError: the column is not what the resampling needs.
        DataError: its values are not, or the disk is full.
    """
    if not len(dataset):
        raise UsageError(f"split {dataset.split.name} has no rows to draw from")
    column = dataset.schema.column(resample.column)
    if column.kind == "int64_list" and resample.kind in ("repeat_factor", "square_root"):
        return _kept(dataset, resample, progress)
    wanted = ("float64", "int64") if resample.kind == "weights" else ("label", "int64")
    if column.kind not in wanted:
        lists = ", int64_list" if resample.kind in ("repeat_factor", "square_root") else ""
        raise UsageError(
            f"{resample.kind} cannot use column {column.name!r}, which is {column.kind}",
            hint=f"it needs a column of kind {', '.join(wanted)}{lists}",
        )
    if len(dataset) > KEPT_ABOVE:
        return _kept(dataset, resample, progress)
    plan = _plan(dataset, resample, dataset.fixed_column(column.name), progress)
    return _finished(dataset, resample, plan, sum_up(plan.factors, dataset.split.shard_rows, None, progress))


def _plan(dataset: SplitRows, resample: Resample, values: AnyArray, progress: Progress | None) -> _Plan:
    """Factors from an 8-byte column."""
    if resample.kind == "weights":
        return _weighted(values)
    levels, bits, note = _levels(label_counts(values, progress), len(dataset), resample)
    return _Plan(ClassFactors(levels, values), bits, note)


def _weighted(weights: AnyArray) -> _Plan:
    least, greatest = float(weights.min()), float(weights.max())
    if not (least >= 0 and np.isfinite(greatest)):
        raise DataError(f"weights must be finite and not negative; they are {least} to {greatest}")
    if not greatest:
        raise DataError("no row would ever be drawn: all weights are zero", hint="resample by another column")
    bits = rarity.weight_bits(greatest, len(weights))
    factors = WeightFactors(bits, weights)
    none = tiny = 0
    for start in range(0, len(weights), _WEIGHTS_AT_ONCE):
        piece = slice(start, min(len(weights), start + _WEIGHTS_AT_ONCE))
        zeros = int(np.count_nonzero(weights[piece] == 0))
        none += zeros
        tiny += int(np.count_nonzero(factors.of(piece) == 0)) - zeros
    notes = [f"rows of weight 0, which never come: {none}"] if none else []
    if tiny:
        notes.append(f"rows that never come, as their weight is too small beside the greatest, {greatest:g}: {tiny}")
    return _Plan(factors, bits, "; ".join(notes))


def _levels(counts: Int64s, rows: int, resample: Resample) -> tuple[Int64s, int, str]:
    found = counts.tolist()
    factors: Sequence[rarity.Factor]
    if resample.kind == "class_balanced":
        factors = rarity.balanced(found, rows)
    elif resample.threshold:
        power = 0.5 if resample.kind == "repeat_factor" else resample.power
        factors = rarity.repeated(found, rows, resample.threshold, power)
    else:
        factors = rarity.inverse(found, rows, resample.power)
    levels, bits = rarity.in_units(factors, found, rows)
    empty = [number for number, count in enumerate(found) if not count]
    shown = ", ".join(map(str, empty[:_SHOWN])) + (", …" if len(empty) > _SHOWN else "")
    notes = [f"classes without rows: {len(empty)} ({shown})"] if empty else []
    if resample.kind == "class_balanced" and sum(found) < rows:
        notes.append(f"rows without a class, which never come: {rows - sum(found)}")
    return levels, bits, "; ".join(notes)


def _finished(dataset: SplitRows, resample: Resample, plan: _Plan, shares: Shares) -> Tally:
    slots = resample.length
    if not slots and resample.threshold:
        slots = (shares.total + (1 << plan.bits >> 1)) >> plan.bits
    slots = slots or len(dataset)
    if slots > MOST:
        raise UsageError(f"{resample} makes an epoch of {slots} positions; the most is {MOST}")
    return Tally(shares, slots, plan.note)


def _kept(dataset: SplitRows, resample: Resample, progress: Progress | None) -> Tally:
    identity = json.dumps([FORMAT, dataset.version, dataset.split.name, str(resample)])
    folder = state_dir() / "resample" / hashlib.sha256(identity.encode()).hexdigest()[:32]
    try:
        with _alone(folder):
            if not (folder / _ABOUT).exists():
                _count(dataset, resample, folder, progress)
            os.utime(folder)
            found = _open(dataset, resample, folder)
        _forget_old(folder.parent)
    except OSError as error:
        raise DataError(f"{folder} cannot be written: {error.strerror}", hint="set ORCHESTRATOR_STATE_DIR") from error
    return found


def _forget_old(parent: Path) -> None:
    """Delete what was used longest ago; whoever has it mapped reads on, and who asks for it again counts again."""
    used = sorted((about.parent.stat().st_mtime_ns, about.parent) for about in parent.glob(f"[!.]*/{_ABOUT}"))
    for when, folder in used[:-KEPT]:
        with suppress(FileNotFoundError, BlockingIOError), _alone(folder, wait=False):
            if folder.stat().st_mtime_ns == when:
                gone = folder.with_name(f".{folder.name}.old")
                folder.rename(gone)
                shutil.rmtree(gone)


@contextmanager
def _alone(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """One process at a time; there are 16 locks for all folders."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name[0]}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


def _count(dataset: SplitRows, resample: Resample, folder: Path, progress: Progress | None) -> None:
    """Fill a folder beside `folder`, and rename it."""
    for stale in folder.parent.glob(f".{folder.name}.*"):  # of a process that was killed
        shutil.rmtree(stale)
    making = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        if dataset.schema.column(resample.column).fixed:
            plan = _plan(dataset, resample, dataset.fixed_column(resample.column), progress)
        else:
            plan = _listed(dataset, resample, making, progress)
        sum_up(plan.factors, dataset.split.shard_rows, _mapped(making), progress)
        about = {"bits": plan.bits, "note": plan.note}
        if isinstance(plan.factors, ClassFactors):
            np.save(making / "levels.npy", plan.factors.levels)
        write_json(making / _ABOUT, about)
        making.rename(folder)
        sync_folder(folder.parent)
    except BaseException:
        shutil.rmtree(making)
        raise


def _listed(dataset: SplitRows, resample: Resample, making: Path, progress: Progress | None) -> _Plan:
    """Factors from a column of lists, and the class of each row that decides."""
    listed = ListedClasses(dataset, resample.column, making, progress)
    levels, bits, note = _levels(listed.counts, len(dataset), resample)
    kind = next(kind for kind in ("<u1", "<u2", "<u4") if len(levels) <= np.iinfo(kind).max)
    codes = np.lib.format.open_memmap(making / "codes.npy", mode="w+", dtype=kind, shape=(len(dataset),))
    for first, rarest in listed.rarest(levels):
        codes[first : first + len(rarest)] = rarest
    codes.flush()
    listed.close()
    return _Plan(ClassFactors(levels, codes), bits, note)


def _mapped(folder: Path) -> Allocate:
    def allocate(name: str, count: int) -> Int64s:
        path = folder / f"{name}.npy"
        array: Int64s = np.lib.format.open_memmap(path, mode="w+", dtype="<i8", shape=(count,))
        return array

    return allocate


def _open(dataset: SplitRows, resample: Resample, folder: Path) -> Tally:
    about = read_json(folder / _ABOUT) or {}
    try:
        arrays = {path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in folder.glob("*.npy")}
        bits, note = int(about["bits"]), str(about["note"])
        factors: Factors
        if resample.kind == "weights":
            factors = WeightFactors(bits, dataset.fixed_column(resample.column, checked=False))
        else:
            codes = arrays["codes"] if "codes" in arrays else dataset.fixed_column(resample.column, checked=False)
            factors = ClassFactors(np.array(arrays["levels"]), codes)
        shares = Shares(
            factors, len(dataset), np.array(arrays["coarse"]), np.asarray(arrays["fine"]), np.array(arrays["shards"])
        )
    except (KeyError, ValueError, OSError) as error:
        raise DataError(f"{folder} is damaged: {error}", hint=f"delete it; it is made again: rm -r {folder}") from error
    return _finished(dataset, resample, _Plan(factors, bits, note), shares)

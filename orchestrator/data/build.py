"""Builds a dataset from its card: scan the source, plan the shards, make them side by side, put them together."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from orchestrator.base.errors import DataError
from orchestrator.base.files import write_json
from orchestrator.data.arrays import Structured
from orchestrator.data.assembly import ShardFacts, assemble
from orchestrator.data.building.checks import Checks
from orchestrator.data.building.crew import Crew, make_here
from orchestrator.data.building.entries import PartFacts, entry_file, is_whole, read_entry
from orchestrator.data.building.plan import Part, Plan, plan
from orchestrator.data.building.work import Setting, disk_error
from orchestrator.data.catalog import shard_file
from orchestrator.data.claim import Claim, refuse_finished
from orchestrator.data.converters import converter
from orchestrator.data.converters.listing import Listing, Tell
from orchestrator.data.header import Description, Header
from orchestrator.data.schema import Schema
from orchestrator.data.source import Skipped, Source
from orchestrator.data.writer import Limits
from orchestrator.spec.card import DatasetCard
from orchestrator.spec.placement import card_digest

Progress = Callable[[int, int], None]
"""Called with (done, total), in samples or rows."""

SKIPPED_FILE = "skipped.json"

# Starting a process costs a second; what one process makes in less than some seconds is made here.
_SMALL_SAMPLES = 20_000
_SMALL_BYTES = 256 * 2**20


class BuildInterrupted(KeyboardInterrupt):
    """A build was interrupted while it made shards; says how many of how many are finished."""


@dataclass(frozen=True)
class BuildReport:
    """What a build made.

    Attributes:
        root: where.
        name: of the card.
        version: of the dataset.
        rows: of each split.
        bytes: of all shards.
        skipped: what was left out and why; by name up to the limits of `Listing`, past them as counts.
        kept: shards that an interrupted build had finished.
        shards: shards in all.
        warnings: what a person should look at.
    """

    root: Path
    name: str
    version: str
    rows: dict[str, int]
    bytes: int
    skipped: tuple[Skipped, ...]
    kept: int
    shards: int
    warnings: tuple[str, ...]

    @property
    def skipped_by_reason(self) -> dict[str, int]:
        """How many inputs were left out for each reason, the most common first."""
        counts: Counter[str] = Counter()
        for entry in self.skipped:
            counts[entry.reason] += entry.count
        return dict(counts.most_common())

    @property
    def left_out(self) -> int:
        """How many inputs were left out, annotations not counted."""
        return sum(entry.count for entry in self.skipped if not entry.annotation)

    @property
    def annotations_left_out(self) -> int:
        """How many annotations were left out of rows."""
        return sum(entry.count for entry in self.skipped if entry.annotation)


def build(
    card: DatasetCard,
    source: Path | None,
    out: Path,
    progress: Progress | None = None,
    *,
    processes: int | None = None,
    listed: Tell | None = None,
) -> BuildReport:
    """Build the dataset of a card into the folder `out`.

    The same card and source give the same bytes, whatever the number of processes and however often it was
    interrupted: given the same arguments again, it keeps every shard that is finished and whole, unless any file of the
    source has another size or was changed since: then it starts over. What cannot be read or decoded is left out and
    listed, in the report and in `skipped.json` beside the index.

    Args:
        card: what to build.
        source: where the inputs are; None where the card needs none.
        out: a new folder, or one in which the same build was interrupted.
        progress: called now and then with (samples done, samples in all).
        processes: how many at once; default: as many as this process may use cores, and one for a small dataset.
        listed: before that, while the source is listed, called now and then with how many of its files, rows and
            entries were looked at.

    Raises:
        Conflict: `out` already holds a dataset or other files, or another process builds there.
        NotFound: the source is not laid out as the card says.
        DataError: no sample of the source is good, the disk is full, or a process died.
        BuildInterrupted: a KeyboardInterrupt that says how many shards are finished.
    """
    refuse_finished(out)
    found, planned = planned_build(card, source, listed)
    if not planned.parts:
        raise DataError(
            f"the source of {card.name} has {len(found.samples):,} samples, none of them in a split of the card",
            hint=f"the card's splits: {card.splits.model_dump(exclude={'seed'})}",
        )
    try:
        claim = Claim(out, planned.digest)
        try:
            return _Build(card, found, planned, out, claim).run(progress, processes)
        finally:
            claim.release()
    except OSError as error:
        raise disk_error(out, error) from error


def planned_build(card: DatasetCard, source: Path | None, listed: Tell | None) -> tuple[Source, Plan]:
    """What a converter finds in a source, and the plan of its build."""
    found = converter(card.converter)(card, None if source is None else source.absolute(), Listing(listed))
    return found, plan(card, found, _limits(card))


def _limits(card: DatasetCard) -> Limits:
    return Limits(shard_bytes=card.shard_size)


class _Build:
    def __init__(self, card: DatasetCard, source: Source, planned: Plan, root: Path, claim: Claim) -> None:
        self._card = card
        self._source = source
        self._plan = planned
        self._root = root
        self._claim = claim
        schema = Schema.of((name, column.type) for name, column in card.columns.items())
        self._setting = Setting(root, claim.entries, schema, _limits(card), Checks.of(card))

    def run(self, progress: Progress | None, processes: int | None) -> BuildReport:
        kept = self._kept() if self._claim.resumed else frozenset()
        missing = [part for number, part in enumerate(self._plan.parts) if number not in kept]
        done = sum(len(self._plan.parts[number].places) for number in kept)
        try:
            self._make(missing, _Telling(progress, sum(self._plan.rows.values()), done), processes)
            return self._assemble(len(kept))
        except KeyboardInterrupt:
            finished = sum(self._files(part)[1].exists() for part in self._plan.parts)
            raise BuildInterrupted(f"{finished:,} of {len(self._plan.parts):,} shards are finished") from None

    def _kept(self) -> frozenset[int]:
        """The finished parts whose shards are still whole; everything else that lies there is deleted."""
        with ThreadPoolExecutor(_cores()) as threads:
            whole = list(threads.map(self._is_finished, self._plan.parts))
        kept = frozenset(number for number, good in enumerate(whole) if good)
        files = {path for number in kept for path in self._files(self._plan.parts[number])}
        self._claim.keep_only(files)
        return kept

    def _is_finished(self, part: Part) -> bool:
        entry = read_entry(entry_file(self._claim.entries, part.split, part.number), self._setting.schema)
        if entry is None or entry[0].unread:
            return False
        shard = entry[0].shard
        return shard is None or is_whole(self._root / shard_file(part.split, part.number), shard)

    def _files(self, part: Part) -> tuple[Path, Path]:
        entry = entry_file(self._claim.entries, part.split, part.number)
        return self._root / shard_file(part.split, part.number), entry

    def _make(self, parts: Sequence[Part], tell: _Telling, processes: int | None) -> None:
        samples = self._source.samples
        crew = min(len(parts), processes if processes is not None else _wanted(parts))
        if crew > 1:
            with Crew(self._setting, crew) as workers:
                workers.make(parts, samples, tell.advance)
        else:
            make_here(self._setting, parts, samples, tell.advance)
        tell.end()

    def _assemble(self, kept: int) -> BuildReport:
        bad, left_out = Listing(), Counter[str]()
        shards = self._finished(bad, left_out)
        if not any(shards.values()):
            self._claim.start_over()
            first = bad.skipped[0]
            raise DataError(f"no sample of {self._card.name} is good; the first: {first.name}: {first.reason}")
        skipped = (*self._source.skipped, *bad.skipped)
        if skipped:
            write_json(self._root / SKIPPED_FILE, {"skipped": [asdict(one) for one in skipped]})
        header = assemble(self._root, self._setting.schema, self._description(), shards, self._records())
        self._claim.finish()
        return self._report(header, skipped, kept, self._warnings(header, left_out))

    def _finished(self, bad: Listing, left_out: Counter[str]) -> dict[str, list[ShardFacts]]:
        """The shards of each split; where parts came out empty, the files after them move up.

        What each part left out goes to `bad`, and how many of each split to `left_out`.
        """
        shards: dict[str, list[ShardFacts]] = {split: [] for split in self._plan.splits}
        for part in self._plan.parts:
            facts = self._entry(part)[0]
            bad.extend(facts.skipped)
            left_out[part.split] += len(facts.skipped)
            if facts.shard is None:
                continue
            number = len(shards[part.split])
            if number != part.number:
                (self._root / shard_file(part.split, part.number)).rename(self._root / shard_file(part.split, number))
            shards[part.split].append(facts.shard)
        return shards

    def _records(self) -> Iterator[Structured]:
        for part in self._plan.parts:
            yield self._entry(part)[1]

    def _entry(self, part: Part) -> tuple[PartFacts, Structured]:
        path = entry_file(self._claim.entries, part.split, part.number)
        entry = read_entry(path, self._setting.schema)
        if entry is None:
            raise DataError(f"{path} is damaged", hint="give the same command again")
        return entry

    def _description(self) -> Description:
        statistics = self._card.statistics
        return Description(
            name=self._card.name,
            card=card_digest(self._card),
            classes=self._source.classes,
            channels=self._card.channels,
            mean=tuple(statistics.mean) if statistics else (),
            std=tuple(statistics.std) if statistics else (),
            attributes=dict(self._source.attributes),
        )

    def _warnings(self, header: Header, left_out: Mapping[str, int]) -> tuple[str, ...]:
        """What the source is odd in, and where the card promises another number of samples than there are."""
        warnings = list(self._source.warnings)
        unplaced = sum(entry.count for entry in self._source.skipped if not entry.annotation)
        for split, promised in self._card.rows.items():
            built = header.splits[split].rows if split in header.splits else 0
            lost = left_out.get(split, 0)
            most = built + lost
            if not most <= promised <= most + unplaced:
                there = f"{built:,} rows" + (f" and {lost:,} left out" if lost else "")
                warnings.append(f"{split} has {there}; the card says {promised:,}: is the source complete?")
        return tuple(warnings)

    def _report(
        self, header: Header, skipped: tuple[Skipped, ...], kept: int, warnings: tuple[str, ...]
    ) -> BuildReport:
        return BuildReport(
            root=self._root,
            name=self._card.name,
            version=header.version,
            rows={split: part.rows for split, part in header.splits.items()},
            bytes=sum(part.bytes for part in header.splits.values()),
            skipped=skipped,
            kept=kept,
            shards=sum(part.shards for part in header.splits.values()),
            warnings=warnings,
        )


class _Telling:
    """Counts samples and passes the count on, not too often."""

    def __init__(self, progress: Progress | None, total: int, done: int) -> None:
        self._progress = progress
        self._total = total
        self._every = max(1, total // 200)
        self._done = done
        self._told = done
        if progress is not None:
            progress(done, total)

    def advance(self, samples: int) -> None:
        self._done += samples
        if self._progress is not None and self._done - self._told >= self._every:
            self._told = self._done
            self._progress(self._done, self._total)

    def end(self) -> None:
        if self._progress is not None and self._told != self._total:
            self._progress(self._total, self._total)


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _wanted(parts: Sequence[Part]) -> int:
    small = sum(len(part.places) for part in parts) < _SMALL_SAMPLES and sum(p.bytes for p in parts) < _SMALL_BYTES
    return 1 if small else _cores()

"""How fast samples are read in a shuffled order, as records and as decoded training batches, beside other libraries.

An epoch of 50,000 records of 10 KB, and of small JPEGs decoded into batches of 256 uint8 images; with one process and
two, page cache warm and cold. Needs up to 3 GB below the temporary folder (TMPDIR), for a while.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from figures import Figure, options, report
from peers import field
from peers.inputs import Inputs, images
from peers.processes import Failed, begin, call
from peers.race import Arguments, Contender, Laps, cold, meeting, warm
from peers.share import Share, Work
from peers.workplace import workplace

_RECORD_BYTES = 10_000
_OF_THE_LIMIT = 0.75
_BY_ROW = 3.0
_DECODED = {0: 1.3, 2: 1.5}
OUR_DECODER = "simplejpeg"
_UNIT = "thousand records/s"


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    records: int
    images: int
    rounds: int
    pixels: tuple[int, ...] = (32, 64)


FULL = Size(records=50_000, images=20_480, rounds=5)
QUICK = Size(records=2_000, images=1_024, rounds=1, pixels=(32,))


def main() -> None:
    """Measure and print."""
    chosen = options(__doc__ or "")
    measured = measure(QUICK if chosen.quick else FULL)
    report(measured, packages=field.PACKAGES, as_json=chosen.json is not None)


def measure(size: Size) -> list[Figure]:
    """All figures; whatever is written for them is deleted at the end."""
    with workplace() as folder:
        begin(("torch", "torchvision", *(f"peers.{module}" for module in sorted(_formats()))))
        return [*_undecoded(folder / "records", size), *_decoded(folder / "images", size)]


def _formats() -> set[str]:
    every = (field.OURS, field.LIMIT, *field.BY_ROW, *field.IN_BULK, *field.LOADERS)
    return {contender.target.partition(":")[0].rpartition(".")[2] for contender in every}


def _undecoded(folder: Path, size: Size) -> list[Figure]:
    """Four figures: cache warm and cold, one process and two."""
    inputs = Inputs(size.records, record_bytes=_RECORD_BYTES)
    common = (field.OURS, field.OURS_COPIED, field.LIMIT, field.BY_HAND)
    laps: dict[tuple[bool, int], list[Laps]] = {}
    unwritten = _written(folder, inputs, {"ours"})
    for formats in field.GROUPS:
        unwritten |= _written(folder, inputs, set(formats))
        members = [c for c in (*field.BY_ROW, *field.IN_BULK) if c.format in (*formats, "ours")]
        running = [*common, *(member for member in members if _able(member, unwritten))]
        for is_cold in (False, True):
            for parts in (1, 2):
                found = _race(folder, running, _shares(folder, size.records, parts), size.rounds, is_cold)
                laps.setdefault((is_cold, parts), []).append(found)
        for name in formats:
            shutil.rmtree(folder / name, ignore_errors=True)
    return [_undecoded_figure(inputs, *key, some, unwritten) for key, some in laps.items()]


def _undecoded_figure(inputs: Inputs, is_cold: bool, parts: int, laps: list[Laps], unwritten: dict[str, str]) -> Figure:
    contenders = (field.OURS_COPIED, field.BY_HAND, *field.BY_ROW, *field.IN_BULK)
    ours, limit = (_speed(laps, one, unwritten) for one in (field.OURS, field.LIMIT))
    of_limit = min(some.ratio(field.OURS.name, field.LIMIT.name) for some in laps)
    by_row = {one.name: min(some.ratio(field.OURS.name, one.name) for some in laps) for one in field.BY_ROW}
    nearest = min(by_row, key=lambda name: by_row[name])
    missing = [one.name for one in field.BY_ROW if by_row[one.name] == math.inf]
    return Figure(
        f"epoch of {inputs.described}, cache {'cold' if is_cold else 'warm'}, {_processes(parts)}",
        _UNIT,
        ours if isinstance(ours, float) else 0.0,
        {one.name: _speed(laps, one, unwritten) for one in contenders},
        limit=limit if isinstance(limit, float) else None,
        goal=f"{_OF_THE_LIMIT:g} of the limit and {_BY_ROW:g} times the fastest by row",
        holds=None if missing else of_limit >= _OF_THE_LIMIT and by_row[nearest] >= _BY_ROW,
        note=f"Measured: {of_limit:.2f} of the limit; {by_row[nearest]:.2f} times {nearest}. "
        f"{_not_judged(missing)}Ours gives views of the map, "
        "every checksum verified; the limit and both pyarrow lines read the same files and verify nothing. "
        "WebDataset and LitData do not shuffle over the whole epoch. " + _cold_note(is_cold, laps),
    )


def _decoded(folder: Path, size: Size) -> list[Figure]:
    """A figure for each size of image: one process, two worker processes, and one process with a cold cache."""
    figures = []
    for pixels in size.pixels:
        inputs = images(size.images, pixels, folder / "inputs")
        place = folder / str(pixels)
        unwritten = _written(place, inputs, {contender.format for contender in (field.OURS_LOADER, *field.LOADERS)})
        running = [field.OURS_LOADER, *(one for one in field.LOADERS if _able(one, unwritten))]
        for workers, is_cold in ((0, False), (2, False), (0, True)):
            laps = _race(place, running, _works(place, len(inputs), workers), size.rounds, is_cold)
            figures.append(_decoded_figure(inputs, workers, is_cold, laps, unwritten))
        shutil.rmtree(place)
    return figures


def _decoded_figure(inputs: Inputs, workers: int, is_cold: bool, laps: Laps, unwritten: dict[str, str]) -> Figure:
    ours = laps.speed(field.OURS_LOADER.name)
    ratios = {one.name: laps.ratio(field.OURS_LOADER.name, one.name) for one in field.LOADERS}
    own = {one.name: ratios[one.name] for one in field.LOADERS if one.extra != OUR_DECODER}
    best, lent = (min(some, key=lambda name: some[name]) for some in (own, ratios))
    missing = [name for name, ratio in own.items() if ratio == math.inf]
    how = "two worker processes" if workers else "one process"
    return Figure(
        f"epoch of {inputs.described}, decoded into batches, cache {'cold' if is_cold else 'warm'}, {how}",
        _UNIT,
        ours if isinstance(ours, float) else 0.0,
        {one.name: _speed([laps], one, unwritten) for one in field.LOADERS},
        goal=f"{_DECODED[workers]:g} times the best peer's loader",
        holds=None if missing else own[best] >= _DECODED[workers],
        note=f"Measured: {own[best]:.2f} times {best}; {ratios[lent]:.2f} times {lent}, the best of all when the peers "
        f"are lent our decoder too. {_not_judged(missing)}All make batches of 256 uint8 images and labels; each peer "
        f"with torchvision's decoder, by which the goal is judged, and once more with ours, {OUR_DECODER}. Workers "
        "stay; the epoch that starts them does not count. " + _cold_note(is_cold, [laps]),
    )


def _written(folder: Path, inputs: Inputs, formats: set[str]) -> dict[str, str]:
    """Put the inputs into each format; why that failed, for those where it did."""
    failed = {}
    for name in sorted(formats):
        (folder / name).mkdir(parents=True)
        try:
            call(f"peers.{name}:write", folder / name, inputs)
        except Failed as failure:
            failed[name] = f"its format could not be written: {failure}"
    os.sync()  # only what is on the disk can be dropped from the page cache
    return failed


def _able(contender: Contender, unwritten: dict[str, str]) -> bool:
    return not contender.absent and contender.format not in unwritten


def _race(folder: Path, running: Sequence[Contender], arguments: Arguments, rounds: int, is_cold: bool) -> Laps:
    if is_cold:
        return cold(running, arguments, lambda name: folder / name, max(1, rounds // 2))
    return warm(running, arguments, rounds)


def _shares(folder: Path, samples: int, parts: int) -> Arguments:
    def arguments(contender: Contender) -> list[tuple[Path, Share]]:
        share = Share(samples, parts=parts, meeting=meeting())
        return [(folder / contender.format, replace(share, part=part)) for part in range(parts)]

    return arguments


def _works(folder: Path, samples: int, workers: int) -> Arguments:
    return lambda contender: [(folder / contender.format, Work(samples, workers, contender.extra))]


def _speed(laps: Sequence[Laps], contender: Contender, unwritten: dict[str, str]) -> float | str:
    """The median over all rounds in which it ran; or why it did not."""
    if contender.absent:
        return contender.absent.format(script="benchmarks/data_read.py")
    if contender.format in unwritten:
        return unwritten[contender.format]
    together = Laps()
    for some in laps:
        together.seconds.setdefault(contender.name, []).extend(some.seconds.get(contender.name, []))
        together.samples |= some.samples
        together.reasons |= some.reasons
    return together.speed(contender.name)


def _not_judged(missing: Sequence[str]) -> str:
    """A goal is judged only where all ran that it speaks of."""
    return f"The goal is not judged without {', '.join(missing)}. " if missing else ""


def _processes(parts: int) -> str:
    return "one process" if parts == 1 else "two processes"


def _cold_note(is_cold: bool, laps: Sequence[Laps]) -> str:
    """How much of the files was in memory when cold rounds began."""
    if not is_cold:
        return ""
    worst = max(part for some in laps for part in some.resident)
    return f"Opening counts too; at most {worst:.1%} of a format's pages were in memory when its round began."


if __name__ == "__main__":
    main()

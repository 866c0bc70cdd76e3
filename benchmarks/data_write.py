"""How fast samples are converted into each library's format: small JPEGs from a folder, and records of 10 KB."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from figures import Figure, options, report
from peers import field
from peers.inputs import Inputs, images, in_folder
from peers.processes import Failed, begin, call
from peers.race import Contender, Laps
from peers.workplace import workplace

_RECORD_BYTES = 10_000
_PIXELS = 64
_SYNCED = (
    "This library syncs every shard and the index to the disk and hashes each record and shard (SHA-256); LMDB syncs "
    "each transaction; the other writers leave both to whoever calls them."
)


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    records: int
    images: int
    rounds: int


FULL = Size(records=20_000, images=20_000, rounds=3)
QUICK = Size(records=2_000, images=1_000, rounds=1)


def main() -> None:
    """Measure and print."""
    chosen = options(__doc__ or "")
    measured = measure(QUICK if chosen.quick else FULL)
    report(measured, packages=field.PACKAGES, as_json=chosen.json is not None)


def measure(size: Size) -> list[Figure]:
    """Both figures; whatever is written for them is deleted at the end."""
    with workplace() as folder:
        begin(["torch", *sorted({one.target.partition(":")[0] for one in field.BUILDERS})])
        place = folder / "inputs"
        place.mkdir()
        unpacked = images(size.images, _PIXELS, folder / "unpacked")
        call("peers.inputs:lay_out", place, unpacked)
        jpegs = in_folder(place, _PIXELS)
        records = Inputs(size.records, record_bytes=_RECORD_BYTES)
        return [
            _figure(folder / "images", jpegs, field.BUILDERS, size.rounds),
            _figure(folder / "records", records, field.WRITERS, size.rounds),
        ]


def _figure(folder: Path, inputs: Inputs, contenders: Sequence[Contender], rounds: int) -> Figure:
    laps = Laps()
    for _ in range(rounds):
        for contender in contenders:
            _write(folder, inputs, contender, laps)
    first, *others = contenders
    ours = laps.speed(first.name)
    size = sum(len(inputs[number][0]) for number in range(0, len(inputs), 100)) / len(range(0, len(inputs), 100))
    compared = ("Streaming MDSWriter", "LitData optimize, 1 worker", "LitData optimize, 2 workers")
    ratios = ", ".join(
        f"{laps.ratio(first.name, name):.2f} times {name}" for name in compared if laps.seconds.get(name)
    )
    return Figure(
        f"conversion of {inputs.described} by {first.name.removeprefix('orchestrator').strip(', ')}",
        "thousand records/s",
        ours if isinstance(ours, float) else 0.0,
        {one.name: laps.speed(one.name) for one in others},
        note=f"A thousand records are {size / 1000:.2f} MB. Measured: {ratios or 'no peer'}. {_SYNCED}",
    )


def _write(folder: Path, inputs: Inputs, contender: Contender, laps: Laps) -> None:
    if contender.absent:
        laps.reasons[contender.name] = contender.absent.format(script="benchmarks/data_write.py")
    if contender.name in laps.reasons:
        return
    place = folder / contender.format
    place.mkdir(parents=True)
    try:
        laps.add(contender.name, call(contender.target, place, inputs), len(inputs))
    except Failed as failure:
        laps.reasons[contender.name] = str(failure)
    shutil.rmtree(place)


if __name__ == "__main__":
    main()

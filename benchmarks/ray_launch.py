"""Time from the submit to the first training step on a Ray cluster, beside `ray job submit` of a script that does it.

Each worker has a node. The same program runs in each on both sides: it imports torch, builds a small model and makes a
step. Ours is a workload with that command; beside it a training of the `regnet` recipe, which opens its data too and
starts its engine. The peer is a script that takes the same bundles as a placement group, and runs the program in them.
All of it shares this machine, so that the figures need a quiet one.

`--quick` ends within some minutes: a Ray of several nodes comes up, and both sides start many processes.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from figures import Figure, options, report
from rayjobs.launches import OURS, PLAIN, STEPPED, Watched, marks
from rayjobs.place import Place, note, place, wait_for
from rayjobs.times import Ratio, medians, parts, turn

from orchestrator.rundir.layout import JobDirectory

CPUS = 2
PEER, TRAINING = "ray job submit", "a training of the recipe"
WAYS = ("orchestrator", PEER, TRAINING)
PROGRAM = Path(__file__).parent / "rayjobs" / "first_step.py"
_LOOK, _ASK = 0.05, 1.0
"""Seconds between two looks into the run's directory, and between two questions to the server."""


@dataclass(frozen=True)
class Size:
    """How much is measured: workers of a launch, rounds of all ways."""

    workers: int
    rounds: int


FULL, QUICK = Size(2, 7), Size(2, 1)
Found = dict[str, list[Mapping[str, float]]]
"""Of each way the moments of its launches."""


def program(size: Size, folder: Path) -> dict[str, Any]:
    """A workload that runs the program on each of its workers."""
    return {
        "name": folder.name,
        "command": [sys.executable, str(PROGRAM), str(folder)],
        "resources": {"workers": size.workers, "cpus_per_worker": CPUS},
        "time_limit": "1h",
    }


def training(size: Size, folder: Path) -> dict[str, Any]:
    """A small training of the recipe."""
    return {
        "name": folder.name,
        "recipe": "regnet",
        "seed": 1,
        "data": {"dataset": "digits", "image_size": 8},
        "model": {"stem": "cifar", "stem_width": 8, "depth": 4, "w0": 16, "wa": 8, "wm": 2, "group_width": 8},
        "optim": {"lr": 0.1},
        "train": {"epochs": 1, "batch_size": 64, "samples_per_virtual_worker": 64 // size.workers},
        "resources": {"workers": size.workers, "cpus_per_worker": CPUS},
        "time_limit": "1h",
    }


def ours(where: Place, size: Size, folder: Path, document: Mapping[str, Any]) -> dict[str, float]:
    """Submit it, and watch it until it is over."""
    began = time.time()
    job = where.submit(document)
    accepted = time.time()
    watched = Watched(JobDirectory(Path(job.directory)).run(f"{job.id}-r1"), size.workers)

    asked = accepted

    def stepped() -> bool:
        nonlocal asked
        watched.look()
        if STEPPED in (watched.told() | marks(folder, size.workers)):
            return True
        due = time.time() - asked > _ASK
        asked = time.time() if due else asked
        return due and where.client.job(job.id).terminal

    wait_for(stepped, f"the first step of {job.id}", look=_LOOK)
    where.finish(job.id)
    return {"submitted": began, "accepted": accepted} | watched.told() | marks(folder, size.workers)


def plain(where: Place, size: Size, folder: Path) -> dict[str, float]:
    """The script as a job of Ray's."""
    began = time.time()
    job = where.submit_plain("plain_launch.py", str(folder), str(size.workers), str(CPUS))
    accepted = time.time()
    where.finish_plain(job)
    return {"submitted": began, "accepted": accepted} | marks(folder, size.workers)


@dataclass
class Race:
    """All ways in turn.

    Attributes:
        where: they run.
        size: of each.
    """

    where: Place
    size: Size
    found: Found = field(default_factory=lambda: {way: [] for way in WAYS})

    def round(self, number: int) -> None:
        """Each way once; the first round of all only warms up."""
        for way in turn(WAYS, number):
            moments = self.once(way, self.where.folder / f"launch-{number}-{WAYS.index(way)}")
            note(f"  {way}: " + listed(parts(moments, names_of(way))))
            if number:
                self.found[way].append(moments)

    def once(self, way: str, folder: Path) -> dict[str, float]:
        """One way.

        Raises:
            SystemExit: it made no step.
        """
        folder.mkdir()
        self.where.settle()
        if way == PEER:
            moments = plain(self.where, self.size, folder)
        else:
            make = program if way == WAYS[0] else training
            moments = ours(self.where, self.size, folder, make(self.size, folder))
        if STEPPED not in moments:
            raise SystemExit(f"{way}: no step was seen, only {', '.join(moments)}")
        return moments


def names_of(way: str) -> tuple[str, ...]:
    """The moments of a way, in order."""
    return (*(PLAIN if way == PEER else OURS), STEPPED)


def listed(seconds: Mapping[str, float]) -> str:
    """Parts in words."""
    return ", ".join(f"{name} {value:.2f}" for name, value in seconds.items())


def figures(size: Size, found: Found) -> list[Figure]:
    """The whole, and each part of ours beside the peer's."""
    whole = {way: [moments[STEPPED] - moments["submitted"] for moments in found[way]] for way in WAYS}
    split = {way: medians([parts(moments, names_of(way)) for moments in found[way]]) for way in WAYS}
    middle = {way: medians([{"": value} for value in whole[way]])[""] for way in WAYS}
    told = f"{size.workers} worker{'s' if size.workers > 1 else ''}, each on a node"
    first = Figure(
        f"submit to first step: {told}",
        "s",
        middle[WAYS[0]],
        {PEER: middle[PEER], f"{TRAINING}, ours": middle[TRAINING]},
        note=f"{Ratio.of(whole[WAYS[0]], whole[PEER])} times the time of {PEER}, median of {size.rounds} interleaved "
        f"rounds. Until all workers have made their step; of the training, until its first one is told. The parts of "
        f"{PEER}: {listed(split[PEER])}. Those of the training: {listed(split[TRAINING])}.",
    )
    return [first, *_figures_of_parts(split)]


def _figures_of_parts(split: Mapping[str, Mapping[str, float]]) -> Sequence[Figure]:
    return [
        Figure(
            f"of it until {name}",
            "s",
            seconds,
            {PEER: split[PEER][name]} if name in split[PEER] else {},
        )
        for name, seconds in split[WAYS[0]].items()
    ]


def size_of(chosen: argparse.Namespace) -> Size:
    """What the options say."""
    size = QUICK if chosen.quick else FULL
    asked = {name: getattr(chosen, name) for name in ("workers", "rounds")}
    return replace(size, **{name: value for name, value in asked.items() if value is not None})


def main() -> None:
    """Measure and print."""
    numbers = {
        "workers": (int, f"of a launch, each of which has a node [{FULL.workers}]"),
        "rounds": (int, f"of all ways in turn [{FULL.rounds}]"),
    }
    chosen = options(__doc__ or "", numbers, "end within minutes: one round after the first, same workers, same peers")
    size = size_of(chosen)
    with place(size.workers, CPUS) as where:
        race = Race(where, size)
        for number in range(size.rounds + 1):
            note(f"round {number} of {size.rounds}" if number else "warming up")
            race.round(number)
    report(figures(size, race.found), packages=["ray", "torch"], as_json=chosen.json is not None)


if __name__ == "__main__":
    main()

"""A search of short trials through the orchestrator beside the same trials by Ray Tune alone, on one Ray cluster.

Both sides run the same function in each trial, with the same resources on the same two nodes: some seconds of sleep and
a little computing, with a report after each epoch. Ours is all of a search, from the submit to the published results;
the peer is a script that is submitted to Ray as a job. The head, the nodes, the server and the trials share this
machine, and every process of a trial is started on it: the figures need a quiet one.

The goal is judged beside the faster way of the peer, from the medians of interleaved rounds of 64 trials. `--quick`
ends within some minutes and judges nothing: a Ray of several nodes comes up, and both sides start many processes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from figures import Figure, options, report
from rayjobs.place import Place, note, place
from rayjobs.times import Ratio, turn, whole
from rayjobs.toy import Toy
from rayjobs.trainer import VARIABLE

GOAL = 1.05
NODES, CPUS = 2, 2
"""Nodes and CPUs of each: as many trials run at once as there are CPUs."""
PEER, REUSING = "Ray Tune", "Ray Tune, reuse_actors"
WAYS = ("orchestrator", PEER, REUSING)
_JUDGED_TRIALS = 64
"""In fewer than these, what a search costs once says too much."""
_SPACE = {"depth": "4..12", "w0": "16..64", "wa": "8..64", "wm": "2..3", "group_width": "8..32"}


@dataclass(frozen=True)
class Size:
    """How much is measured: trials of a search, seconds and epochs of each, rounds of all ways."""

    trials: int
    seconds: float
    rounds: int
    epochs: int = 4


FULL, QUICK, WARM = Size(64, 3.0, 5), Size(8, 1.0, 1), Size(4, 0.2, 1)


@dataclass(frozen=True)
class Once:
    """One search.

    Attributes:
        wall: seconds from the submit to the end.
        before: of it before the first trial began.
        trials: from there to the end of the last one.
    """

    wall: float
    before: float
    trials: float

    @classmethod
    def of(cls, submitted: float, ended: float, toy: Toy, trials: int) -> Once:
        """From when it was submitted and over, and from what its trials wrote.

        Raises:
            SystemExit: it did not run all of them.
        """
        spans = toy.spans()
        if len(spans) != trials:
            raise SystemExit(f"{len(spans)} of {trials} trials have run")
        first, last = whole(spans)
        return cls(ended - submitted, first - submitted, last - first)

    @property
    def after(self) -> float:
        """Seconds of it after the last trial."""
        return self.wall - self.before - self.trials


Measured = dict[str, list[Once]]


def workload(size: Size, toy: Toy, name: str) -> dict[str, Any]:
    """A search whose trials take a CPU each; what they train is the toy."""
    return {
        "name": name,
        "recipe": "regnet",
        "seed": 1,
        "data": {"dataset": "digits", "image_size": 8},
        "model": {"stem": "cifar", "stem_width": 8},
        "optim": {"lr": 0.1},
        "train": {"epochs": size.epochs, "batch_size": 64},
        "search": {"trials": size.trials, "space": _SPACE, "trial": {"cpus": 1}},
        "resources": {"workers": NODES * CPUS, "cpus_per_worker": 1},
        "time_limit": "2h",
        "env": {VARIABLE: toy.to_text(), "PYTHONPATH": str(Path(__file__).parent)},
    }


def ours(where: Place, size: Size, toy: Toy) -> Once:
    """Through the orchestrator."""
    began = time.time()
    job = where.submit(workload(size, toy, Path(toy.folder).name)).id
    where.finish(job)
    return Once.of(began, time.time(), toy, size.trials)


def plain(where: Place, size: Size, toy: Toy, *, reuse: bool) -> Once:
    """By Ray Tune, as a job of Ray's."""
    began = time.time()
    where.finish_plain(where.submit_plain("plain_search.py", str(size.trials), "reuse" if reuse else "", toy.to_text()))
    return Once.of(began, time.time(), toy, size.trials)


@dataclass
class Race:
    """All ways in turn.

    Attributes:
        where: they run.
        size: of each.
    """

    where: Place
    size: Size
    found: Measured = field(default_factory=lambda: {way: [] for way in WAYS})

    def round(self, number: int) -> None:
        """Each way once."""
        for way in turn(WAYS, number):
            once = self.once(way, self.size, f"round-{number}-{WAYS.index(way)}")
            note(
                f"  {way}: {once.wall:.1f} s, of which {once.before:.1f} before its first trial, {once.after:.1f} after"
            )
            self.found[way].append(once)

    def once(self, way: str, size: Size, name: str) -> Once:
        """One way."""
        folder = self.where.folder / name
        folder.mkdir()
        self.where.settle()
        toy = Toy(str(folder), size.seconds, size.epochs)
        if way == WAYS[0]:
            return ours(self.where, size, toy)
        return plain(self.where, size, toy, reuse=way == REUSING)


def figures(size: Size, found: Measured) -> list[Figure]:
    """Wall time, of which the goal is, and the rate of the trials alone."""
    walls = {way: [once.wall for once in all_of_it] for way, all_of_it in found.items()}
    rates = {way: [size.trials / once.trials for once in all_of_it] for way, all_of_it in found.items()}
    middle = {way: statistics.median(each) for way, each in walls.items()}
    ratios = {peer: Ratio.of(walls[WAYS[0]], walls[peer]) for peer in (PEER, REUSING)}
    faster = min(ratios, key=lambda peer: middle[peer])
    told = f"{size.trials} trials of {size.seconds:g} s, {NODES * CPUS} at once"
    ideal = size.seconds * -(-size.trials // (NODES * CPUS))
    split = "; ".join(
        f"{way} {statistics.median(once.before for once in all_of_it):.1f} s and "
        f"{statistics.median(once.after for once in all_of_it):.1f} s"
        for way, all_of_it in found.items()
    )
    return [
        Figure(
            f"a search from submit to end: {told}",
            "s",
            middle[WAYS[0]],
            {peer: middle[peer] for peer in ratios},
            limit=ideal,
            goal=f"at most {GOAL} times that of the faster peer",
            holds=ratios[faster].median <= GOAL if size.trials >= _JUDGED_TRIALS else None,
            note="; ".join(f"{ratio} times the time of {peer}" for peer, ratio in ratios.items())
            + f"; medians of {size.rounds} interleaved rounds. Before the first trial and after the last one: {split}. "
            "The limit is the trials' own time.",
        ),
        Figure(
            f"trials/s from the first one's begin to the last one's end: {told}",
            "1/s",
            statistics.median(rates[WAYS[0]]),
            {peer: statistics.median(rates[peer]) for peer in (PEER, REUSING)},
            limit=size.trials / ideal,
            note=f"ours gives {Ratio.of(rates[WAYS[0]], rates[PEER])} times the rate of {PEER}, "
            f"{Ratio.of(rates[WAYS[0]], rates[REUSING])} times that of {REUSING}, which keeps processes for the "
            "next trial, as ours does.",
        ),
    ]


def size_of(chosen: argparse.Namespace) -> Size:
    """What the options say."""
    size = QUICK if chosen.quick else FULL
    asked = {name: getattr(chosen, name) for name in ("trials", "seconds", "rounds")}
    return replace(size, **{name: value for name, value in asked.items() if value is not None})


def main() -> None:
    """Measure and print."""
    numbers = {
        "trials": (int, f"of each search [{FULL.trials}]"),
        "seconds": (float, f"of each trial [{FULL.seconds:g}]"),
        "rounds": (int, f"of all ways in turn [{FULL.rounds}]"),
    }
    quick = f"end within minutes, judge nothing: {QUICK.trials} trials of {QUICK.seconds:g} s, one round, same peers"
    chosen = options(__doc__ or "", numbers, quick)
    size = size_of(chosen)
    with place(NODES, CPUS) as where:
        race = Race(where, size)
        note("warming up")
        for number, way in enumerate(WAYS[:2]):
            race.once(way, WARM, f"warm-{number}")
        for number in range(size.rounds):
            note(f"round {number + 1} of {size.rounds}")
            race.round(number)
    report(figures(size, race.found), packages=["ray"], as_json=chosen.json is not None)


if __name__ == "__main__":
    main()

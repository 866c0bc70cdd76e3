"""Step time of the elastic engine beside DistributedDataParallel and a bare loop over the same slices."""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from json import loads
from pathlib import Path

from figures import Figure, options, report

GOALS = {"exact": 1.10, "not exact": 1.03}
ALONE_GOAL = 1.01
PEER = {1: "a bare loop"}


Times = dict[str, list[tuple[float, float]]]
"""Of each contender the seconds, and the CPU seconds of all workers, of its steps."""


def measured(world: int, rounds: int, slice_samples: int) -> Times:
    """The steps of all contenders with so many workers, one thread each."""
    script = str(Path(__file__).with_name("overhead_worker.py"))
    with tempfile.TemporaryDirectory() as folder:
        port = os.path.join(folder, "port")
        workers = [
            subprocess.Popen(
                [sys.executable, script, str(rank), str(world), port, str(rounds), str(slice_samples)],
                stdout=subprocess.PIPE if rank == 0 else subprocess.DEVNULL,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                text=True,
            )
            for rank in range(world)
        ]
        try:
            told, _ = workers[0].communicate(timeout=1800)
            if any(worker.wait(60) for worker in workers):
                raise SystemExit("a worker of the benchmark failed: see above")
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
    times: Times = loads(told)
    return times


def interval(ratios: Sequence[float]) -> tuple[float, float]:
    """95 % bootstrap interval of the median."""
    generator = random.Random(1)
    medians = sorted(statistics.median(generator.choices(ratios, k=len(ratios))) for _ in range(2000))
    return medians[50], medians[-51]


def figures(world: int, times: Times) -> list[Figure]:
    """Two for each of our modes: what the goal is of, and CPU time, which other work on the machine blurs less."""
    peer = PEER.get(world, "DistributedDataParallel, no_sync")
    found = []
    for mode in ("exact", "not exact"):
        goal = GOALS[mode] if world > 1 else ALONE_GOAL
        for column, what in enumerate(("a step", "CPU time of all workers in a step")):
            own, theirs = ([pair[column] for pair in times[name]] for name in (mode, "plain"))
            ratios = [a / b for a, b in zip(own, theirs, strict=True)]
            ratio, (low, high) = statistics.median(ratios), interval(ratios)
            found.append(
                Figure(
                    name=f"{what}, ResNet-18 at 64x64, {world} worker{'s' if world > 1 else ''}, {mode}",
                    unit="s",
                    ours=statistics.median(own),
                    peers={peer: statistics.median(theirs)},
                    goal="" if column else f"at most {goal} times the peer's",
                    holds=None if column else ratio <= goal,
                    note=f"{ratio:.3f} times the peer's, median of {len(ratios)} interleaved pairs, 95 % interval of "
                    f"the median {low:.3f} to {high:.3f}",
                )
            )
    return found


def main() -> None:
    """Measure 1, 2 and 4 workers."""
    asked = options(__doc__ or "")
    rounds, slice_samples = (4, 8) if asked.quick else (20, 16)
    found = [figure for world in (1, 2, 4) for figure in figures(world, measured(world, rounds, slice_samples))]
    report(found, packages=["torch", "torchvision"], as_json=asked.json is not None)


if __name__ == "__main__":
    main()

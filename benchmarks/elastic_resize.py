"""Seconds without progress when workers come and go: this engine, torchrun's elastic restart, Ray Train's scaling.

Four workers on two nodes of two, all on this machine and on loopback. Every engine trains the same model on the same
batches; its workers log each step. What counts is the longest time between two new steps, less the median step before.
It needs a quiet machine: peers that restart import torch again, and do so as slowly as the machine is busy.

`--quick` has one round, and gives each peer so little time that all end within three and a half minutes; what has not
come about by then is said to be so.
"""

from __future__ import annotations

import signal
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from types import FrameType

from figures import Figure, options, report
from resizing.contender import Contender
from resizing.ours import Ours
from resizing.race import Race, Results, Terms
from resizing.ray_train import RayTrain
from resizing.steps import Pause
from resizing.torchrun import Torchrun

FULL = Terms(rounds=3, patience=150.0, budget=900.0)
QUICK = Terms(rounds=1, patience=50.0, budget=50.0)
OURS_SECONDS = 240.0
"""This engine must do it all, on a busy machine too."""
ROWS = {
    "shrink": ("a planned resize, 4 to 2 workers", 0.5, 0),
    "grow": ("a planned resize, 2 to 4 workers", 0.5, 0),
    "kill_worker": ("a worker that is killed, of 4, and replaced", 2.0, 1),
    "lose_node": ("a node that is lost, with 2 of 4 workers", 2.0, 1),
}
"""Of each event what it is, and the goals: seconds, and steps that are redone."""
TIMES_LESS = 5


def tuned(folder: Path) -> Contender:
    """Torchrun with shorter time-outs."""
    return Torchrun(folder, tuned=True)


def untuned(folder: Path) -> Contender:
    """Torchrun as it comes."""
    return Torchrun(folder, tuned=False)


PEERS = {"torchrun, tuned": tuned, "torchrun, untuned": untuned, "Ray Train, tuned": RayTrain}


def seconds(results: Results, event: str) -> float | str:
    """The median of all rounds, or why there is none."""
    pauses = results.pauses.get(event)
    return statistics.median(pause.seconds for pause in pauses) if pauses else results.reasons[event]


def redone(results: Results, event: str) -> float | str:
    """The most of any round, or why there is none."""
    pauses = results.pauses.get(event)
    return float(max(pause.redone for pause in pauses)) if pauses else results.reasons[event]


def pause_figure(event: str, ours: list[Pause], peers: dict[str, Results]) -> Figure:
    """Seconds without progress."""
    what, most, _ = ROWS[event]
    mine = statistics.median(pause.seconds for pause in ours)
    theirs = {name: seconds(results, event) for name, results in peers.items()}
    known = [value for value in theirs.values() if isinstance(value, float)]
    holds = mine < most and all(value >= TIMES_LESS * mine for value in known)
    worst, step = max(pause.seconds for pause in ours), statistics.median(pause.step for pause in ours)
    return Figure(
        name=f"{what}: without progress",
        unit="s",
        ours=mine,
        peers=theirs,
        goal=f"less than {most:g} s, and {TIMES_LESS} times less than the better peer",
        holds=holds if known or not holds else None,
        note=f"{len(ours)} times, the longest {worst:.3f} s; a step takes {step:.3f} s. "
        + (f"The better peer's is {min(known) / mine:.1f} times ours." if known else "No peer could be measured."),
    )


def redone_figure(event: str, ours: list[Pause], peers: dict[str, Results]) -> Figure:
    """Steps that were begun twice."""
    what, _, most = ROWS[event]
    mine = float(max(pause.redone for pause in ours))
    return Figure(
        name=f"{what}: redone",
        unit="steps",
        ours=mine,
        peers={name: redone(results, event) for name, results in peers.items()},
        goal=f"at most {most}",
        holds=mine <= most,
    )


def interrupted(number: int, frame: FrameType | None) -> None:
    """SIGTERM ends the race as Ctrl-C does: with all its processes."""
    raise SystemExit(128 + number)


def main() -> None:
    """Race them, one after the other."""
    asked = options(__doc__ or "")
    signal.signal(signal.SIGTERM, interrupted)
    terms = QUICK if asked.quick else FULL
    with tempfile.TemporaryDirectory(prefix="race-") as folder:
        ours = Race(
            "orchestrator",
            Ours,
            Path(folder, "0"),
            replace(terms, patience=OURS_SECONDS, budget=max(terms.budget, OURS_SECONDS)),
        ).run()
        missing = {event: ours.reasons[event] for event in ROWS if not ours.pauses.get(event)}
        if missing:
            sys.exit(f"this engine did not do it: {missing}")
        peers = {
            name: Race(name, make, Path(folder, str(number)), terms).run()
            for number, (name, make) in enumerate(PEERS.items(), 1)
        }
    found = [figure(event, ours.pauses[event], peers) for event in ROWS for figure in (pause_figure, redone_figure)]
    report(found, packages=["torch", "ray"], as_json=asked.json is not None)


if __name__ == "__main__":
    main()

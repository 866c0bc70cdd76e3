"""The shipped default policy beside others on recorded loads: how long jobs take, and what wide ones lose.

    python benchmarks/policies.py [--quick] [--json -] [--jobs N] [--data FOLDER] [--trace NAME=FILE:GPUS ...]

FOLDER holds traces/pai.csv.gz and traces/venus.csv.gz (default: ORCHESTRATOR_TEST_DATA; without it a made-up load is
used). Nodes have 8 GPUs. A gang of up to 8 lies on one node, a larger one on whole nodes and what is left of it on a
shared one. Each preemption and each resize costs 30 s of all the slots of a job. Everybody runs in the same simulator
and is placed in the same way; a job of n GPUs may run on ceil(n / 4) to n under the elastic policies and the default
one, and on n under the others; k of n GPUs have the speed (k / n) ** exponent. EASY has the estimates of the users;
SJF and SRTF know the truth; LAS and elastic know nothing; the default policy has an estimate that is off by a
log-normal factor with standard deviation 0.5. A full run takes hours on one core; progress is told on stderr.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from figures import Figure, report

from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.simulation.clusters import plain_nodes
from orchestrator.simulation.engine import simulate
from orchestrator.simulation.guesses import Guesses
from orchestrator.simulation.loads import Shapes, make_load
from orchestrator.simulation.metrics import figures as figures_of
from orchestrator.simulation.synthetic import synthetic_jobs
from orchestrator.simulation.traces.read import read_trace
from orchestrator.simulation.traces.trace import TraceJob
from orchestrator.simulation.truth import Charges
from orchestrator.spec.policy import Elastic, Order, Policy, Preemption
from orchestrator.spec.presets import preset

NODE = 8
CHARGES = Charges(resume=30.0, resize=30.0)
TRACES = {"pai": ("traces/pai.csv.gz", 512), "venus": ("traces/venus.csv.gz", 640)}
KNOWN = {
    ("pai", "FIFO"): 78_966.0,
    ("venus", "FIFO"): 43_283.0,
    ("pai", "SJF"): 6_264.0,
    ("venus", "SJF"): 11_309.0,
}
"""Average JCT that an independent simulator found on one pool of GPUs."""
_ALWAYS = Preemption(for_whom="earlier", min_run=0.0, immune_after=1_000_000, returned_after=0.0)


@dataclass(frozen=True)
class Rival:
    """A policy, and what it is told.

    Attributes:
        name: for the table.
        policy: it.
        estimates: where its estimates come from.
        elastic: whether it may choose widths.
    """

    name: str
    policy: Policy = field(compare=False)
    estimates: Guesses
    elastic: bool = False


PERFECT, NOTHING = Guesses("perfect", 0.0), Guesses("none", 0.0)
FIFO = Rival("FIFO", preset("fifo"), NOTHING)
SJF = Rival("SJF", preset("sjf"), PERFECT)
RIVALS = (
    Rival("EASY, users' estimates", preset("easy"), Guesses("users", 0.0)),
    SJF,
    Rival(
        "SRTF, preemptive",
        Policy(name="srtf", order=Order(by="shortest"), backfill="skip", preemption=_ALWAYS),
        PERFECT,
    ),
    Rival(
        "LAS, 6 queues", Policy(name="las", order=Order(by="attained"), backfill="skip", preemption=_ALWAYS), NOTHING
    ),
    Rival(
        "elastic",
        Policy(
            name="elastic",
            order=Order(by="fifo"),
            backfill="skip",
            elastic=Elastic(between=60.0, pays_within=0.01),
        ),
        NOTHING,
        elastic=True,
    ),
)
OURS = Rival("default", preset("default"), Guesses("error", 0.5, seed=1), elastic=True)


@dataclass(frozen=True)
class Input:
    """A load.

    Attributes:
        name: for the table.
        file: a trace; None: made up.
        gpus: of the cluster.
        most: only so many of its jobs, the first ones; None: all.
    """

    name: str
    file: str | None
    gpus: int
    most: int | None = None

    def jobs(self) -> Sequence[TraceJob]:
        """In the order of submission."""
        if self.file is None:
            return synthetic_jobs(self.most or 20_000, self.gpus, load=0.9, seed=1)
        return read_trace(Path(self.file)).jobs[: self.most]


@dataclass(frozen=True)
class Case:
    """One simulation."""

    input: Input
    rival: Rival
    exponent: float
    pool: bool = False

    @property
    def title(self) -> str:
        """For people."""
        where = "one pool" if self.pool else f"speed-up ^{self.exponent:g}"
        return f"{self.input.name} on {self.input.gpus} GPUs, {where}"


@dataclass(frozen=True)
class Found:
    """What came of it, in seconds."""

    jct: float
    wide_lost: float
    note: str


def run(case: Case) -> Found:
    """Simulate it."""
    began = time.perf_counter()
    nodes = plain_nodes(1, case.input.gpus) if case.pool else plain_nodes(case.input.gpus // NODE, NODE)
    shapes = Shapes(elastic=4 if case.rival.elastic else 1, exponent=case.exponent)
    load = make_load(case.input.jobs(), nodes, estimates=case.rival.estimates, shapes=shapes)
    charges = Charges(0.0, 0.0) if case.pool else CHARGES
    result = simulate(Snapshot(0.0, nodes), load.jobs, case.rival.policy, charges=charges)
    found = figures_of(result)
    wide = found.wide_time_lost.p99 if found.wide_time_lost else 0.0
    note = f"{found.preemptions:,} preemptions, {found.resizes:,} resizes, {found.unfinished} unfinished"
    took = time.perf_counter() - began
    told = f"{case.title}: {case.rival.name}: {found.jct.mean:,.0f} s, wide ones lose {wide:,.0f} s at p99, {note}"
    print(f"{told} ({took:,.0f} s)", file=sys.stderr, flush=True)
    return Found(found.jct.mean, wide, note)


def main() -> None:
    """Simulate all, and print the tables."""
    chosen = _options()
    inputs = list(_inputs(chosen))
    cases = list(_cases(inputs, [0.8] if chosen.quick else [0.8, 1.0]))
    if chosen.jobs > 1:
        with multiprocessing.get_context("spawn").Pool(chosen.jobs) as pool:
            found = dict(zip(cases, pool.map(run, cases, chunksize=1), strict=True))
    else:
        found = {case: run(case) for case in cases}
    report(list(_figures(found)), packages=[], as_json=bool(chosen.json))


def _inputs(chosen: argparse.Namespace) -> Iterator[Input]:
    """In a quick run a part of each, on a fifth of the cluster, so that there is something to wait for."""
    most, less = (600, 4) if chosen.quick else (None, 1)
    if chosen.data:
        for name, (file, gpus) in TRACES.items():
            yield Input(name, str(Path(chosen.data) / file), gpus // less, most)
    elif not chosen.trace:
        yield Input("made-up", None, 512 // less, most)
    for given in chosen.trace:
        name, _, rest = given.partition("=")
        file, _, gpus = rest.rpartition(":")
        yield Input(name, file, int(gpus) // less, most)


def _cases(inputs: Sequence[Input], exponents: Sequence[float]) -> Iterator[Case]:
    for one in inputs:
        for rival in (FIFO, SJF):
            yield Case(one, rival, 1.0, pool=True)
        yield from dict.fromkeys(case_of(one, rival, exponent) for exponent in exponents for rival in (OURS, *RIVALS))


def case_of(one: Input, rival: Rival, exponent: float) -> Case:
    """Whoever resizes nobody does the same at any speed-up, and is simulated once."""
    return Case(one, rival, exponent if rival.elastic else 1.0)


def _figures(found: dict[Case, Found]) -> Iterator[Figure]:
    for case, result in found.items():
        known = KNOWN.get((case.input.name, case.rival.name))
        if case.pool and known is not None and case.input.most is None:
            yield Figure(
                f"calibration: average JCT of {case.rival.name} without reservations, {case.title}",
                "s",
                result.jct,
                {"an independent simulator": known},
                goal="within 2 %",
                holds=abs(result.jct / known - 1) <= 0.02,
            )
        elif case.rival == OURS:
            yield from _compared(case, found)


def _compared(ours: Case, found: dict[Case, Found]) -> Iterator[Figure]:
    peers = {rival.name: found[case_of(ours.input, rival, ours.exponent)] for rival in RIVALS}
    mine = found[ours]
    notes = "; ".join(f"{name}: {result.note}" for name, result in (peers | {"default": mine}).items())
    yield Figure(
        f"average JCT, {ours.title}",
        "s",
        mine.jct,
        {name: result.jct for name, result in peers.items()},
        goal="at most the better of LAS and elastic",
        holds=mine.jct <= min(peers["LAS, 6 queues"].jct, peers["elastic"].jct),
        note=notes,
    )
    yield Figure(
        f"p99 of the time lost by jobs above 8 GPUs, {ours.title}",
        "s",
        mine.wide_lost,
        {name: result.wide_lost for name, result in peers.items()},
        goal="no more than EASY's",
        holds=mine.wide_lost <= peers["EASY, users' estimates"].wide_lost,
        note="time lost is JCT less the duration with all GPUs and nobody else",
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="end within a minute or so: smaller sizes, same peers")
    parser.add_argument("--json", choices=["-"], help="print one JSON document and nothing else")
    parser.add_argument("--jobs", type=int, default=1, help="simulations at a time")
    parser.add_argument("--data", default=os.environ.get("ORCHESTRATOR_TEST_DATA"), help="the folder above traces/")
    parser.add_argument("--trace", action="append", default=[], help="NAME=FILE:GPUS, a further one")
    return parser.parse_args()


if __name__ == "__main__":
    main()

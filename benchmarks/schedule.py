"""Decisions on 10,000 GPUs with 10,000 waiting jobs, and simulated events a second, beside a plain numpy EASY pass.

    python benchmarks/schedule.py [--quick] [--json -]

All times are of the processor. Python's collector of garbage is on and, as in the server, makes its full collections
between two pieces of work. The load is generated: seeded, mixed shapes (1 to 64 GPUs, some with cores and memory, two
kinds of nodes, three teams), with time limits that are two to ten times the true run times.
"""

from __future__ import annotations

import gc
import importlib
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

from figures import Figure, options, report

from orchestrator.base.collector import full_collections_by_hand
from orchestrator.scheduling.cluster import Constraints, Demand, Node
from orchestrator.scheduling.deltas import Delta, Gone, Pends, Runs
from orchestrator.scheduling.explain import explain_all
from orchestrator.scheduling.fold import advance, decide
from orchestrator.scheduling.jobs import Estimate, Job, Running
from orchestrator.scheduling.room import Room
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.scheduling.state import State
from orchestrator.scheduling.walk import ROOMS
from orchestrator.simulation.clusters import plain_nodes
from orchestrator.simulation.engine import Engine, simulate
from orchestrator.simulation.guesses import Guesses
from orchestrator.simulation.loads import make_load
from orchestrator.simulation.traces.read import read_trace
from orchestrator.simulation.truth import TrueJob
from orchestrator.spec.policy import Order, Policy
from orchestrator.spec.presets import preset

NOW = 1_000_000.0
EASY = Policy(name="easy", order=Order(by="fifo"), backfill="easy")
DEFAULT = preset("default")
GPUS_512 = plain_nodes(64, 8)
SHAPES = [1] * 8 + [2] * 4 + [4] * 4 + [8] * 4 + [16, 16, 32, 64]


def main() -> None:
    """Measure and print."""
    chosen = options(__doc__ or "")
    nodes, pending = (160, 2_000) if chosen.quick else (1_250, 10_000)
    with full_collections_by_hand():
        figures = decisions(nodes, pending, 15 if chosen.quick else 100)
    figures += simulated(3_000 if chosen.quick else 20_000)
    report(figures, packages=["numpy"], as_json=bool(chosen.json))


# --- decisions -----------------------------------------------------------------------------------------------------


def decisions(nodes: int, pending: int, rounds: int) -> list[Figure]:
    """Of one large snapshot."""
    found = snapshot(nodes, pending)
    what = f"{nodes * 8:,} GPUs, {len(found.running):,} running and {pending:,} waiting jobs"
    reasons = [_of_reasons(found, policy, max(10, rounds // 5)) for policy in (EASY, DEFAULT)]
    return [*_of_easy(found, what, rounds), *_of_default(found, rounds), *reasons, _of_conservative(found)]


def _of_easy(found: Snapshot, what: str, rounds: int) -> list[Figure]:
    calls = _times_of_decisions(_begun(found, EASY), EASY, rounds)
    numpy_pass = NumpyEasy(found)
    peer = _times(lambda n: numpy_pass.decide(), min(rounds, 20))
    one, _ = _times_of_news(found, EASY, rounds)
    whole = _times(lambda n: decide(found, EASY), 3)
    return [
        Figure(
            "decide, p99", "ms", _p99(calls), {"numpy, one pool, p99": _p99(peer)}, goal="under 50 ms",
            holds=_p99(calls) < 50, note=f"{what}; fifo with EASY on nodes. The peer knows neither nodes nor shapes.",
        ),
        Figure("decide, median", "ms", _median(calls), {"numpy, one pool, median": _median(peer)}),
        Figure("advance after one job came or went, p99", "ms", _p99(one), goal="under 5 ms", holds=_p99(one) < 5,
               note=f"median {_median(one):.2f} ms; a copy of the state, the delta, the decision, and carrying it out"),
        Figure("decide from a plain snapshot, median", "ms", _median(whole), note="with all indexes built anew"),
    ]  # fmt: skip


def _of_default(found: Snapshot, rounds: int) -> list[Figure]:
    first = _times_of_decisions(_begun(found, DEFAULT), DEFAULT, 10)
    one, calls = _times_of_news(found, DEFAULT, rounds)
    return [
        Figure("default policy: first decision, p99", "ms", _p99(first), goal="under 50 ms", holds=_p99(first) < 50,
               note=f"median {_median(first):.1f} ms; on a cluster that was full room is made for {ROOMS} jobs, by "
               "stopping and shrinking others"),
        Figure("default policy: decide, p99", "ms", _p99(calls), goal="under 50 ms", holds=_p99(calls) < 50,
               note=f"median {_median(calls):.1f} ms; once it has settled, after one job came or went"),
        Figure("default policy: advance after one job came or went, p99", "ms", _p99(one), goal="under 5 ms",
               holds=_p99(one) < 5,
               note=f"median {_median(one):.1f} ms; whoever waits and could have others stopped is looked at anew"),
    ]  # fmt: skip


def _of_reasons(found: Snapshot, policy: Policy, rounds: int) -> Figure:
    times = _times(lambda n: explain_all(found, policy), rounds)
    return Figure(
        f"{policy.name} policy: decide with the reasons of all waiting jobs, p99", "ms", _p99(times),
        goal="under 250 ms", holds=_p99(times) < 250,
        note=f"median {_median(times):.0f} ms of {rounds} calls; explain_all of a plain snapshot",
    )  # fmt: skip


def _of_conservative(found: Snapshot) -> Figure:
    policy = preset("conservative")
    times = _times_of_decisions(_begun(found, policy), policy, 2)
    note = "it stops reserving when it has looked at so many rooms"
    return Figure("conservative policy: decide, median", "ms", _median(times), note=note)


def snapshot(nodes: int, pending: int) -> Snapshot:
    """A full cluster and a long queue."""
    random = Random(7)
    machines = [
        Node(f"n{i:04}", 8, gpu_type="h200" if i % 4 else "a100", cpus=96, memory=1 << 40, rack=f"r{i // 16}")
        for i in range(nodes)
    ]
    room, running = Room(machines), []
    for number in range(4 * nodes):
        job = waiting(random, number)
        placement = room.fit(job.demand, job.demand.workers_min, NOW, NOW)
        if placement is not None:
            room.take(placement, job.demand)
            since = NOW - random.random() * 0.9 * (job.limit or 3600)
            running.append(Running(job, placement, since, counted=since, resized=since))
    queue = tuple(waiting(random, 10_000_000 + number) for number in range(pending))
    return Snapshot(NOW, tuple(machines), queue, tuple(running))


def waiting(random: Random, number: int) -> Job:
    """One job."""
    workers = random.choice(SHAPES)
    true = random.lognormvariate(7.5, 1.3)
    demand = Demand(
        workers,
        workers * random.choice([1, 1, 1, 2]),
        cpus=random.choice([0, 4, 8, 12]),
        memory=random.choice([0, 0, 64 << 30]),
        constraints=Constraints(gpu_types=random.choice([(), (), ("h200",)])),
    )
    limit = true * random.uniform(2, 10) if random.random() < 0.8 else None
    since = NOW - random.random() * 86_400
    return Job(
        f"j-{number}", number, since, demand, team=random.choice("abc"), priority=random.choice([0, 0, 0, 1]),
        estimate=Estimate(true, 0.5), limit=limit, exponent=0.8, waits_since=since,
    )  # fmt: skip


def _begun(found: Snapshot, policy: Policy) -> State:
    """As a server has it when it has begun: the queue in order."""
    state = State.of(found)
    state.queue(policy, NOW)
    gc.collect()
    return state


def _time(call: Callable[[], object]) -> float:
    """Milliseconds of the processor."""
    started = time.process_time()
    call()
    return (time.process_time() - started) * 1e3


def _times(call: Callable[[int], object], rounds: int) -> list[float]:
    """Milliseconds of each call."""
    return [_time(partial(call, number)) for number in range(rounds)]


def _times_of_decisions(state: State, policy: Policy, rounds: int) -> list[float]:
    """Whole ones: a copy remembers no decision."""
    return [_time(partial(state.copy().decide, policy, NOW + number)) for number in range(rounds)]


def _times_of_news(found: Snapshot, policy: Policy, rounds: int) -> tuple[list[float], list[float]]:
    """Of `advance` and of the decision in it, on a cluster that has settled; jobs come and go in turn."""
    state, random, now = _begun(found, policy), Random(3), NOW
    _settle(state, policy, now)
    times, decided = [], []
    for number in range(rounds):
        now += 10.0
        came = replace(waiting(random, 20_000_000 + number), submitted=now, waits_since=now)
        news: Delta = Gone(random.choice(sorted(state.running))) if number % 2 else Pends(came)
        before = state.copy()
        before.apply(news, now)
        decided.append(_time(partial(before.decide, policy, now)))
        times.append(_time(partial(advance, state, [news], now, policy)))
        state, _ = advance(state, [news], now, policy)
        _settle(state, policy, now)
    return times, decided


def _settle(state: State, policy: Policy, now: float) -> None:
    """Everybody obeys at once, until nothing more is decided."""
    for _ in range(100):
        for name in sorted(state.leaving):
            run = state.running[name]
            job = replace(run.job, worked=run.worked(now), attained=run.attained(now))
            if run.keeps:
                state.apply(Runs(replace(run, job=job, placement=run.keeps, keeps=None, counted=now, resized=now)), now)
            else:
                state.apply(Pends(replace(job, waits_since=now, preemptions=job.preemptions + 1)), now)
        if not (decisions := state.decide(policy, now)):
            return
        state.carry_out(decisions, now)


def _p99(times: list[float]) -> float:
    return sorted(times)[math.ceil(len(times) * 0.99) - 1]


def _median(times: list[float]) -> float:
    return statistics.median(times)


class NumpyEasy:
    """Textbook EASY on one pool of GPUs, in numpy: what the same decision costs without nodes and shapes."""

    def __init__(self, found: Snapshot) -> None:
        import numpy as np

        queue = sorted(found.pending, key=lambda job: job.sequence)
        self.size = np.array([job.demand.workers_min for job in queue])
        self.limit = np.array([math.inf if job.limit is None else job.limit for job in queue])
        self.ends = np.array([math.inf if r.job.limit is None else r.since + r.job.limit for r in found.running])
        self.held = np.array([r.slots for r in found.running])
        self.free = sum(node.slots for node in found.nodes) - int(self.held.sum())

    def decide(self) -> list[int]:
        """Numbers of the jobs that start."""
        import numpy as np

        total = np.cumsum(self.size)
        head = int(np.searchsorted(total, self.free, side="right"))
        started, free = list(range(head)), self.free - int(total[head - 1] if head else 0)
        if head == len(self.size):
            return started
        order = np.argsort(self.ends, kind="stable")
        released = free + np.cumsum(self.held[order])
        at = int(np.searchsorted(released, self.size[head]))
        shadow, extra = self.ends[order][at], int(released[at] - self.size[head])
        fits = (self.size[head + 1 :] <= free) & (
            (NOW + self.limit[head + 1 :] <= shadow) | (self.size[head + 1 :] <= extra)
        )
        for number in np.flatnonzero(fits) + head + 1:
            size, brief = int(self.size[number]), NOW + self.limit[number] <= shadow
            if size <= free and (brief or size <= extra):
                started.append(int(number))
                free -= size
                extra -= 0 if brief else size
        return started


# --- simulation ----------------------------------------------------------------------------------------------------


def simulated(jobs: int) -> list[Figure]:
    """EASY and the default policy at 512 GPUs."""
    loads = {"a generated load": _generated(jobs)}
    figures = []
    if root := os.environ.get("ORCHESTRATOR_TEST_DATA"):
        found = read_trace(Path(root) / "traces" / "pai.csv.gz").jobs[:jobs]
        loads["the pai trace, users' estimates"] = list(make_load(found, GPUS_512, estimates=Guesses("users")).jobs)
        ours = list(make_load(found, GPUS_512).jobs)
        rate = len(ours) / _seconds(lambda: simulate(Snapshot(0.0, GPUS_512), ours, DEFAULT))
        figures = [Figure("simulated jobs a second, the pai trace, default policy", "1/s", rate, note="more is better")]
    return [*(_simulated(name, load) for name, load in loads.items()), *figures]


def _simulated(name: str, load: list[TrueJob]) -> Figure:
    events: list[int] = []
    taken = _seconds(lambda: events.append(simulate(Snapshot(0.0, GPUS_512), load, EASY).events))
    rate = events[0] / taken
    return Figure(
        f"simulated events a second, {name}", "1/s", rate, {"a naive scheduler, 300 jobs": _naive_rate(load[:300])},
        goal="over 20,000", holds=rate > 20_000, note=f"{len(load):,} jobs, 512 GPUs, EASY; more is better",
    )  # fmt: skip


def _seconds(call: Callable[[], object]) -> float:
    started = time.process_time()
    call()
    return time.process_time() - started


def _naive_rate(load: list[TrueJob]) -> float | str:
    """Of the tests' re-implementation, which looks at every job in each decision."""
    folder = Path(__file__).parent.parent / "tests" / "scheduling"
    if not folder.is_dir():
        return "the tests are not here"
    sys.path.insert(0, str(folder))
    core = importlib.import_module("naive_core").NaiveCore(Snapshot(0.0, GPUS_512))
    started = time.perf_counter()
    result = Engine(Snapshot(0.0, GPUS_512), load, EASY, core=core).run()
    return float(result.events / (time.perf_counter() - started))


def _generated(jobs: int) -> list[TrueJob]:
    random, now, load = Random(11), 0.0, []
    for number in range(jobs):
        now += random.expovariate(1 / 28.0)
        workers = random.choice(SHAPES)
        true = random.lognormvariate(7.5, 1.3)
        job = Job(
            f"j-{number}", number, now, Demand(workers, workers), limit=true * random.uniform(1, 10), waits_since=now
        )
        load.append(TrueJob(job, true))
    return load


if __name__ == "__main__":
    main()

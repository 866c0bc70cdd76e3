"""Laws that hold for every load and policy, Erlang's formula, and a naive simulator that must agree to the second."""

import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation_kit import cluster, true_job

from orchestrator.scheduling.state import State
from orchestrator.simulation.engine import Engine, simulate
from orchestrator.simulation.truth import Charges, Faults, TrueJob
from orchestrator.simulation.world import World
from orchestrator.spec.presets import PRESETS, preset

JOBS = st.lists(
    st.tuples(st.integers(0, 400), st.integers(1, 8), st.integers(0, 3_000), st.floats(0.3, 3.0)),
    min_size=1,
    max_size=12,
)


def load_of(drawn: Sequence[tuple[int, int, int, float]]) -> list[TrueJob]:
    return [
        true_job(f"j{i}", at, n, d, narrowest=math.ceil(n / 4), exponent=0.8, estimate=max(1.0, d * wrong))
        for i, (at, n, d, wrong) in enumerate(drawn)
    ]


@pytest.mark.parametrize("name", sorted(PRESETS))
@settings(max_examples=15, deadline=None)
@given(drawn=JOBS, faulty=st.booleans())
def test_every_job_ends_and_all_slot_seconds_are_accounted_for(name: str, drawn, faulty: bool) -> None:
    charges = Charges(30, 30, checkpoint_every=600) if faulty else Charges()
    faults = Faults(20_000, 600) if faulty else None
    result = simulate(cluster(4, 4), load_of(drawn), PRESETS[name], charges=charges, faults=faults)
    assert not result.stopped
    assert len(result.outcomes) == len(drawn)
    assert math.isclose(math.fsum(o.held for o in result.outcomes), result.used, abs_tol=1e-3)
    assert result.used <= result.capacity + 1e-3
    for o in result.outcomes:
        assert o.started >= o.submitted
        assert o.jct >= o.duration - 1e-6
        assert o.held >= o.lost + o.charged - 1e-6


class Auditor:
    """Compares, after every decision, what the scheduler believes with what is true."""

    every = 0.0

    def __init__(self, state: State) -> None:
        self.state = state
        self.looks = 0

    def look(self, scene: World) -> None:
        self.looks += 1
        now, believed = scene.now, self.state.snapshot(scene.now)
        lives = scene.lives
        assert {job.id for job in believed.pending} == {name for name, life in lives.items() if not life.placement}
        assert {r.job.id for r in believed.running} == {name for name, life in lives.items() if life.placement}
        assert min(scene.free().values()) >= 0
        for job in believed.pending:
            assert (job.worked, job.attained) == (lives[job.id].worked, lives[job.id].attained)
        for running in believed.running:
            life = lives[running.job.id]
            life.advance(now)
            assert running.placement == life.placement
            assert running.keeps is None
            assert math.isclose(running.worked(now), life.worked, abs_tol=1e-6)
            assert math.isclose(running.attained(now), life.attained, abs_tol=1e-6)


@pytest.mark.parametrize("name", ["default", "elastic", "srtf", "las"])
def test_the_scheduler_believes_what_is_true(name: str) -> None:
    dice = random.Random(6)
    drawn = [(dice.randrange(6_000), dice.randint(1, 12), dice.randrange(4_000), 1.5) for _ in range(80)]
    there = cluster(8, 8)
    state = State.of(there)
    auditor = Auditor(state)
    Engine(there, load_of(drawn), preset(name), faults=Faults(9_000, 600), core=state, observers=[auditor]).run()
    assert auditor.looks > 80


@pytest.mark.parametrize("name", ["easy", "default", "las"])
def test_equal_input_gives_equal_output(name: str) -> None:
    dice = random.Random(5)
    drawn = [(dice.randrange(4_000), dice.randint(1, 8), dice.randrange(2_000), 1.0) for _ in range(60)]
    faults = Faults(5_000, 600, seed=2)
    first, second = (simulate(cluster(8, 8), load_of(drawn), preset(name), faults=faults) for _ in range(2))
    assert first == second


def erlang_wait(arrivals: float, service: float, servers: int) -> float:
    """Mean wait of M/M/c: Erlang's C formula over (c mu - lambda)."""
    offered = arrivals * service
    last = offered**servers / math.factorial(servers) * servers / (servers - offered)
    waits = last / (sum(offered**k / math.factorial(k) for k in range(servers)) + last)
    return waits / (servers / service - arrivals)


@pytest.mark.parametrize(("servers", "busy"), [(1, 0.5), (4, 0.7)])
def test_waits_of_single_slot_jobs_agree_with_erlangs_formula(servers: int, busy: float) -> None:
    """Within three standard errors of the means of 20 batches (a 99.7 % interval), the first batch left out."""
    dice = random.Random(11)
    service, batches, each = 100.0, 20, 250
    arrivals = busy * servers / service
    now, load = 0.0, []
    for i in range(batches * each + each):
        now += dice.expovariate(arrivals)
        load.append(true_job(f"{i:05}", now, 1, dice.expovariate(1 / service)))
    result = simulate(cluster(servers), load, preset("fifo"))
    waits = [o.wait for o in sorted(result.outcomes, key=lambda o: o.submitted)][each:]
    means = [math.fsum(waits[i * each : (i + 1) * each]) / each for i in range(batches)]
    mean = math.fsum(means) / batches
    error = math.sqrt(sum((m - mean) ** 2 for m in means) / (batches - 1) / batches)
    expected = erlang_wait(arrivals, service, servers)
    assert abs(mean - expected) <= 3 * error
    assert error < 0.2 * expected


def naive_easy(load: Sequence[TrueJob], slots: int) -> dict[str, tuple[float, float]]:
    """EASY on one pool with true run times, as its authors describe it, in the plainest way."""
    queue: list[TrueJob] = []
    running: list[tuple[float, TrueJob]] = []
    coming = sorted(load, key=lambda j: (j.job.submitted, j.job.sequence))
    found: dict[str, tuple[float, float]] = {}
    while coming or running:
        now = min([coming[0].job.submitted] if coming else [], default=math.inf)
        now = min([now, *(end for end, _ in running)])
        running = [(end, job) for end, job in running if end > now]
        while coming and coming[0].job.submitted <= now:
            queue.append(coming.pop(0))
        queue = _naive_pass(queue, running, found, slots, now)
    return found


def _naive_pass(queue, running, found, slots: int, now: float) -> list[TrueJob]:
    def free() -> int:
        return slots - sum(job.job.demand.workers_max for _, job in running)

    def start(job: TrueJob) -> None:
        running.append((now + job.duration, job))
        found[job.job.id] = (now, now + job.duration)

    while queue and queue[0].job.demand.workers_max <= free():
        start(queue.pop(0))
    if not queue:
        return queue
    left, head = free(), queue[0].job.demand.workers_max
    shadow = extra = 0.0
    for end, job in sorted(running, key=lambda pair: pair[0]):
        left += job.job.demand.workers_max
        if left >= head:
            shadow = end
            break
    extra = slots - sum(job.job.demand.workers_max for end, job in running if end > shadow) - head
    for job in list(queue[1:]):
        width = job.job.demand.workers_max
        in_time = now + job.duration <= shadow
        if width <= free() and (in_time or width <= extra):
            extra -= 0 if in_time else width
            start(job)
            queue.remove(job)
    return queue


@pytest.mark.parametrize("seed", range(4))
def test_easy_agrees_with_a_naive_simulator_start_by_start(seed: int) -> None:
    dice = random.Random(seed)
    load = []
    for i in range(250):
        width, seconds = dice.choice([1, 1, 1, 2, 4, 8, 16]), float(dice.randint(1, 4_000))
        load.append(true_job(f"{i:03}", float(dice.randint(0, 60_000)), width, seconds, estimate=seconds))
    result = simulate(cluster(16), load, preset("easy"))
    assert {o.job: (o.started, o.ended) for o in result.outcomes} == naive_easy(load, 16)

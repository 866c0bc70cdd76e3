"""Random snapshots and policies: small clusters on which everything that can keep a job waiting happens."""

from dataclasses import replace

from hypothesis import strategies as st

from orchestrator.scheduling.cluster import Constraints, Demand, Node, Window
from orchestrator.scheduling.deltas import Runs
from orchestrator.scheduling.jobs import Estimate, Job, Running
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.scheduling.state import State
from orchestrator.scheduling.teams import Team, Usage
from orchestrator.spec.policy import Elastic, Order, Policy, Preemption

NOW = 1_000_000.0
TEAMS = ("red", "blue", "plain")


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Every combination of parts."""
    order = Order(
        by=draw(st.sampled_from(["fifo", "priority", "fair", "attained", "shortest"])),
        aging=draw(st.sampled_from([None, 3600.0])),
        overdue=draw(st.sampled_from([None, 5000.0])),
    )
    preemption = Preemption(
        for_whom=draw(st.sampled_from(["earlier", "priority", "quota"])),
        min_run=draw(st.sampled_from([0.0, 600.0])),
        immune_after=draw(st.sampled_from([1, 3])),
    )
    return Policy(
        order=order,
        backfill=draw(st.sampled_from(["none", "skip", "easy", "conservative"])),
        preemption=draw(st.sampled_from([None, preemption])),
        elastic=draw(st.sampled_from([None, Elastic(start=draw(st.sampled_from(["widest", "narrow"])))])),
    )


def demands() -> st.SearchStrategy[Demand]:
    """Gangs up to three nodes, with and without cores, memory and constraints."""

    def demand(fewest: int, more: int, slots: int, beside: int, packed: bool, wants: Constraints) -> Demand:
        return Demand(fewest, fewest + more, slots, 2 * beside, beside << 30, packed, wants)

    wants = st.builds(
        Constraints,
        gpu_types=st.sampled_from([(), (), (), (), ("a",), ("a", "b"), ("x",)]),
        not_on=st.sampled_from([frozenset(), frozenset(), frozenset({"n-1"})]),
        same_rack=st.sampled_from([False, False, True]),
    )
    widths = st.sampled_from([1, 1, 1, 2, 2, 3, 4, 4, 8, 12]), st.sampled_from([0, 0, 2, 4])
    return st.builds(
        demand, *widths, st.sampled_from([1, 1, 1, 2, 5]), st.sampled_from([0, 0, 0, 1, 3]), st.booleans(), wants
    )


def nodes() -> st.SearchStrategy[list[Node]]:
    """Up to four machines of four or eight slots, some of them out of service."""

    def node(slots: int, of: str, state: str, rack: str, window: Window | None) -> Node:
        return Node("", slots, of, 2 * slots, slots << 30, rack, state, windows=() if window is None else (window,))

    windows = st.sampled_from([None, None, None, None, Window(NOW - 10, NOW + 50), Window(NOW + 900, NOW + 1800)])
    states = st.sampled_from(["up", "up", "up", "up", "up", "drained", "down"])
    one = st.builds(node, st.sampled_from([4, 8]), st.sampled_from(["a", "b"]), states, st.sampled_from("pq"), windows)
    return st.lists(one, min_size=1, max_size=4)


def jobs(prefix: str) -> st.SearchStrategy[Job]:
    """One job; its number is given later."""
    return st.builds(
        Job,
        id=st.just(prefix),
        sequence=st.just(0),
        submitted=st.integers(0, 10_000).map(lambda ago: NOW - ago),
        demand=demands(),
        team=st.sampled_from(TEAMS),
        priority=st.sampled_from([0, 0, 1, 5]),
        estimate=st.sampled_from([None, Estimate(600.0), Estimate(9000.0, 0.0)]),
        limit=st.sampled_from([None, 600.0, 7200.0]),
        preemptions=st.integers(0, 3),
    )


@st.composite
def pending(draw: st.DrawFn) -> Job:
    """A job that waits, now and then for something of its own."""
    job = draw(jobs("j"))
    what = draw(st.sampled_from(["", "", "", "", "", "", "", "", "held", "backoff", "dependency", "releasing"]))
    job = replace(job, held=what == "held", releasing=what == "releasing", waits_since=job.submitted)
    job = replace(job, waits_for=("r-0", "elsewhere")) if what == "dependency" else job
    return replace(job, not_before=NOW + 30, failures=2) if what == "backoff" else job


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    """Running jobs lie where there is room for them, on drained nodes too."""
    found = tuple(replace(node, name=f"n-{i}") for i, node in enumerate(draw(nodes())))
    state = State.of(Snapshot(NOW, tuple(replace(n, state="up", windows=()) for n in found if n.state != "down")))
    for i, job in enumerate(draw(st.lists(jobs("r"), min_size=1, max_size=6))):
        since = NOW - draw(st.sampled_from([10.0, 1000.0, 100_000.0]))
        _place(state, replace(job, id=f"r-{i}", sequence=i), since, draw(st.sampled_from([False, False, True])))
    waiting = draw(st.lists(pending(), min_size=1, max_size=6))
    teams = (Team("red", "", 2.0, 4, 8), Team("blue", "red", 1.0, None, draw(st.sampled_from([None, 2]))))
    return Snapshot(
        now=NOW,
        nodes=found,
        pending=tuple(replace(job, id=f"j-{i}", sequence=100 + i) for i, job in enumerate(waiting)),
        running=tuple(state.running.values()),
        teams=draw(st.sampled_from([(), teams])),
        usage=draw(st.sampled_from([(), (Usage("red", 5e5, NOW - 5000),)])),
        max_workers=draw(st.sampled_from([None, None, 8])),
    )


def _place(state: State, job: Job, since: float, pinned: bool) -> None:
    demand = job.demand
    for workers in range(demand.workers_max, demand.workers_min - 1, -1):
        placement = state.idle.fit(demand, workers, NOW, NOW)
        if placement is not None:
            state.apply(Runs(Running(job, placement, since, since, since, pinned=pinned)), NOW)
            return

"""Small clusters and jobs for simulations, and a scheduler that does as the test says."""

from collections.abc import Callable

from orchestrator.scheduling.cluster import Demand, Node, Placement, Share
from orchestrator.scheduling.decisions import Decisions, Preempt, Resize, Start
from orchestrator.scheduling.deltas import Delta, Gone, NodeIs, Pends, Runs
from orchestrator.scheduling.jobs import Estimate, Job
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.simulation.truth import Ending, TrueJob
from orchestrator.spec.policy import Policy
from orchestrator.spec.presets import preset

FIFO = preset("fifo")


def true_job(
    name: str,
    at: float,
    workers: int,
    duration: float,
    *,
    narrowest: int | None = None,
    exponent: float = 1.0,
    estimate: float | None = None,
    limit: float | None = None,
    ends: Ending = "completed",
    waits_for: tuple[str, ...] = (),
    team: str = "default",
) -> TrueJob:
    """A job; its place in the order of submission is the time of it."""
    job = Job(
        id=name,
        sequence=int(at * 1000) + sum(map(ord, name)),
        submitted=at,
        demand=Demand(narrowest or workers, workers),
        team=team,
        estimate=Estimate(estimate, 0.0) if estimate is not None else None,
        limit=limit,
        exponent=exponent,
        waits_since=at,
        waits_for=waits_for,
    )
    return TrueJob(job, duration, ends)


def cluster(*slots: int, now: float = 0.0) -> Snapshot:
    """Nodes n0, n1, … of so many slots, and no jobs."""
    return Snapshot(now, tuple(Node(f"n{i}", count) for i, count in enumerate(slots)))


def on(workers: int, node: str = "n0") -> Placement:
    """All workers on one node."""
    return (Share(node, workers),)


class Script:
    """A scheduler of one node that starts what fits in the order of arrival, and does more at given times.

    Args:
        slots: of the node.
        orders: at which time to decide what beside starts.
    """

    def __init__(self, slots: int, orders: dict[float, Callable[[], Decisions]] | None = None) -> None:
        self.free = slots
        self.queue: dict[str, Job] = {}
        self.held: dict[str, int] = {}
        self.told: list[tuple[float, Delta]] = []
        self.asked: list[float] = []
        self.orders = dict(orders or {})

    def apply(self, delta: Delta, now: float) -> None:
        self.told.append((now, delta))
        match delta:
            case Pends(job):
                self._release(job.id)
                self.queue[job.id] = job
            case Runs(running):
                self._release(running.job.id)
                self.held[running.job.id] = running.slots
                self.free -= running.slots
            case Gone(job):
                self._release(job)
                self.queue.pop(job, None)
            case NodeIs(node):
                self.free += node.slots if node.state == "up" else -node.slots
            case _:
                raise AssertionError(delta)

    def decide(self, policy: Policy, now: float) -> Decisions:
        self.asked.append(now)
        due = [at for at in self.orders if at <= now]
        if due:
            return self.orders.pop(due[0])()
        free, starts = self.free, []
        for job in self.queue.values():
            workers = job.demand.workers_max
            if workers > free:
                break
            starts.append(Start(job.id, on(workers)))
            free -= workers
        return Decisions(tuple(starts), wake=min(self.orders, default=None))

    def carry_out(self, decisions: Decisions, now: float) -> None:
        for start in decisions.starts:
            self.queue.pop(start.job)
            self.held[start.job] = start.workers
            self.free -= start.workers

    def _release(self, job: str) -> None:
        self.free += self.held.pop(job, 0)


def preempt(job: str) -> Callable[[], Decisions]:
    """Ask one job to stop."""
    return lambda: Decisions(preempts=(Preempt(job, "another", "a test"),))


def resize(job: str, workers: int, *, for_job: str | None = None) -> Callable[[], Decisions]:
    """Give one job another width."""
    return lambda: Decisions(resizes=(Resize(job, on(workers), for_job, "a test"),))

"""From recorded or made-up jobs to a load: what each asks of the cluster, and what the scheduler is told of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.scheduling.cluster import Constraints, Demand, Node
from orchestrator.scheduling.jobs import Job
from orchestrator.scheduling.layout import Layout
from orchestrator.simulation.guesses import Guesses
from orchestrator.simulation.traces.trace import TraceJob
from orchestrator.simulation.truth import TrueJob


@dataclass(frozen=True, slots=True)
class Shapes:
    """How jobs of a load may be run.

    Attributes:
        elastic: a job of n GPUs runs with ceil(n / elastic) to n workers; 1: with n only.
        exponent: speed of k of n workers is (k / n) ** exponent.
        packed: gangs are kept on few nodes; False: their workers lie anywhere, as if all GPUs were one pool.
    """

    elastic: int = 1
    exponent: float = 1.0
    packed: bool = True


@dataclass(frozen=True)
class Load:
    """Jobs to simulate.

    Attributes:
        jobs: by time of submission.
        too_large: jobs that the whole cluster could not hold, left out.
    """

    jobs: tuple[TrueJob, ...]
    too_large: int = 0


def make_load(
    jobs: Sequence[TraceJob],
    nodes: Sequence[Node],
    *,
    estimates: Guesses | None = None,
    shapes: Shapes | None = None,
    max_time: float | None = None,
) -> Load:
    """A load for a cluster. A worker is a GPU.

    What a job says of GPU types, cores and memory counts where the nodes say theirs.

    Args:
        jobs: by time of submission.
        nodes: of the cluster.
        estimates: what the scheduler is told; default: the truth with an error of 0.5.
        shapes: whether widths may be chosen.
        max_time: seconds that the cluster lets any run take; None: any.
    """
    maker = _Maker(nodes, estimates or Guesses(), shapes or Shapes(), max_time)
    made = [true for index, job in enumerate(jobs) if (true := maker.make(index, job)) is not None]
    return Load(tuple(made), len(jobs) - len(made))


class _Maker:
    def __init__(self, nodes: Sequence[Node], estimates: Guesses, shapes: Shapes, max_time: float | None) -> None:
        self._layout = Layout(nodes)
        self._estimates = estimates
        self._shapes = shapes
        self._max_time = max_time
        self._types = frozenset(node.gpu_type for node in nodes if node.gpu_type)
        self._cpus = any(node.cpus for node in nodes)
        self._memory = any(node.memory for node in nodes)
        self._demands: dict[tuple[object, ...], Demand | None] = {}

    def make(self, index: int, job: TraceJob) -> TrueJob | None:
        demand = self._demand(job)
        if demand is None:
            return None
        limit, exponent, most = self._estimates.limit(job), self._shapes.exponent, self._max_time
        if limit is not None:
            limit /= (demand.workers_min / demand.workers_max) ** exponent
            limit = limit if most is None else min(limit, most)
        return TrueJob(
            Job(
                id=job.id,
                sequence=index,
                submitted=job.submitted,
                demand=demand,
                team=job.team or "default",
                owner=job.owner,
                estimate=self._estimates.of(job),
                limit=limit,
                exponent=exponent,
                waits_since=job.submitted,
                max_time=most,
            ),
            job.duration,
            job.ends,
        )

    def _demand(self, job: TraceJob) -> Demand | None:
        """One object for all equal ones: policies hash them often."""
        types = job.gpu_types if self._types else ()
        cpus = math.ceil(job.cpus / job.gpus) if self._cpus else 0
        memory = math.ceil(job.memory / job.gpus) if self._memory else 0
        key = (job.gpus, types, cpus, memory)
        if key not in self._demands:
            narrowest = math.ceil(job.gpus / self._shapes.elastic)
            constraints = Constraints(gpu_types=types)
            packed = self._shapes.packed
            demand = Demand(narrowest, job.gpus, cpus=cpus, memory=memory, packed=packed, constraints=constraints)
            self._demands[key] = demand if self._layout.possible(demand) else None
        return self._demands[key]

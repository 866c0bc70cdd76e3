"""The simulator on public traces, in one pool: against an independent simulator, and against simple schedulers here."""

import os
from functools import lru_cache
from pathlib import Path

import pytest
from simulation_kit import Script, cluster, on

from orchestrator.scheduling.decisions import Decisions, Start
from orchestrator.simulation.engine import Engine
from orchestrator.simulation.guesses import Guesses
from orchestrator.simulation.loads import make_load
from orchestrator.simulation.metrics import figures
from orchestrator.simulation.outcomes import Result
from orchestrator.simulation.traces.read import read_trace
from orchestrator.simulation.traces.trace import TraceJob
from orchestrator.simulation.truth import Charges
from orchestrator.spec.policy import Policy
from orchestrator.spec.presets import preset

SLOTS = {"pai": 512, "venus": 640}
FEW = 3_000


class Shortest(Script):
    """Starts whatever fits, the shortest first."""

    def decide(self, policy: Policy, now: float) -> Decisions:
        free, starts = self.free, []
        for job in sorted(self.queue.values(), key=lambda job: (job.estimate.seconds, job.sequence)):  # type: ignore[union-attr]
            if job.demand.workers_max <= free:
                starts.append(Start(job.id, on(job.demand.workers_max)))
                free -= job.demand.workers_max
        return Decisions(tuple(starts))


@lru_cache(maxsize=1)
def jobs_of(path: Path) -> tuple[TraceJob, ...]:
    """Reading takes longer than the first jobs do."""
    read = read_trace(path)
    assert dict(read.left_out) == {}
    return read.jobs


def simulated(trace: str, policy: str, jobs: int | None = None, core: Script | None = None) -> Result:
    """One node that holds all slots; run times are known."""
    folder = os.environ.get("ORCHESTRATOR_TEST_DATA")
    if not folder:
        pytest.skip("ORCHESTRATOR_TEST_DATA is unset: no traces here")
    pool = cluster(SLOTS[trace])
    load = make_load(
        jobs_of(Path(folder) / "traces" / f"{trace}.csv.gz")[:jobs], pool.nodes, estimates=Guesses("perfect")
    )
    assert load.too_large == 0
    return Engine(pool, load.jobs, preset(policy), charges=Charges(), core=core).run()


@pytest.mark.parametrize(("policy", "naive"), [("fifo", Script), ("sjf", Shortest)])
@pytest.mark.parametrize("trace", ["pai", "venus"])
def test_the_scheduler_starts_each_job_when_a_simple_one_does(trace: str, policy: str, naive: type[Script]) -> None:
    found, wanted = simulated(trace, policy, FEW), simulated(trace, policy, FEW, naive(SLOTS[trace]))
    assert {o.job: o.started for o in found.outcomes} == {o.job: o.started for o in wanted.outcomes}
    assert len(found.outcomes) == FEW


WHOLE = [("pai", "sjf", 6_264)]
if os.environ.get("ORCHESTRATOR_TEST_FULL"):  # another three minutes
    WHOLE += [("pai", "fifo", 78_966), ("venus", "fifo", 43_283), ("venus", "sjf", 11_309)]


@pytest.mark.slow
@pytest.mark.parametrize(("trace", "policy", "jct"), WHOLE)
def test_whole_traces_agree_with_an_independent_simulator(trace: str, policy: str, jct: float) -> None:
    assert figures(simulated(trace, policy)).jct.mean == pytest.approx(jct, rel=1e-4)

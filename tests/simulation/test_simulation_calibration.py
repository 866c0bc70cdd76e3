"""The engine on a public trace against the figures of an independent simulator."""

import os
from pathlib import Path

import pytest
from simulation_kit import FIFO, Script, cluster

from orchestrator.simulation.engine import Engine
from orchestrator.simulation.estimates import Estimates
from orchestrator.simulation.loads import make_load
from orchestrator.simulation.metrics import figures
from orchestrator.simulation.traces.read import read_trace
from orchestrator.simulation.truth import Charges


def test_strict_fifo_on_one_pool_agrees_with_an_independent_simulator() -> None:
    folder = os.environ.get("ORCHESTRATOR_TEST_DATA")
    if not folder:
        pytest.skip("ORCHESTRATOR_TEST_DATA is unset: no traces here")
    trace = read_trace(Path(folder) / "traces" / "pai.csv.gz")
    pool = cluster(512)
    load = make_load(trace.jobs, pool.nodes, estimates=Estimates("none"))
    found = figures(Engine(pool, load.jobs, FIFO, charges=Charges(), core=Script(512)).run())
    assert (found.jobs, load.too_large, dict(trace.left_out)) == (60_105, 0, {})
    assert found.jct.mean == pytest.approx(78_966, rel=1e-5)

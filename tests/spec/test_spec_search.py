"""A search's section: which engine runs its trials."""

import pytest

from orchestrator.base.errors import SpecError
from orchestrator.base.paths import bundled
from orchestrator.testing.workloads import workload_in

SWEEP = bundled("workloads") / "regnet_sweep.yaml"


def test_an_array_is_refused_where_a_scheduler_compares_trials() -> None:
    with pytest.raises(SpecError, match=r"asha compares trials while they run.*use engine: ray"):
        workload_in(SWEEP, ["search.engine=array", "search.scheduler.type=asha"])


def test_an_array_has_as_many_trials_at_once_as_workers() -> None:
    with pytest.raises(SpecError, match=r"say how many by resources\.workers"):
        workload_in(SWEEP, ["search.engine=array", "search.concurrency=2"])

"""The order in which a snapshot names nodes, jobs and teams changes nothing, not even in the last bit of a sum."""

from dataclasses import replace
from itertools import permutations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import HURRIED, NOW, budget, rich

from orchestrator.scheduling.cluster import Demand, Node, Share
from orchestrator.scheduling.fold import decide
from orchestrator.scheduling.jobs import Estimate, Job, Running
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.spec.policy import Policy
from orchestrator.spec.presets import PRESETS

SEEDS = st.integers(0, 2**32)


@pytest.mark.parametrize("policy", HURRIED, ids=lambda policy: policy.name)
@given(seed=SEEDS)
@budget(40)
def test_decisions_do_not_depend_on_the_order_of_what_is_told(policy: Policy, seed: int) -> None:
    random = Random(seed)
    found = rich(random)
    expected = decide(found, policy)
    for _ in range(2):
        shuffled = {
            name: tuple(random.sample(items := getattr(found, name), len(items)))
            for name in ("nodes", "pending", "running", "teams", "usage")
        }
        assert decide(replace(found, **shuffled), policy) == expected


@given(seed=SEEDS)
@budget(60)
def test_sums_of_what_is_lost_do_not_depend_on_the_order_of_running_jobs(seed: int) -> None:
    """Three nodes lose the same, but for the last bit of a sum taken in another order."""
    random = Random(seed)
    worked = [round(random.uniform(1, 900), random.choice([1, 2, 3])) for _ in range(3)]
    one, *others = ([_runs(3 * i + k, f"n{i}", worked[k]) for k in range(3)] for i in range(3))
    other = [run for runs in others for run in runs]
    nodes = tuple(Node(f"n{i}", 6) for i in range(4))
    whole = Running(Job("j-18", 18, 0.0, Demand(6, 6), estimate=Estimate(1e6)), (Share("n3", 6),), 0.0, 0.0, 0.0)
    comes = Job("j-19", 19, NOW, Demand(18, 18), estimate=Estimate(10.0), waits_since=NOW)
    found = Snapshot(NOW, nodes, (comes,), (*one, *other, replace(whole, saved=NOW)))
    expected = decide(found, PRESETS["srtf"])
    for first in permutations(one):
        shuffled = (found.running[-1], *first, *random.sample(other, 6))
        assert decide(replace(found, running=shuffled), PRESETS["srtf"]) == expected


def _runs(number: int, node: str, saved: float) -> Running:
    job = Job(f"j-{number}", number, 0.0, Demand(2, 2), estimate=Estimate(1e6))
    return Running(job, (Share(node, 2),), 0.0, 0.0, 0.0, saved=saved)

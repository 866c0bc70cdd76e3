"""Loads: what jobs ask for, what the scheduler is told of them, made-up jobs, clusters."""

import math
import statistics
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from orchestrator.backends.protocol import Capacity, NodeFacts
from orchestrator.base.errors import UsageError
from orchestrator.scheduling.cluster import Node
from orchestrator.scheduling.jobs import Estimate
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.simulation.clusters import cluster_of, cluster_with, plain_nodes
from orchestrator.simulation.engine import simulate
from orchestrator.simulation.guesses import Guesses, parse_guesses
from orchestrator.simulation.loads import Shapes, make_load
from orchestrator.simulation.setting import Upkeep, make_setting
from orchestrator.simulation.synthetic import synthetic_jobs
from orchestrator.simulation.traces.trace import TraceJob
from orchestrator.simulation.truth import Drain
from orchestrator.spec.presets import preset
from orchestrator.spec.profile import ClusterProfile

JOB = TraceJob("a", 5, 6, 1_000, team="video", owner="kim", estimate=3_600)
NODES = plain_nodes(4, 8)


def test_a_job_of_a_trace_becomes_a_gang_of_one_gpu_workers() -> None:
    (true,) = make_load([JOB], NODES, estimates=Guesses("none")).jobs
    job = true.job
    assert (job.demand.workers_min, job.demand.workers_max, job.demand.slots, job.demand.packed) == (6, 6, 1, True)
    assert (job.submitted, job.waits_since, job.team, job.owner) == (5, 5, "video", "kim")
    assert (job.estimate, job.limit, true.duration) == (None, None, 1_000)


def test_users_words_are_estimate_and_limit() -> None:
    (true,) = make_load([JOB], NODES, estimates=Guesses("users")).jobs
    assert (true.job.estimate, true.job.limit) == (Estimate(3_600, 0.0), 3_600)


def test_an_elastic_jobs_limit_allows_for_its_narrowest_width() -> None:
    (true,) = make_load([JOB], NODES, estimates=Guesses("users"), shapes=Shapes(4, 0.8)).jobs
    assert (true.job.demand.workers_min, true.job.exponent) == (2, 0.8)
    assert true.job.limit == pytest.approx(3_600 * 3**0.8)


def test_perfect_estimates_have_no_error() -> None:
    assert Guesses("perfect").of(JOB) == Estimate(1_000, 0.0)


def test_an_error_is_drawn_once_for_each_job_and_seed() -> None:
    estimates = parse_guesses("error:0.5", seed=3)
    assert estimates.of(JOB) == estimates.of(replace(JOB, submitted=99.0))
    assert estimates.of(JOB) != estimates.of(replace(JOB, id="b"))
    assert estimates.of(JOB) != Guesses("error", 0.5, seed=4).of(JOB)
    logs = []
    for i in range(2_000):
        told = estimates.of(replace(JOB, id=str(i)))
        assert told is not None
        logs.append(math.log(told.seconds / 1_000))
    assert abs(statistics.mean(logs)) < 0.05
    assert abs(statistics.stdev(logs) - 0.5) < 0.03


@pytest.mark.parametrize("text", ["", "guess", "error", "error:-1", "error:x", "error:nan", "perfect:1"])
def test_other_estimates_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--estimates"):
        parse_guesses(text)


def test_jobs_that_the_whole_cluster_cannot_hold_are_left_out_and_counted() -> None:
    load = make_load([JOB, replace(JOB, id="b", gpus=33)], NODES)
    assert ([true.job.id for true in load.jobs], load.too_large) == (["a"], 1)


def test_types_cores_and_memory_count_where_the_nodes_say_theirs() -> None:
    job = replace(JOB, gpu_types=("t4",), cpus=10, memory=600)
    assert make_load([job], NODES).jobs[0].job.demand == make_load([JOB], NODES).jobs[0].job.demand
    told = (Node("n0", 8, "t4", 64, 1_000), Node("n1", 8, "a100", 64, 1_000))
    (true,) = make_load([job], told).jobs
    demand = true.job.demand
    assert (demand.constraints.gpu_types, demand.cpus, demand.memory) == (("t4",), 2, 100)
    assert make_load([replace(job, gpu_types=("v100",))], told).too_large == 1
    assert make_load([replace(job, cpus=600)], told).too_large == 1


def test_equal_demands_are_one_object() -> None:
    one, two = make_load([JOB, replace(JOB, id="b")], NODES).jobs
    assert one.job.demand is two.job.demand


def test_made_up_jobs_depend_on_the_seed_alone() -> None:
    jobs = synthetic_jobs(300, 128, seed=1)
    assert jobs == synthetic_jobs(300, 128, seed=1)
    assert jobs != synthetic_jobs(300, 128, seed=2)
    assert len({job.id for job in jobs}) == 300
    assert [job.submitted for job in jobs] == sorted(job.submitted for job in jobs)


def test_made_up_work_is_the_load_times_the_capacity() -> None:
    slots = 256
    jobs = synthetic_jobs(2_000, slots, load=0.5, seed=4)
    span = jobs[-1].submitted - jobs[0].submitted
    assert sum(j.gpus * j.duration for j in jobs) / (span * slots) == pytest.approx(0.5, rel=0.05)
    assert max(j.gpus for j in jobs) <= slots // 2
    assert {j.ends for j in jobs} == {"completed", "failed", "killed"}
    assert all(j.estimate is not None and j.estimate >= j.duration for j in jobs)


def test_more_jobs_come_in_the_afternoon_than_at_night() -> None:
    hours = [job.submitted % 86_400 / 3_600 for job in synthetic_jobs(3_000, 256, seed=4)]
    assert sum(12 <= h < 18 for h in hours) > 2 * sum(0 <= h < 6 for h in hours)


PROFILE: dict[str, Any] = {
    "name": "x",
    "backend": "local",
    "nodes": [
        {"name": "big", "count": 2, "gpus": 8, "cpus": 64, "memory": "1TiB", "gpu_type": "h200", "rack": "r1"},
        {"name": "cores", "gpus": 0, "cpus": 16},
    ],
    "teams": [{"name": "vision"}, {"name": "video", "parent": "vision", "weight": 2.0, "quota": 4, "limit": 8}],
}


def test_a_profile_becomes_nodes_and_teams() -> None:
    profile = ClusterProfile.model_validate(PROFILE)
    found = cluster_of(profile)
    one, two = found.nodes  # where slots are GPUs, a node without any has none
    assert (one.name, two.name, one.slots, one.gpu_type, one.cpus, one.rack) == ("big-1", "big-2", 8, "h200", 64, "r1")
    assert one.memory == 2**40
    assert [(t.name, t.parent, t.weight, t.quota, t.limit) for t in found.teams] == [
        ("vision", "", 1.0, None, None),
        ("video", "vision", 2.0, 4, 8),
    ]


def test_no_run_takes_longer_than_a_profile_lets_it() -> None:
    limits = {"max_time": "1m", "max_workers": 6}
    found = cluster_of(ClusterProfile.model_validate(PROFILE | {"limits": limits}))
    jobs = [TraceJob("a", 0, 1, 90, estimate=40), TraceJob("b", 0, 1, 90, estimate=80), TraceJob("c", 0, 1, 50)]
    setting = make_setting(jobs, found, estimates=Guesses("users"))
    assert [true.job.limit for true in setting.load.jobs] == [40, 60, None]
    result = simulate(Snapshot(0.0, setting.nodes), setting.load.jobs, preset("fifo"))
    assert {o.job: (o.ended, o.ends) for o in result.outcomes} == {
        "a": (40, "killed"),
        "b": (60, "killed"),
        "c": (50, "completed"),
    }


def test_slots_are_cores_where_no_node_has_a_gpu() -> None:
    profile = ClusterProfile.model_validate(PROFILE | {"nodes": [PROFILE["nodes"][1]], "teams": []})
    (cores,) = cluster_of(profile).nodes
    assert (cores.slots, cores.cpus) == (16, 0)


def test_the_maintenance_of_a_profile_is_placed_by_when_the_first_job_comes() -> None:
    closed = {"nodes": ["big-2"], "start": "2026-12-01T06:00+01:00", "end": "2026-12-01T08:00+01:00"}
    found = cluster_of(ClusterProfile.model_validate(PROFILE | {"maintenance": [closed]}))
    jobs = [TraceJob("a", 500.0, 1, 60.0), TraceJob("b", 700.0, 1, 60.0)]
    begin = datetime.fromisoformat("2026-12-01T04:00Z").timestamp()
    setting = make_setting(jobs, found, upkeep=Upkeep(begin, (Drain("big-1", 10, 20),)))
    assert [[(w.start, w.end) for w in node.windows] for node in setting.nodes] == [[], [(4_100.0, 11_300.0)]]
    assert setting.drains == (Drain("big-1", 510.0, 520.0),)
    assert not any(node.windows for node in make_setting(jobs, found).nodes)


def test_an_engine_that_knows_its_nodes_says_which_are_simulated() -> None:
    closed = {"nodes": ["n1"], "start": "2026-12-01T06:00Z", "end": "2026-12-01T08:00Z"}
    profile = ClusterProfile.model_validate({"name": "x", "backend": "ray", "maintenance": [closed]})
    there, lost = NodeFacts("n1", 8, 3, "h200", cpus=64, rack="r1"), NodeFacts("n2", 8, 8, up=False)
    found = cluster_with(profile, Capacity(16, 11, 12, "gpu", (there, lost), potential=(NodeFacts("n3", 4, 4),)))
    assert found.nodes == (Node("n1", 8, "h200", cpus=64, rack="r1"), Node("n3", 4))
    assert [*found.windows] == ["n1"]
    with pytest.raises(UsageError, match="has no node now"):
        cluster_with(profile, Capacity(0, 0, 0))
    with pytest.raises(UsageError, match="its engine does"):
        cluster_of(profile)


@pytest.mark.parametrize("node", [{}, {"gpus": 0}])
def test_what_is_to_be_measured_is_refused(node: dict[str, int]) -> None:
    profile = ClusterProfile.model_validate({"name": "x", "backend": "local", "nodes": [node]})
    with pytest.raises(UsageError, match=r"`(gpus|cpus): auto` for the node 'localhost'") as refusal:
        cluster_of(profile)
    assert "--nodes" in refusal.value.hint

"""A training by Ray Train, as it is planned and launched: a driver that gives out the run's slots."""

from orchestrator.base.paths import bundled
from orchestrator.planning.elastic import elastic_lines, elastic_plan
from orchestrator.planning.launch import is_elastic, is_training, kind_of, launch_for
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.testing.workloads import workload_in

TRAINING = bundled("workloads") / "regnet_cifar10.yaml"


def training(*overrides: str) -> RegNetWorkload:
    workload = workload_in(TRAINING, overrides)
    assert isinstance(workload, RegNetWorkload)
    return workload


def test_it_is_one_driver_on_all_slots_that_nobody_resizes() -> None:
    workload = training("elastic.engine=ray_train")
    launch = launch_for(workload, job="j-1", run="j-1-r1", token=1, workers=2, workdir="/")
    assert (launch.argv[-1], launch.joiner_argv[-1]) == ("orchestrator.raytrain.main", "orchestrator.onray.join")
    assert (launch.ranks_share_slots, launch.self_placed, launch.elastic, launch.array) == (True, True, False, False)
    assert (is_training(workload), is_elastic(workload), kind_of(workload)) == (True, False, "regnet")


def test_our_own_engine_is_launched_as_before() -> None:
    launch = launch_for(training(), job="j-1", run="j-1-r1", token=1, workers=2, workdir="/")
    assert (launch.argv[-1], launch.joiner_argv) == ("orchestrator.recipes.main", ())
    assert (launch.ranks_share_slots, launch.self_placed, launch.elastic) == (False, False, True)


def test_a_plan_says_what_a_lost_worker_costs() -> None:
    own, by_ray = ("\n".join(elastic_lines(elastic_plan(training(*how)))) for how in ([], ["elastic.engine=ray_train"]))
    assert "a silent worker is lost after" in own
    assert "all start anew from the newest checkpoint, 10 times in all" in by_ray
    assert "it cannot be resized" in by_ray
    assert "the same bits for any number of workers" in by_ray

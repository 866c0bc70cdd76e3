"""What a machine has, and what a launch takes of it."""

import os

import pytest

from orchestrator.backends.local.machine import Machine, measure
from orchestrator.backends.protocol import NodeFacts
from orchestrator.base.errors import LaunchRefused, UsageError
from orchestrator.rundir.launch import Launch
from orchestrator.spec.profile import ClusterProfile, Node


def profile(**node: object) -> ClusterProfile:
    return ClusterProfile(name="local", backend="local", nodes=[Node(**node)])  # type: ignore[arg-type]


def launch(workers: int, cpus: int = 1, gpus: int = 0) -> Launch:
    return Launch("j", "j-r1", 1, ("true",), "/", workers, cpus_per_worker=cpus, gpus_per_worker=gpus)


def test_without_gpus_every_usable_core_is_a_slot() -> None:
    found = measure(profile(), {}, list)
    assert (found.kind, found.slots, found.devices) == ("cpu", len(os.sched_getaffinity(0)), ())


def test_with_gpus_every_gpu_is_a_slot() -> None:
    found = measure(profile(), {}, lambda: ["0", "1"])
    assert (found.kind, found.slots, found.devices) == ("gpu", 2, ("0", "1"))


def test_only_visible_gpus_are_slots() -> None:
    found = measure(profile(), {"CUDA_VISIBLE_DEVICES": "3, GPU-x"}, lambda: ["0", "1"])
    assert found.devices == ("3", "GPU-x")


def test_a_profile_can_leave_cores_and_gpus_out() -> None:
    found = measure(profile(cpus=3, gpus=0), {}, lambda: ["0"])
    assert (found.kind, found.slots) == ("cpu", 3)
    assert measure(profile(gpus=1), {}, lambda: ["0", "1"]).devices == ("0",)


def test_it_is_one_node_with_what_the_profile_says_of_it() -> None:
    node = {"name": "box", "cpus": 8, "memory": 2**34, "gpu_type": "h200", "rack": "r1"}
    facts = measure(profile(**node), {}, lambda: ["0", "1"]).facts(free=1)
    assert facts == NodeFacts("box", 2, 1, gpu_type="h200", cpus=8, memory=2**34, rack="r1")


def test_where_slots_are_cores_they_are_not_counted_twice() -> None:
    assert measure(profile(cpus=8, gpus=0), {}, list).facts(free=8).cpus == 0


def test_more_than_one_node_is_refused() -> None:
    with pytest.raises(UsageError, match="exactly one node"):
        measure(profile(count=2), {}, list)


def test_slots_are_gpus_or_cores() -> None:
    cpu, gpu = Machine("cpu", 8), Machine("gpu", 4, ("0", "1", "2", "3"))
    assert cpu.slots_for(launch(2, cpus=3)) == 6
    assert gpu.slots_for(launch(2, cpus=9, gpus=2)) == 4
    assert gpu.slots_for(launch(3)) == 3
    with pytest.raises(LaunchRefused, match="needs 9 cpu slots"):
        cpu.slots_for(launch(9))


def test_gpus_are_shown_only_to_workers_that_asked_for_them() -> None:
    gpu = Machine("gpu", 4, ("0", "1", "2", "3"))
    assert gpu.devices_of((1, 3), launch(2, gpus=1)) == ("1", "3")
    assert gpu.devices_of((1, 3), launch(2)) == ()
    assert Machine("cpu", 4).devices_of((1, 3), launch(2)) is None

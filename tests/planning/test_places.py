"""Where the workers of a workload may lie is checked at submit."""

from pathlib import Path

import pytest

from orchestrator.backends.protocol import Capacity, NodeFacts
from orchestrator.base.errors import UsageError
from orchestrator.planning.check import check_room, check_submission
from orchestrator.planning.places import no_place
from orchestrator.spec.profile import ClusterProfile
from orchestrator.spec.sections import Resources
from orchestrator.spec.workload import CommandWorkload

NODES = (
    NodeFacts("a", 8, 8, gpu_type="h200", cpus=64, memory=2**40, rack="r1"),
    NodeFacts("b", 8, 8, gpu_type="h200", cpus=64, memory=2**40, rack="r2"),
    NodeFacts("c", 4, 4, gpu_type="a100", cpus=16, memory=2**38, rack="r2"),
)
CAPACITY = Capacity(20, 20, 20, "gpu", NODES)


def problems(resources: dict[str, object], capacity: Capacity = CAPACITY) -> str:
    asked = Resources.model_validate({"gpus_per_worker": 1} | resources)
    workload = CommandWorkload(name="job", command=["true"], resources=asked)
    return "; ".join(no_place(workload, "lab", capacity, asked.gpus_per_worker))


@pytest.mark.parametrize(
    "resources",
    [
        {"workers": 20},
        {"workers": 16, "gpu_types": ["h200"]},
        {"workers": 12, "same_rack": True},
        {"workers": 12, "not_on": ["b"]},
        {"workers": "1..100", "memory_per_worker": 2**40},
        {"workers": 4, "gpu_types": ["a100"], "cpus_per_worker": 4},
    ],
)
def test_what_fits_somewhere_is_taken(resources: dict[str, object]) -> None:
    assert problems(resources) == ""


@pytest.mark.parametrize(
    ("resources", "rule"),
    [
        ({"not_on": ["z"]}, "cluster lab has no node z"),
        ({"gpu_types": ["v100"]}, "cluster lab has no v100; it has a100, h200"),
        ({"workers": 5, "gpu_types": ["a100"]}, "(of type a100); cluster lab has room for 4 workers"),
        ({"workers": 13, "same_rack": True}, "(in one rack); cluster lab has room for 12 workers"),
        ({"workers": 13, "not_on": ["a"]}, "(not on a); cluster lab has room for 12 workers"),
        (
            {"workers": 3, "memory_per_worker": 2**40},
            "1 TiB of memory, 1 core each; cluster lab has room for 2 workers",
        ),
        ({"workers": 3, "cpus_per_worker": 64}, "cluster lab has room for 2 workers"),
        ({"workers": 1, "gpus_per_worker": 16}, "1 worker with 16 gpu slots, 1 core each; cluster lab has room for 0"),
    ],
)
def test_what_can_never_lie_anywhere_is_refused(resources: dict[str, object], rule: str) -> None:
    assert rule in problems(resources)


def test_a_node_that_is_misspelt_is_named_as_it_was_meant() -> None:
    nodes = (NodeFacts("node-07", 4, 4), NodeFacts("login", 4, 4))
    told = problems({"workers": 1, "not_on": ["nod-07"]}, Capacity(8, 8, 8, nodes=nodes))
    assert told == "resources.not_on: cluster lab has no node nod-07; did you mean 'node-07'?"


def test_a_cluster_that_names_no_node_is_not_judged() -> None:
    assert problems({"workers": 2, "not_on": ["z"]}, Capacity(2, 2, 2)) == ""


SMALL = tuple(NodeFacts(name, 2, 2, cpus=4, memory=2**36) for name in ("n1", "n2", "n3"))
APART = Capacity(6, 6, 6, "gpu", (*SMALL, NodeFacts("fat", 0, 0, cpus=16, memory=2**34)), cores_apart=True)
LAB = ClusterProfile(name="lab", backend="slurm")


def refused(resources: dict[str, object]) -> str:
    workload = CommandWorkload(name="job", command=["true"], resources=Resources.model_validate(resources))
    try:
        check_room(workload, LAB, APART)
    except UsageError as error:
        return error.message
    return ""


def test_where_cores_are_given_out_apart_workers_without_a_gpu_fit_by_cores_and_memory() -> None:
    assert refused({"workers": 28}) == ""
    assert "with 1 core each; cluster lab has room for 28 workers" in refused({"workers": 29})
    assert "cluster lab has room for 13 workers" in refused({"workers": 17, "memory_per_worker": 2**34})
    assert "needs at least 7 gpu slots; cluster lab has 6" in refused({"workers": 7, "gpus_per_worker": 1})


@pytest.mark.parametrize(
    ("resources", "needs", "has"),
    [
        ({"gpus_per_worker": 3}, "3 GPUs, 1 core", "2 GPUs, 4 cores, 64 GiB"),
        ({"gpus_per_worker": 9}, "9 GPUs, 1 core", "2 GPUs, 4 cores, 64 GiB"),
        ({"gpus_per_worker": 1, "cpus_per_worker": 5}, "1 GPU, 5 cores", "2 GPUs, 4 cores, 64 GiB"),
        ({"cpus_per_worker": 17}, "17 cores", "16 cores, 16 GiB"),
        ({"not_on": ["fat"], "memory_per_worker": 2**37}, "1 core, 128 GiB", "2 GPUs, 4 cores, 64 GiB"),
    ],
)
def test_a_worker_that_no_node_holds_is_refused_with_what_the_largest_has(
    resources: dict[str, object], needs: str, has: str
) -> None:
    said = f"job: resources: a worker needs {needs}; the largest node that it may use on cluster lab has {has}"
    assert refused(resources) == said


def test_who_may_have_more_workers_than_there_are_cores_is_told(tmp_path: Path) -> None:
    resources = Resources.model_validate({"workers": "1..40"})
    workload = CommandWorkload(name="job", command=["true"], resources=resources)
    warnings = check_submission(workload, LAB, APART, workdir=tmp_path, state_dir=tmp_path)
    assert warnings == ["resources.workers asks for up to 40; the cluster has room for 28"]


def test_a_profile_that_does_not_fit_its_slurm_is_told_before_any_number(tmp_path: Path) -> None:
    fault = "Slurm has no partition gpu, which the profile names (slurm.partition); it has batch"
    nothing, profile = (
        Capacity(0, 0, 0, faults=(fault,)),
        ClusterProfile.model_validate({"name": "lab", "backend": "slurm"}),
    )
    asked = CommandWorkload(name="w", command=["true"], resources=Resources.model_validate({"workers": 3}))
    with pytest.raises(UsageError) as raised:
        check_submission(asked, profile, nothing, workdir=tmp_path, state_dir=tmp_path / "state")
    assert raised.value.message == f"w: {fault}"
    some = Capacity(4, 4, 4, faults=("Slurm has no partition spare",))
    check_submission(asked, profile, some, workdir=tmp_path, state_dir=tmp_path / "state")


MAY_COME = Capacity(
    0, 0, 24, "gpu", potential=tuple(NodeFacts(f"big-{i}", 8, 8, "h200", cpus=64, memory=2**40) for i in (1, 2, 3))
)
"""Of an autoscaler: nothing is there yet."""


def test_nodes_that_may_come_are_room_as_well() -> None:
    assert problems({"workers": 24, "gpu_types": ["h200"], "memory_per_worker": 2**30}, MAY_COME) == ""
    assert "room for 3 workers" in problems({"workers": 4, "memory_per_worker": 2**40}, MAY_COME)
    assert "it has h200" in problems({"workers": 1, "gpu_types": ["a100"]}, MAY_COME)
    assert "has no node big-1" in problems({"workers": 1, "not_on": ["big-1"]}, MAY_COME)


def test_what_no_autoscaler_can_bring_is_refused_at_submit(tmp_path: Path) -> None:
    profile = ClusterProfile.model_validate({"name": "cloud", "backend": "ray"})

    def submit(workers: int) -> None:
        asked = Resources.model_validate({"gpus_per_worker": 1, "workers": workers})
        workload = CommandWorkload(name="job", command=["true"], workdir=str(tmp_path), resources=asked)
        check_submission(workload, profile, MAY_COME, workdir=tmp_path, state_dir=tmp_path)

    submit(24)
    with pytest.raises(UsageError, match="needs at least 25 gpu slots; cluster cloud has 24"):
        submit(25)

"""Which nodes the jobs of a profile may lie on."""

from dataclasses import replace

import pytest

from orchestrator.backends.slurm.capacity import capacity_of, ground_of
from orchestrator.backends.slurm.inventory import NodeRow, PartitionRow
from orchestrator.base.errors import LaunchRefused
from orchestrator.spec.slurm import SlurmSection


def node(name: str, *features: str) -> NodeRow:
    return NodeRow(name, name, frozenset({"IDLE"}), 8, 0, 2**36, 0, (("gpu", 2),), (), features=features)


NODES = (node("n1"), node("n2", "a100"), node("n3", "a100", "ib"), node("n4", "h100", "ib"))
PARTITIONS = (PartitionRow("batch", True, True, ("n1", "n2", "n3", "n4"), None, None, None, "OFF"),)


@pytest.mark.parametrize(
    ("constraint", "left"),
    [
        (None, "n1 n2 n3 n4"),
        ("a100", "n2 n3"),
        ("a100&ib", "n3"),
        ("a100 & ib", "n3"),
        ("a100|h100", "n2 n3 n4"),
        ("a100&ib|h100", "n1 n2 n3 n4"),
        ("[a100|h100]", "n1 n2 n3 n4"),
        ("(a100&ib)|h100", "n1 n2 n3 n4"),
        ("a100*2", "n1 n2 n3 n4"),
    ],
)
def test_nodes_without_the_features_of_the_profile_are_not_counted_with(constraint: str | None, left: str) -> None:
    ground = ground_of(None, NODES, PARTITIONS, constraint)
    assert [row.name for row in ground.nodes or ()] == left.split()
    capacity = capacity_of(SlurmSection(constraint=constraint), NODES, PARTITIONS)
    assert (capacity.slots, capacity.largest_gang) == (2 * len(left.split()),) * 2


@pytest.mark.parametrize("constraint", ["v100", "a100&h100"])
def test_features_that_no_node_has_are_refused_before_slurm_is_asked(constraint: str) -> None:
    with pytest.raises(LaunchRefused, match="no node of partition batch") as caught:
        ground_of(None, NODES, PARTITIONS, constraint)
    assert "slurm.constraint" in caught.value.hint


def test_where_nodes_have_gpus_cores_are_given_out_apart() -> None:
    busy = replace(node("n1"), cpus_used=5, gres_used=(("gpu", 1),))
    plain = replace(node("n2"), gres=())
    capacity = capacity_of(SlurmSection(), (busy, plain), PARTITIONS, 7.0)
    assert (capacity.slot_kind, capacity.cores_apart, capacity.counted_at) == ("gpu", True, 7.0)
    assert [(facts.slots, facts.free, facts.cpus, facts.cpus_free) for facts in capacity.nodes] == [
        (2, 1, 8, 3),
        (0, 0, 8, 8),
    ]


def test_without_gpus_slots_are_cores_and_nothing_counts_beside_them() -> None:
    capacity = capacity_of(SlurmSection(), (replace(node("n1"), gres=(), cpus_used=5),), PARTITIONS)
    assert (capacity.slot_kind, capacity.cores_apart) == ("cpu", False)
    assert [(facts.slots, facts.free, facts.cpus, facts.cpus_free) for facts in capacity.nodes] == [(8, 3, 0, 0)]


def test_runs_grow_on_the_nodes_of_the_partition_for_growth_alone() -> None:
    partitions = (*PARTITIONS, replace(PARTITIONS[0], name="spare", default=False, nodes=("n2", "n4")))
    grows = SlurmSection.model_validate({"growth": {"partition": "spare"}})
    assert [node.name for node in capacity_of(grows, NODES, partitions).nodes if node.grows] == ["n2", "n4"]


def test_partitions_that_slurm_does_not_have_are_named_with_those_that_it_has() -> None:
    section = SlurmSection.model_validate(
        {
            "partition": "gpu",
            "priorities": [{"at_least": 1, "partition": "vip"}, {"at_least": 2, "partition": "vip"}],
            "growth": {"partition": "spare"},
        }
    )
    assert capacity_of(section, NODES, PARTITIONS).faults == (
        "Slurm has no partition gpu, which the profile names (slurm.partition); it has batch",
        "Slurm has no partition vip, which the profile names (slurm.priorities); it has batch",
        "Slurm has no partition spare, which the profile names (slurm.growth); it has batch",
    )
    assert capacity_of(SlurmSection(), NODES, PARTITIONS).faults == ()
    assert capacity_of(SlurmSection(), NODES, ()).faults == (
        "Slurm has no default partition, and the profile names none (slurm.partition); it has none",
    )

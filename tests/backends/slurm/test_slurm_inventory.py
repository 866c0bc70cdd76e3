"""What scontrol prints of nodes and partitions."""

import pytest

from orchestrator.backends.slurm.inventory import nodes, partitions, seconds

NODE = (
    "NodeName=n1 Arch=x86_64 CoresPerSocket=1  CPUAlloc=3 CPUEfctv=4 CPUTot=8 AvailableFeatures=a,b ActiveFeatures=a "
    "Gres=gpu:h200:2(S:0-1),shard:8 GresDrain=N/A GresUsed=gpu:h200:1(IDX:0),shard:0 NodeAddr=10.0.0.1 "
    "NodeHostName=n1 OS=Linux 6.1 #1 SMP X=1  RealMemory=64000 AllocMem=16000 MemSpecLimit=1000 State=MIXED+DRAIN "
    "Partitions=batch,spare  CfgTRES=cpu=4,mem=62.50G,gres/gpu=2 AllocTRES=cpu=3,gres/gpu=1 "
    "Reason=the fan, State=IDLE [root@2026-11-22T00:00:00]"
)
PARTITION = (
    "PartitionName=batch AllowGroups=ALL Default=YES DefaultTime=01:00:00 Hidden=NO MaxNodes=8 MaxTime=7-00:00:00 "
    "Nodes=n[1-3] PreemptMode=OFF State=UP TotalNodes=3 TRES=cpu=12"
)


def test_a_node_is_a_row() -> None:
    (row,) = nodes(NODE).rows
    assert (row.name, row.address, row.partitions, row.features) == ("n1", "10.0.0.1", ("batch", "spare"), ("a", "b"))
    assert (row.cpus, row.cpus_used, row.memory, row.memory_used) == (4, 3, 63000 << 20, 16000 << 20)
    assert dict(row.gres) == {"gpu": 2, "gpu:h200": 2, "shard": 8}
    assert dict(row.gres_used) == {"gpu": 1, "gpu:h200": 1, "shard": 0}


def test_the_words_of_an_operator_change_no_fact() -> None:
    (row,) = nodes(NODE).rows
    assert row.states == {"MIXED", "DRAIN"}
    assert row.reason.startswith("the fan,")


def test_gpus_without_details_are_read_from_the_trackable_resources() -> None:
    text = NODE.replace("Gres=gpu:h200:2(S:0-1),shard:8 ", "Gres=(null) ").replace("GresUsed=", "Xxx=")
    (row,) = nodes(text).rows
    assert (dict(row.gres), dict(row.gres_used)) == ({"gpu": 2}, {"gpu": 1})


@pytest.mark.parametrize(
    "state", ["IDLE", "MIXED", "ALLOCATED", "IDLE+CLOUD+POWERED_DOWN", "MIXED-", "IDLE~", "COMPLETING"]
)
def test_these_nodes_take_jobs(state: str) -> None:
    assert nodes(NODE.replace("MIXED+DRAIN", state)).rows[0].usable


@pytest.mark.parametrize(
    "state", ["DOWN", "IDLE+DRAIN", "IDLE*", "DOWN+NOT_RESPONDING", "IDLE$", "ALLOCATED+MAINT", "FUTURE"]
)
def test_these_nodes_take_no_jobs(state: str) -> None:
    assert not nodes(NODE.replace("MIXED+DRAIN", state)).rows[0].usable


def test_a_partition_is_a_row() -> None:
    (row,) = partitions(PARTITION).rows
    assert (row.name, row.default, row.up, row.nodes) == ("batch", True, True, ("n1", "n2", "n3"))
    assert (row.max_time, row.default_time, row.max_nodes, row.preempt_mode) == (604800, 3600, 8, "OFF")


def test_a_partition_without_limits() -> None:
    text = (
        PARTITION.replace("7-00:00:00", "UNLIMITED")
        .replace("01:00:00", "NONE")
        .replace("MaxNodes=8", "MaxNodes=UNLIMITED")
    )
    (row,) = partitions(text).rows
    assert (row.max_time, row.default_time, row.max_nodes) == (None, None, None)


def test_what_is_no_node_is_told_and_left_out() -> None:
    table = nodes(f"hello\n{NODE}\nNodeName=x State=IDLE\nNodeName=y CPUTot=many State=IDLE\n")
    assert [row.name for row in table.rows] == ["n1"]
    assert len(table.garbled) == 3


def test_a_cluster_may_have_none() -> None:
    assert nodes("No nodes in the system\n").garbled == ()


@pytest.mark.parametrize(
    ("text", "limit"), [("00:30", 30), ("30:00", 1800), ("1:00:00", 3600), ("7-12:00:00", 648000), ("90", 5400)]
)
def test_time_limits_are_seconds(text: str, limit: float) -> None:
    assert seconds(text) == limit


def test_what_is_no_time_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="no time"):
        seconds("soon")

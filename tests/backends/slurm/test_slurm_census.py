"""How often nodes and partitions are counted, and how long a count is good for."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import pytest

from orchestrator.backends.slurm.census import Census
from orchestrator.base.errors import BackendUnavailable
from orchestrator.testing.clock import SimulatedClock

NODE = "NodeName=n1 CPUTot=4 State=IDLE\n"
PARTITION = "PartitionName=batch Default=YES State=UP Nodes=n1\n"


class Scene:
    """A census, its Slurm and its clock."""

    def __init__(self, slurm: Any) -> None:
        self.slurm = slurm
        self.slurm.inventory = {"nodes": NODE, "partitions": PARTITION}
        self.clock = SimulatedClock()
        self.census = Census(slurm, 60.0, self.clock)

    def run(self, seconds: float, *, asking: bool = True) -> None:
        for _ in range(int(seconds)):
            if asking:
                self.ask()
            while self.census.due(self.clock.monotonic()) <= 0:
                self.census.count(self.clock.monotonic())
            self.clock.advance(1)

    def ask(self) -> None:
        for question in (self.census.nodes, self.census.partitions):
            with contextlib.suppress(BackendUnavailable):
                question()


@pytest.fixture
def scene(scripted: Any) -> Scene:
    return Scene(scripted)


def test_nobody_counts_before_somebody_asks(scene: Scene) -> None:
    assert scene.census.due(0.0) == math.inf


def test_both_are_counted_at_once_for_the_first_question(scene: Scene) -> None:
    assert scene.census.nodes() is None
    scene.run(1)
    assert [node.name for node in scene.census.nodes() or ()] == ["n1"]
    assert [partition.name for partition in scene.census.partitions() or ()] == ["batch"]


def test_a_count_has_the_time_of_the_last_answer(scene: Scene) -> None:
    assert scene.census.counted_at() is None
    scene.run(2)
    told = scene.clock.now() - 2
    assert scene.census.counted_at() == told
    scene.slurm.silence("scontrol")
    scene.run(120)
    assert scene.census.counted_at() == told


def test_there_is_one_question_a_minute(scene: Scene) -> None:
    scene.run(3600)
    assert scene.slurm.count("scontrol") == pytest.approx(61, abs=2)
    assert sum(call[-1] == "partitions" for call in scene.slurm.asked) == pytest.approx(6, abs=1)


def test_where_nobody_asks_any_more_nobody_counts(scene: Scene) -> None:
    scene.run(1)
    scene.run(600, asking=False)
    assert scene.slurm.count("scontrol") <= 4


def test_an_old_count_is_good_for_minutes(scene: Scene) -> None:
    scene.run(1)
    scene.slurm.silence("scontrol")
    scene.run(300)
    assert scene.census.nodes()
    scene.run(600)
    with pytest.raises(BackendUnavailable):
        scene.census.nodes()


def test_partitions_are_no_less_good_when_the_next_count_of_them_fails(scene: Scene) -> None:
    scene.run(1)
    answers = scene.slurm.programs["scontrol"]
    scene.slurm.silence("scontrol")
    scene.run(900)
    assert scene.census.partitions()
    scene.slurm.programs["scontrol"] = answers
    scene.run(120)
    scene.slurm.silence("scontrol")
    scene.run(1500)
    with pytest.raises(BackendUnavailable):
        scene.census.partitions()


def test_a_slurm_that_never_answered_is_told_as_such(scene: Scene) -> None:
    scene.slurm.silence("scontrol")
    scene.run(1)
    with pytest.raises(BackendUnavailable, match="Unable to contact"):
        scene.census.nodes()


def test_an_answer_of_which_nothing_can_be_read_is_none(scene: Scene) -> None:
    scene.slurm.inventory["nodes"] = "hello\n"
    scene.run(1)
    with pytest.raises(BackendUnavailable, match="cannot be read: hello"):
        scene.census.nodes()


def test_nodes_that_cannot_be_read_are_left_out(scene: Scene) -> None:
    scene.slurm.inventory["nodes"] = "hello\n" + NODE
    scene.run(1)
    assert len(scene.census.nodes() or ()) == 1


def test_what_fails_does_not_keep_the_other_from_being_counted(scene: Scene) -> None:
    scene.slurm.inventory["partitions"] = "hello\n"
    scene.run(600)
    asked = [call[-1] for call in scene.slurm.asked]
    assert min(asked.count("nodes"), asked.count("partitions")) >= 4


def test_nodes_that_are_hidden_from_an_ordinary_user_are_taken_for_equal_shares_of_their_partition(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    answers = scene.slurm.programs["scontrol"]

    def hide(*arguments: str) -> str:
        if arguments[-1] == "nodes":
            raise BackendUnavailable("scontrol ended with 1: slurm_load_node error: Access/permission denied")
        return str(answers(*arguments))

    scene.slurm.programs["scontrol"] = hide
    shares = "TotalCPUs=12 TRES=cpu=12,mem=187.50G,node=3,billing=12,gres/gpu=6\n"
    scene.slurm.inventory["partitions"] = "".join(f"PartitionName={name} Nodes=n[1-3] {shares}" for name in "ab")
    scene.run(600)
    nodes = scene.census.nodes() or ()
    assert [(node.name, node.cpus, node.gres, node.usable) for node in nodes] == [
        (name, 4, (("gpu", 2),), True) for name in ("n1", "n2", "n3")
    ]
    assert {node.memory for node in nodes} == {64_000 * 2**20}
    assert nodes[0].partitions == ("a", "b")
    assert sum(call[-1] == "nodes" for call in scene.slurm.asked) == 1
    assert caplog.text.count("Slurm hides its nodes") == 1


def test_an_answer_that_cannot_be_taken_in_is_told_and_asked_for_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(text: str) -> Any:
        raise KeyError("CPUTot")

    scene.ask()
    with monkeypatch.context() as patch:
        patch.setattr("orchestrator.backends.slurm.inventory.nodes", fail)
        scene.run(5)
        with pytest.raises(BackendUnavailable, match=r"show nodes: its answer cannot be taken in: 'CPUTot'"):
            scene.census.nodes()
    assert scene.census.partitions()
    scene.run(120)
    assert scene.census.nodes()

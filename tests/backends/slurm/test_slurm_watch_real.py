"""The watch on a real Slurm: what its states and reasons look like, and what happens while parts of it are away."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from orchestrator.backends.protocol import AllocationState, Observation
from orchestrator.backends.slurm.accounting import asked_of
from orchestrator.backends.slurm.commands import Slurm
from orchestrator.backends.slurm.states import is_over, remembered
from orchestrator.backends.slurm.tables import AccountRow
from orchestrator.backends.slurm.watch import Asked, Watch
from orchestrator.base.errors import BackendUnavailable
from orchestrator.spec.slurm import SlurmSection
from orchestrator.testing.dev_cluster import DevCluster

pytestmark = pytest.mark.slurm


class Scene:
    """A watch on a real cluster, and jobs that carry the names of allocations."""

    def __init__(self, cluster: DevCluster) -> None:
        self.cluster = cluster
        self.slurm = Slurm(SlurmSection(conf=str(cluster.conf)))
        self.watch = Watch(self.slurm, look_every=0.5)
        self.tag = time.time_ns()

    def submit(self, name: str, script: str, *options: str) -> Asked:
        run = f"{name}-{self.tag}"
        with self.watch.launching(f"{run}.0"):
            job = self.cluster.submit(script, f"--job-name={run}.0", f"--comment={run}", "--no-requeue", *options)
        return Asked(f"{run}.0", job=job, submitted=time.time())

    def of(self, asked: Asked) -> Observation | None:
        """None while Slurm does not answer."""
        try:
            return self.watch.observe([asked])[asked.allocation]
        except BackendUnavailable:
            return None

    def until(self, asked: Asked, condition: Callable[[Observation], object]) -> Observation:
        found: list[Observation] = []

        def holds() -> bool:
            seen = self.of(asked)
            found[:] = [seen] if seen is not None else []
            return seen is not None and bool(condition(seen))

        self.cluster.wait_for(holds)
        return found[0]

    def state(self, asked: Asked, state: AllocationState) -> Observation:
        return self.until(asked, lambda seen: seen.state is state)


@pytest.fixture
def scene(slurm: DevCluster) -> Iterator[Scene]:
    made = Scene(slurm)
    yield made
    made.watch.close()


def test_jobs_wait_with_a_reason_run_with_nodes_and_are_cancelled_by_somebody(scene: Scene) -> None:
    runs = scene.submit("runs", "sleep 60", "--nodes=3", "--exclusive", "--time=10")
    waits = scene.submit("waits", "true", "--nodes=3", "--exclusive")
    never = scene.submit("never", "true", "--nodes=4")
    held = scene.submit("held", "true", "--hold")
    running = scene.state(runs, AllocationState.RUNNING)
    assert len(running.nodes) == 3
    assert running.engine_id == runs.job
    assert running.since is not None
    assert running.ends == running.since + 600
    waiting = scene.until(waits, lambda seen: seen.waits and seen.waits.code in {"Resources", "Priority"})
    assert waiting.waits is not None
    assert waiting.partition == "batch"
    expected = scene.until(waits, lambda seen: seen.waits and seen.waits.start is not None).waits
    assert expected is not None
    assert expected.start == pytest.approx(running.ends, abs=60)
    assert scene.until(never, lambda seen: seen.waits and seen.waits.code == "PartitionNodeLimit")
    assert scene.until(held, lambda seen: seen.waits and seen.waits.command == f"scontrol release {held.job}")
    scene.slurm.read("scancel", runs.job)
    ended = scene.state(runs, AllocationState.ENDED)
    assert ended.failure_class == "permanent"
    assert "scancel" in ended.detail


def test_a_job_that_runs_is_seen_again_when_the_controller_was_killed_and_has_come_back(scene: Scene) -> None:
    runs = scene.submit("runs", "sleep 60")
    scene.state(runs, AllocationState.RUNNING)
    scene.cluster.await_saved()
    scene.cluster.restart_controller()
    assert scene.state(runs, AllocationState.RUNNING).engine_id == runs.job


def test_accounting_says_how_a_job_ended_and_is_told_to_be_away_while_it_is(scene: Scene) -> None:
    fails = scene.submit("fails", "exit 3")
    scene.state(fails, AllocationState.ENDED)

    def rows() -> list[AccountRow]:
        return [row for row in asked_of(scene.slurm, [fails]).values() if is_over(row.state)]

    scene.cluster.wait_for(rows)  # the database is written to once a second
    found = remembered(rows()[0], fails)
    assert (found.failure_class, found.engine_id) == ("infrastructure", fails.job)
    assert "exit status 3" in found.detail
    scene.cluster.stop_accounting()
    with pytest.raises(BackendUnavailable, match="sacct"):
        rows()
    assert scene.of(fails) is not None, "the queue answers all the same"


def test_nodes_and_partitions_are_told_with_what_they_hold(scene: Scene) -> None:
    scene.state(scene.submit("runs", "sleep 60", "--gpus=1", "--cpus-per-task=2"), AllocationState.RUNNING)
    nodes = scene.watch.nodes()
    assert [node.name for node in nodes] == ["n1", "n2", "n3"]
    assert all(node.usable and dict(node.gres)["gpu"] == 2 and node.cpus == 4 for node in nodes)
    assert sorted(dict(node.gres_used)["gpu"] for node in nodes) == [0, 0, 1]
    assert sorted(node.cpus_used for node in nodes) == [0, 0, 2]
    batch, spare = scene.watch.partitions()
    assert (batch.name, batch.default, batch.up, batch.preempt_mode) == ("batch", True, True, "OFF")
    assert (spare.name, spare.default, spare.preempt_mode) == ("spare", False, "REQUEUE")
    assert batch.nodes == ("n1", "n2", "n3")

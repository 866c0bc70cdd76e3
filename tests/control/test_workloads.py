"""Workloads that the controller remembers are shared between its threads, so that nobody may change one."""

from pathlib import Path

from queueing_kit import passes, queueing

from orchestrator.planning.launch import launch_for
from orchestrator.store import jobs
from orchestrator.testing.world import World


def test_nobody_changes_a_workload_that_is_remembered(tmp_path: Path) -> None:
    world = queueing(tmp_path)
    command = world.submit("start", "fail", "start", "succeed", env={"A": "1"}, retry={"application": 1})
    training = world.train("start", "succeed", workers="1..3")
    passes(world, 20)
    site = world.service.site
    for job in (command, training):
        world.service.get(job)
        world.service.results(job)
        with site.store.read() as connection:
            frozen = jobs.get(connection, job).workload
        assert site.workloads.thaw(frozen) is site.workloads.thaw(frozen)
        assert site.workloads.freeze(site.workloads.thaw(frozen)) == frozen


def test_what_a_run_is_started_with_is_its_own(world: World) -> None:
    workload = world.service.site.workloads.parse("{name: a, command: [start], env: {A: '1'}}", "a.yaml", ())
    launch = launch_for(workload, job="j", run="j-r1", token=1, workers=1, workdir="/")
    assert launch.env == {"A": "1"}
    assert launch.env is not workload.env

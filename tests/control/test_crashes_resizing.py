"""SIGKILL of the server before and after every commit and every engine call of a resize."""

import os
import shutil
import signal
from pathlib import Path

from orchestrator.base.clock import RandomIds
from orchestrator.rundir.control import read_control
from orchestrator.testing.world import World

SCRIPT = ("start", "wait", *["resize"] * 6, "wait", "wait", "succeed")


class Probes:
    """Counts the points where a server can be killed, and kills it at one of them."""

    def __init__(self, kill_at: int | None = None) -> None:
        self.count = 0
        self._kill_at = kill_at

    def __call__(self, name: str) -> None:
        self.count += 1
        if self.count == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def live(root: Path, probes: Probes) -> World:
    """One life of the server: somebody submits a training and asks (again) for 2 workers while it runs on 4."""
    world = World(root, slots=4, probe=probes, ids=RandomIds())
    job = world.train(*SCRIPT, key="one")
    for _ in range(40):
        view = world.job(job)
        if view.terminal:
            break
        if view.state == "running" and view.runs[-1].wanted == 4:
            world.service.resize(job, 2)
        world.step()
    world.finish()
    world.step(2)
    return world


def life_that_is_killed(root: Path, kill_at: int) -> None:
    child = os.fork()
    if child == 0:
        try:
            live(root, Probes(kill_at))
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0


def check(world: World) -> None:
    """One job, one run, one resize; the run knows the wish, and all slots are free."""
    (job,) = world.service.list()
    assert job.state == "succeeded"
    assert [(run.world_size, run.wanted) for run in job.runs] == [(2, 2)]
    assert world.moves(job.id) == ["queued", "starting", "running", "resizing", "running", "succeeded"]
    control = read_control(world.run_directory(job.id))
    assert control is not None
    assert (control.world_size, control.generation) == (2, 2)
    assert {allocation.starts for allocation in world.backend.allocations().values()} == {1}
    assert world.backend.capacity().free == 4
    world.store.close()


def test_a_server_killed_at_any_point_of_a_resize_carries_it_out_once(tmp_path: Path) -> None:
    template = tmp_path / "template"
    World(template, slots=4).store.close()
    probes = Probes()
    check(live(Path(shutil.copytree(template, tmp_path / "whole")), probes))
    step = 1 if os.environ.get("ORCHESTRATOR_TEST_FULL") else 3
    for point in range(1, probes.count + 1, step):
        root = Path(shutil.copytree(template, tmp_path / str(point)))
        life_that_is_killed(root, point)
        check(live(root, Probes()))
        shutil.rmtree(root)

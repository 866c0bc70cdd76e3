"""What the driver of an allocation does before it asks for anything, and what its parts inherit."""

from pathlib import Path

import pytest

from orchestrator.base.errors import Fenced
from orchestrator.onray.driver import _nothing_to_start, main
from orchestrator.onray.groups import resources_of
from orchestrator.onray.host import Whereabouts, environment_of
from orchestrator.onray.parts import granted
from orchestrator.rundir.allocations import AllocationFiles
from orchestrator.rundir.events import EventWriter
from orchestrator.rundir.fence import raise_fence
from orchestrator.rundir.grant import Grant
from orchestrator.rundir.launch import Launch, write_launch
from orchestrator.rundir.layout import JobDirectory
from orchestrator.rundir.rayjob import RayJob, claim_ray_job, write_ray_job
from orchestrator.runtime.placing import Part


@pytest.fixture
def files(tmp_path: Path) -> AllocationFiles:
    directory = JobDirectory.under(tmp_path, "j").run("j-r1")
    directory.create()
    raise_fence(directory.job, 1)
    write_launch(directory, Launch("j", "j-r1", 1, ("true",), str(tmp_path), 2))
    found = AllocationFiles(directory, "j-r1.0")
    write_ray_job(found, RayJob(placement=(("a", 2),)))
    return found


def test_one_driver_runs_an_allocation_however_often_ray_was_given_it(files: AllocationFiles) -> None:
    assert _nothing_to_start(files) is None
    assert _nothing_to_start(files) == "another driver runs it"


def test_what_was_called_off_is_not_started(files: AllocationFiles) -> None:
    files.claim(None)
    assert "called off" in str(_nothing_to_start(files))
    assert claim_ray_job(files, "nobody has")


def test_what_has_finished_or_was_taken_over_is_not_started(files: AllocationFiles) -> None:
    EventWriter(files.run, "agent-0", 1).append("finished", outcome="succeeded")
    assert _nothing_to_start(files) == "the run has finished"
    raise_fence(files.run.job, 2)
    with pytest.raises(Fenced):
        _nothing_to_start(files)


def test_a_driver_that_has_nothing_to_start_needs_no_ray(
    files: AllocationFiles, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.onray.driver._log_to", lambda files: None)
    files.claim(None)
    assert main([str(files.run.path), files.allocation]) == 0
    assert "called off" in capfd.readouterr().err


def test_parts_inherit_nothing_of_ray_unless_they_use_it() -> None:
    had = {"PATH": "/bin", "RAY_AUTH_TOKEN": "s", "RAY_AUTH_MODE": "token", "RAY_JOB_ID": "1", "RAYLET_PID": "7"}
    assert environment_of(had, with_ray=False) == {"PATH": "/bin"}
    assert environment_of(had, with_ray=True) == {"PATH": "/bin", "RAY_AUTH_TOKEN": "s", "RAY_AUTH_MODE": "token"}


def test_a_worker_reserves_what_its_launch_says_and_an_agent_learns_what_only_its_actor_knew() -> None:
    launch = Launch("j", "j-r1", 1, ("true",), "/", 2, cpus_per_worker=3, gpus_per_worker=1)
    assert resources_of(launch, 5) == {"CPU": 3.0, "GPU": 1.0, "memory": 5.0}
    assert resources_of(Launch("j", "j-r1", 1, ("true",), "/", 2), 0) == {"CPU": 1.0}
    found = granted(Grant(workers=2), Part(0, "a", 2), Whereabouts("10.0.0.1", ("3", "4")))
    assert (found.workers, found.devices, found.host, found.node) == (2, ("3", "4"), "10.0.0.1", "a")

"""The backend passes the suite that every backend must pass; a fake dashboard starts its jobs on this machine."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray_kit import TOKEN, FakeRay, Site

from orchestrator.backends.protocol import LaunchRequest
from orchestrator.backends.ray import RayBackend
from orchestrator.base.process import ProcessIdentity, processes_with_environment
from orchestrator.rundir.allocations import MARK, AllocationFiles
from orchestrator.rundir.rayjob import read_ray_job
from orchestrator.testing.backend_conformance import BackendConformance, Behaviour
from orchestrator.testing.lab import Lab

COMMANDS: dict[Behaviour, tuple[str, ...]] = {
    "succeed": ("true",),
    "fail": ("sh", "-c", "exit 3"),
    "run": ("sleep", "600"),
    "stubborn": ("sh", "-c", "trap '' TERM; while :; do sleep 1; done"),
}


class RayHarness:
    """A server on a cluster where nothing else runs."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._requests: list[LaunchRequest] = []
        self.backend = site.backend

    def reopen(self) -> RayBackend:
        return self._site.reopen()

    def request(self, name: str, behaviour: Behaviour) -> LaunchRequest:
        self._requests.append(self._site.request(name, *COMMANDS[behaviour]))
        return self._requests[-1]

    def settle(self) -> None:
        time.sleep(0.05)

    def survivors(self) -> list[ProcessIdentity]:
        return [one for request in self._requests for one in processes_with_environment(MARK, request.allocation)]


class TestRayBackend(BackendConformance):
    @pytest.fixture
    def harness(self, ray: FakeRay, tmp_path: Path) -> Iterator[RayHarness]:
        site = Site(ray, tmp_path)
        made = RayHarness(site)
        yield made
        site.close()
        assert made.survivors() == []


def test_a_job_outlives_a_silence_of_ray(site: Site, ray: FakeRay) -> None:
    lab = Lab.__new__(Lab)
    lab._open(site.root, site.profile, site.backend)
    script = "while [ ! -e go ]; do sleep 0.1; done"
    resources = {"workers": 2, "memory_per_worker": "1GiB"}
    job = lab.submit({"name": "job", "command": ["sh", "-c", script], "resources": resources})
    lab.until(lambda: lab.job(job).state == "running")
    ray.token = "another"
    for _ in range(3):
        lab._controller.step()
    assert "refuses the token" in lab._controller.silence()
    assert lab.job(job).state == "running"
    ray.token = TOKEN
    (site.root / "go").touch()
    lab.finish()
    assert (lab.job(job).state, lab._controller.silence()) == ("succeeded", "")
    told = read_ray_job(AllocationFiles(lab.run(job), f"{job}-r1.0"))
    assert (told.placement, told.memory) == ((("n1", 2),), 2**30)

"""Launches on a real Slurm: what it was told, what it refuses, and what a crash of the server leaves behind."""

import dataclasses
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.backends.protocol import AllocationState, LaunchRequest, Needs, Standing, Terms
from orchestrator.backends.slurm import SlurmBackend
from orchestrator.backends.slurm.orders import Orders
from orchestrator.base.errors import BackendUnavailable, LaunchRefused
from orchestrator.rundir.control import Control, write_control
from orchestrator.rundir.events import find_event, read_events
from orchestrator.rundir.fence import raise_fence
from orchestrator.rundir.launch import Launch, write_launch
from orchestrator.rundir.layout import JobDirectory
from orchestrator.spec.profile import ClusterProfile

pytestmark = pytest.mark.slurm


class Site:
    """Servers of one state directory on a real cluster."""

    def __init__(self, root: Path, cluster: Any) -> None:
        self.root, self.cluster = root, cluster
        self._opened: list[SlurmBackend] = []

    def backend(self, **slurm: Any) -> SlurmBackend:
        profile = ClusterProfile.model_validate(
            {"name": "dev", "backend": "slurm", "slurm": {"look_every": 0.2, **slurm}}
        )
        self._opened.append(SlurmBackend(profile, state=self.root / "state"))
        return self._opened[-1]

    def request(self, name: str, *argv: str, terms: Terms | None = None, **changes: Any) -> LaunchRequest:
        job = f"{self.root.name}-{name}".replace("_", "-")
        run = JobDirectory.under(self.root, job).run(f"{job}-r1")
        run.job.create()
        run.create()
        raise_fence(run.job, 1)
        launch = Launch(job, run.run, 1, argv or ("sleep", "600"), str(self.root), **{"workers": 1, **changes})
        write_launch(run, launch)
        write_control(run, Control(generation=1, token=1, want="run", world_size=launch.workers))
        return LaunchRequest(f"{run.run}.0", run, launch, terms=terms or Terms(launch.workers, launch.workers))

    def shown(self, request: LaunchRequest, fields: str) -> str:
        """One line of squeue."""
        return str(
            self.cluster.run("squeue", "--noheader", f"--name={request.allocation}", f"--format={fields}")
        ).strip()

    def close(self) -> None:
        for backend in self._opened:
            backend.close()


@pytest.fixture
def site(tmp_path: Path, slurm: Any) -> Iterator[Site]:
    made = Site(tmp_path, slurm)
    yield made
    made.close()


def wait_for(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)


def state(backend: SlurmBackend, request: LaunchRequest) -> AllocationState:
    return backend.observe([request.allocation])[request.allocation].state


def test_a_job_whose_submission_was_not_answered_runs_once_and_is_found(site: Site) -> None:
    folder = site.root / "bin"
    folder.mkdir()
    for program in ("squeue", "scontrol", "scancel", "sacct", "srun"):
        (folder / program).symlink_to(shutil.which(program) or program)
    silent = folder / "sbatch"
    silent.write_text(f'#!/bin/sh\n{shutil.which("sbatch")} "$@" > /dev/null\n')
    silent.chmod(0o755)
    request = site.request("lost", "true")
    with pytest.raises(BackendUnavailable, match="cannot be read"):
        site.backend(commands=str(folder)).launch(request)
    again = site.backend()
    again.launch(request)
    assert again.list() == [request.allocation]
    wait_for(lambda: state(again, request) is AllocationState.ENDED)
    marker = find_event(request.directory, "finished")
    assert marker is not None
    assert marker.data["outcome"] == "succeeded"
    assert [event.kind for event in read_events(request.directory, {})].count("agent_started") == 1


def test_slurm_is_told_where_a_job_stands_and_follows_it(site: Site) -> None:
    backend = site.backend(
        partition="batch", accounts={"vision": "vision"}, priorities=[{"at_least": 10, "qos": "high"}]
    )
    low = Terms(1, 1, Standing(-3, "vision", held=True), expected=600.0)
    request = site.request("stands", terms=low)
    backend.launch(request)
    assert site.shown(request, "%T %r %P %a %q %y %l") == "PENDING JobHeldUser batch vision normal 30 23:00"
    backend.adjust(request.allocation, Standing(10, "vision", held=True))
    assert site.shown(request, "%T %r %a %q %y") == "PENDING JobHeldUser vision high 0"
    backend.adjust(request.allocation, Standing(10, "vision"))
    wait_for(lambda: site.shown(request, "%T") == "RUNNING")
    backend.adjust(request.allocation, Standing(0, "vision", held=True))
    assert site.shown(request, "%T %q") == "RUNNING high"
    backend.kill(request.allocation)


def test_a_job_whose_number_was_another_ones_before_is_not_cancelled_in_its_stead(site: Site) -> None:
    backend, request = site.backend(), site.request("recycled", terms=Terms(1, 1, Standing(held=True)))
    backend.launch(request)
    orders = Orders(backend.commands)
    for options in ((), ("--state=PENDING",), ("--signal=KILL", "--full")):
        orders.cancel("j-other-r1.0", site.shown(request, "%A"), *options)
    assert site.shown(request, "%T") == "PENDING"
    orders.cancel(request.allocation, site.shown(request, "%A"))
    assert site.shown(request, "%T") == ""


def test_workers_that_may_lie_anywhere_lie_on_nodes_of_their_own(site: Site) -> None:
    backend = site.backend()
    spread = Terms(2, 2, needs=Needs(anywhere=True, not_on=("n2",)))
    request = site.request("spread", terms=spread, workers=2, gpus_per_worker=1)
    start = backend.expected_start(request)
    assert start is not None
    assert abs(start - time.time()) < 60
    backend.launch(request)
    wait_for(lambda: site.shown(request, "%T %N") == "RUNNING n[1,3]")
    backend.kill(request.allocation)


@pytest.mark.parametrize(
    ("section", "changes", "words", "remedy"),
    [
        ({"qos": "gold"}, {}, "Invalid qos", "slurm.qos"),
        ({"account": "nobody"}, {}, "Invalid account", "slurm.account"),
        ({"constraint": "moon"}, {}, "no node of partition batch", "slurm.constraint"),
        ({"partition": "fast"}, {}, "no partition fast", "slurm.partition"),
        ({"gres": "tpu"}, {"gpus_per_worker": 1}, "no node", "less of each worker"),
        ({}, {"cpus_per_worker": 5}, "no node", "less of each worker"),
    ],
)
def test_what_can_never_start_is_refused_with_a_remedy(
    site: Site, section: Any, changes: Any, words: str, remedy: str
) -> None:
    backend, request = site.backend(**section), site.request("refused", **changes)
    for ask in (backend.expected_start, backend.launch):
        with pytest.raises(LaunchRefused, match=words) as caught:
            ask(request)
        assert remedy in caught.value.hint
    assert backend.list() == []


def test_a_job_that_was_refused_once_can_be_launched_when_that_is_mended(site: Site) -> None:
    request = site.request("mended", "true")
    with pytest.raises(LaunchRefused):
        site.backend(qos="gold").launch(request)
    backend = site.backend()
    backend.launch(dataclasses.replace(request))
    wait_for(lambda: state(backend, request) is AllocationState.ENDED)
    assert find_event(request.directory, "finished") is not None

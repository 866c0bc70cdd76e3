"""A whole server before a real Slurm, as people meet it: the commands, a server that is killed, a scancel by hand."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.api.endpoint import read_endpoint
from orchestrator.base.paths import bundled
from orchestrator.base.slots import SLOTS_VARIABLE
from orchestrator.cli.connect import connect_to_running
from orchestrator.client import Client
from orchestrator.control.pool import AT_ONCE
from orchestrator.data.build import build
from orchestrator.spec.load import load_card
from orchestrator.spec.messages import JobView
from orchestrator.spec.placement import dataset_root
from orchestrator.testing.dev_cluster import DevCluster

FULL = bool(os.environ.get("ORCHESTRATOR_TEST_FULL"))

pytestmark = [pytest.mark.slow, pytest.mark.slurm, pytest.mark.timeout(3600 if FULL else 600)]

PATIENCE = 1500.0 if FULL else 300.0
MANY = 30 if FULL else 12
PROGRAMS = ("squeue", "scontrol", "scancel", "sacct", "srun")


class Person:
    """Somebody at a terminal: a folder to work in, a state directory, and the server that the commands start."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.state = home / "state"

    def orchestrator(self, *argv: object) -> str:
        """What a command prints."""
        command = (sys.executable, "-c", "from orchestrator.cli.entry import main; main()", *map(str, argv))
        done = subprocess.run(command, cwd=self.home, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, (
            f"{argv}: exit {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.server_log()}"
        )
        return done.stdout

    def submit(self, *argv: object) -> list[str]:
        """The identifiers of new jobs."""
        return self.orchestrator("submit", *argv).split()

    def write(self, name: str, document: Any) -> Path:
        """A file of the person's; JSON is YAML."""
        path = self.home / name
        path.write_text(json.dumps(document))
        return path

    @property
    def client(self) -> Client:
        """Of the server that runs."""
        client = connect_to_running()
        assert client is not None, self.server_log()
        return client

    def until(self, jobs: Sequence[str], holds: Callable[[JobView], bool]) -> list[JobView]:
        """The jobs, when something is so of each."""
        deadline = time.monotonic() + PATIENCE
        while not all(map(holds, seen := [self.client.job(job) for job in jobs])):
            assert time.monotonic() < deadline, [(job.id, job.state, job.reason) for job in seen]
            time.sleep(0.2)
        return seen

    def kill_server(self) -> None:
        """No word of farewell."""
        endpoint = read_endpoint()
        assert endpoint is not None
        os.kill(endpoint.pid, signal.SIGKILL)

    def server_log(self) -> str:
        """What the servers have said."""
        log = self.state / "server" / "server.log"
        return log.read_text() if log.exists() else ""

    def leave(self) -> None:
        """Cancel what is left, and end the server."""
        if (client := connect_to_running()) is None:
            return
        left = [job.id for job in client.jobs() if not job.terminal]
        for job in left:
            client.cancel(job)
        self.until(left, lambda job: job.terminal)
        self.orchestrator("serve", "--stop")


@pytest.fixture
def person(slurm: DevCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Person]:
    for name in [name for name in os.environ if name.startswith(("ORCHESTRATOR_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv(SLOTS_VARIABLE, str(tmp_path / "slots"))
    made = Person(tmp_path)
    yield made
    made.leave()


def small_cifar10(person: Person) -> None:
    """A data set of this name, of the person's own: 240 images of noise."""
    card = (bundled("datasets") / "cifar10.yaml").read_text().replace("validation: 5000", "validation: 40")
    cards, source, noise = person.home / "datasets", person.home / "source", np.random.default_rng(1)
    cards.mkdir()
    source.mkdir()
    (cards / "cifar10.yaml").write_text(card)
    for name in (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"):
        images = noise.integers(0, 256, (40, 3072), dtype=np.uint8)
        (source / name).write_bytes(b"".join(bytes([n % 10]) + image.tobytes() for n, image in enumerate(images)))
    built = load_card("cifar10", base=person.home)
    build(built, source, dataset_root(built, person.state))


def found_on(person: Person, cluster: str, *names: str) -> list[Any]:
    """What workloads that come with the package say and find where this cluster is served."""
    jobs = person.submit(*(bundled("workloads") / name for name in names), "--cluster", cluster)
    seen = person.until(jobs, lambda job: job.terminal)
    assert [(job.state, job.profile) for job in seen] == [("succeeded", cluster)] * len(jobs), seen
    found: list[Any] = [person.orchestrator("logs", jobs[0])]
    for results in map(person.client.results, jobs):
        found.append(results.summary)
        found.append([(t.index, t.state, t.parameters, t.complexity, t.metrics) for t in results.trials])
    person.orchestrator("serve", "--stop")
    return found


def test_the_same_workloads_find_the_same_on_this_machine_and_on_slurm_bit_for_bit(person: Person) -> None:
    small_cifar10(person)
    names = ("command.yaml", "regnet_cifar10.yaml")
    here, there = (found_on(person, cluster, *names) for cluster in ("local", "slurm"))
    assert "step 3" in here[0]
    assert here[3]["parameters_sha256"]
    assert there == here


@pytest.mark.ray
@pytest.mark.skipif(not FULL, reason="24 trials on each; that Ray and an array find the same on Slurm is tested always")
def test_the_same_search_finds_the_same_on_this_machine_and_on_slurm(person: Person) -> None:
    here, there = (found_on(person, cluster, "regnet_sweep.yaml") for cluster in ("local", "slurm"))
    assert len(here[2]) == 24
    assert there[1:] == here[1:]


class Gate:
    """Slurm's programs; an sbatch that submits and gives no answer once so many have been answered, until it opens."""

    def __init__(self, folder: Path, answers: int) -> None:
        self.folder = folder
        folder.mkdir()
        for program in PROGRAMS:
            (folder / program).symlink_to(shutil.which(program) or program)
        for number in range(answers):
            (folder / f"answer-{number}").touch()
        sbatch = folder / "sbatch"
        sbatch.write_text(
            f"""#!/bin/sh
case "$*" in *--test-only*) exec {shutil.which("sbatch")} "$@";; esac
answer=$({shutil.which("sbatch")} "$@") || exit
[ -e {folder}/open ] && echo "$answer" && exit
for ticket in {folder}/answer-*; do rm "$ticket" 2> /dev/null && echo "$answer" && exit; done
exec sleep 600
"""
        )
        sbatch.chmod(0o755)

    def open(self) -> None:
        """From now on everything is answered."""
        (self.folder / "open").touch()


def names_of(slurm: DevCluster) -> Counter[str]:
    """How many jobs of each name Slurm has had."""
    return Counter(slurm.run("squeue", "--states=all", "--noheader", "--format=%j").split())


def test_a_server_that_is_killed_in_a_batch_and_while_jobs_run_launches_nothing_twice_and_loses_nothing(
    person: Person, slurm: DevCluster
) -> None:
    gate = Gate(person.home / "bin", answers=4)
    section = {"commands": str(gate.folder), "conf": str(slurm.conf), "partition": "batch", "look_every": 0.5}
    lab = person.write("lab.yaml", {"name": "lab", "backend": "slurm", "slurm": section})
    command = "echo x >> ran; until [ -e done ]; do sleep 0.2; done"
    one = person.write("one.yaml", {"name": "one", "command": command, "resources": {"workers": 1}})
    jobs = person.submit(*[one] * MANY, "--cluster", lab)
    slurm.wait_for(lambda: len(slurm.jobs()) == 4 + AT_ONCE)  # answered, and not answered; of the others nobody knows

    person.kill_server()
    gate.open()
    person.orchestrator("status")  # starts a server
    at_once = min(MANY, 12)
    slurm.wait_for(lambda: [*slurm.jobs().values()].count("RUNNING") == at_once, PATIENCE)

    person.kill_server()
    (person.home / "done").touch()
    person.orchestrator("status")
    seen = person.until(jobs, lambda job: job.terminal)
    assert {(job.state, len(job.runs)) for job in seen} == {("succeeded", 1)}
    runs = {f"{run.id}.0": 1 for job in seen for run in job.runs}
    assert {name: many for name, many in names_of(slurm).items() if name in runs} == runs
    assert (person.home / "ran").read_text().split() == ["x"] * MANY


def test_who_cancels_a_job_by_slurms_own_means_is_named_and_a_retry_brings_it_back(
    person: Person, slurm: DevCluster
) -> None:
    section = {"conf": str(slurm.conf), "partition": "batch", "look_every": 0.5}
    lab = person.write("lab.yaml", {"name": "lab", "backend": "slurm", "slurm": section})
    command = ["sh", "-c", "[ -e again ] || exec sleep 600"]
    (job,) = person.submit(person.write("one.yaml", {"name": "one", "command": command}), "--cluster", lab)
    person.until([job], lambda job: job.state == "running")

    (number,) = slurm.jobs()
    slurm.run("scancel", number)
    (seen,) = person.until([job], lambda job: job.terminal)
    told = f"{getpass.getuser()} cancelled Slurm's job {number} by Slurm's own means (scancel)"
    assert (seen.state, seen.runs[0].failure_class) == ("failed", "permanent")
    assert told in seen.reason
    for command_name in ("status", "why"):
        assert told in " ".join(person.orchestrator(command_name, job).split())
    assert f"orchestrator retry {job}" in person.orchestrator("why", job)

    (person.home / "again").touch()
    person.orchestrator("retry", job)
    (seen,) = person.until([job], lambda job: job.terminal)
    assert (seen.state, len(seen.runs)) == ("succeeded", 2)

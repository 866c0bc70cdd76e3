"""What commands do while a Slurm says nothing, or lacks what the profile names: the tool as a process."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.base.process import ProcessIdentity

TOOL = str(Path(sys.executable).parent / "orchestrator")
NODES = "NodeName=n1 NodeHostName=n1 CPUTot=4 CPUAlloc=0 RealMemory=4096 AllocMem=0 State=IDLE Partitions=batch"
PARTITIONS = "PartitionName=batch Default=YES Nodes=n1 MaxTime=UNLIMITED State=UP PreemptMode=OFF"


class Machine:
    """A machine whose Slurm is shell scripts, with a profile for it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "bin").mkdir()
        self.program("squeue", "true")
        self.program("scontrol", f'case "$*" in *nodes) echo "{NODES}";; *partitions) echo "{PARTITIONS}";; esac')
        (path / "job.yaml").write_text("name: job\ncommand: [sleep, '60']\n")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ORCHESTRATOR_", "SLURM_"))}
        self.environment = kept | {"ORCHESTRATOR_STATE_DIR": str(path / "state"), "OMP_NUM_THREADS": "1"}

    def program(self, name: str, script: str) -> None:
        """From now on a program is this script."""
        new = self.path / "new"
        new.write_text(f"#!/bin/sh\n{script}\n")
        new.chmod(0o755)
        new.rename(self.path / "bin" / name)

    def hang(self, name: str) -> None:
        """From now on a program, and what it starts, says nothing for minutes."""
        self.program(name, f"echo $$ >> {self.path}/hanging; sleep 300 & echo $! >> {self.path}/hanging; wait")

    @property
    def hanging(self) -> list[int]:
        """Processes that say nothing."""
        path = self.path / "hanging"
        found = [int(line) for line in path.read_text().split()] if path.exists() else []
        return [pid for pid in found if ProcessIdentity.of(pid) is not None]

    def profile(self, partition: str) -> None:
        """Write the profile."""
        section = f"{{commands: {self.path}/bin, partition: {partition}, look_every: 0.5s}}"
        (self.path / "lab.yaml").write_text(f"name: lab\nbackend: slurm\nslurm: {section}\n")

    def serve(self, partition: str = "batch") -> subprocess.Popen[str]:
        """A server in the foreground, once it listens."""
        self.profile(partition)
        with (self.path / "serve.log").open("w") as log:
            server = subprocess.Popen(
                [TOOL, "serve", "--profile", "lab.yaml"],
                cwd=self.path,
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert server.stdout is not None
        assert server.stdout.readline().startswith("http://")
        return server

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command."""
        return subprocess.run(
            [TOOL, *arguments], cwd=self.path, env=self.environment, capture_output=True, text=True, timeout=60
        )


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.run("serve", "--stop")


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def test_a_silent_slurm_is_told_alike_by_every_command_and_holds_up_none(machine: Machine) -> None:
    machine.serve()
    until(lambda: "1 of" not in machine.run("status").stdout)
    machine.hang("squeue")
    until(lambda: "note: unknown since" in machine.run("status").stdout)
    began = time.monotonic()
    told = {
        next(line for line in machine.run(*command).stdout.splitlines() if line.startswith("note: "))
        for command in (("status",), ("queue",), ("cluster", "nodes"))
    }
    assert time.monotonic() - began < 10
    assert len(told) == 1
    assert "the engine slurm does not answer (squeue has been running for" in told.pop()
    queued = json.loads(machine.run("submit", "job.yaml", "--json").stdout)["data"]["job"]["id"]
    assert "unknown since" in machine.run("why", queued).stdout


def test_a_plan_waits_a_few_seconds_for_a_silent_slurm_and_leaves_nothing_behind(machine: Machine) -> None:
    machine.profile("batch")
    machine.hang("scontrol")
    began = time.monotonic()
    done = machine.run("plan", "job.yaml", "--cluster", "lab.yaml")
    assert time.monotonic() - began < 15
    assert done.returncode == 0
    assert "scontrol did not answer within 5 s" in done.stdout
    assert machine.hanging == []


def test_what_hangs_ends_with_the_server(machine: Machine) -> None:
    machine.hang("squeue")
    server = machine.serve()
    until(lambda: len(machine.hanging) == 2)
    server.send_signal(signal.SIGTERM)
    assert server.wait(5) == 0
    assert machine.hanging == []


def test_a_partition_that_slurm_does_not_have_is_named_at_once_and_by_every_command(machine: Machine) -> None:
    machine.serve(partition="gpu")
    fault = "Slurm has no partition gpu, which the profile names (slurm.partition); it has batch"
    until(lambda: fault in (machine.path / "serve.log").read_text())
    for command in (("status",), ("queue",), ("cluster", "nodes")):
        assert f"note: {fault}" in machine.run(*command).stdout
    for command in (("submit", "job.yaml"), ("plan", "job.yaml")):
        done = machine.run(*command)
        assert (done.returncode, fault in done.stderr) == (2, True)

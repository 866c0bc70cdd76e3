"""Programs that behave to a batch step as Slurm's do, and the batch step of a job: real processes, without Slurm."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from orchestrator.base.files import write_json
from orchestrator.rundir.allocations import AllocationFiles
from orchestrator.rundir.batch import Batch

_SRUN = """\
#!{python} -P
import os, signal, subprocess, sys
options = [word for word in sys.argv[1:] if word.startswith("--")]
command = sys.argv[1 + len(options):]
nodes = int(next(word.split("=")[1] for word in options if word.startswith("--nodes=")))
tasks = []
signal.signal(signal.SIGTERM, lambda *_: [task.send_signal(signal.SIGTERM) for task in tasks])
for node in range(nodes):
    given = dict(SLURM_NODEID=node, SLURM_STEP_NUM_NODES=nodes, SLURMD_NODENAME=f"n{{node + 1}}", SLURM_PROCID=node)
    given |= dict(SLURM_NTASKS=nodes, CUDA_VISIBLE_DEVICES="0,1")
    env = os.environ | {{name: str(value) for name, value in given.items()}}
    if not os.path.exists(os.path.join({folder!r}, f"dead-{{node}}")):
        tasks.append(subprocess.Popen(command, env=env, start_new_session=True))
with open(os.path.join({folder!r}, "srun"), "w") as file:
    print(*sys.argv, sep="\\n", file=file)
    print(*sorted(os.environ), sep="\\n", file=file)
sys.exit(max(abs(task.wait()) for task in tasks))
"""
_SCONTROL = """\
#!/bin/sh
echo "NodeName=$4 Arch=x86_64 NodeAddr=127.0.0.1 NodeHostName=localhost"
"""
_SCANCEL = """\
#!/bin/sh
echo "$@" >> {folder}/cancelled
"""


@dataclass
class FakeSlurm:
    """The programs, and the jobs that were started.

    Attributes:
        folder: for their notes.
    """

    folder: Path
    jobs: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def commands(self) -> Path:
        """Where the programs lie."""
        return self.folder / "bin"

    def install(self) -> None:
        """Write the programs."""
        self.commands.mkdir()
        for name, text in (("srun", _SRUN), ("scontrol", _SCONTROL), ("scancel", _SCANCEL)):
            program = self.commands / name
            program.write_text(text.format(python=sys.executable, folder=str(self.folder)) if "{" in text else text)
            program.chmod(0o755)

    def start(self, files: AllocationFiles, nodes: int, **more: str) -> subprocess.Popen[bytes]:
        """The batch step of a job, in whose environment stands what Slurm leaves there."""
        environment = {"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": str(nodes), "SLURM_NTASKS": "1"}
        body = "import sys; from orchestrator.runtime.batch import main; main(*sys.argv[1:])"
        with files.log.open("ab") as log:
            job = subprocess.Popen(
                [sys.executable, "-P", "-c", body, str(files.run.path), files.allocation],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=os.environ | environment | more,
            )
        self.jobs.append(job)
        return job

    def told_srun(self) -> list[str]:
        """Its arguments, and the names of its variables."""
        return (self.folder / "srun").read_text().splitlines()

    def cancelled(self) -> str:
        """What scancel was called with."""
        path = self.folder / "cancelled"
        return path.read_text() if path.exists() else ""

    def clear(self) -> None:
        """End what is left; agents end with what stands in their run directory."""
        for job in self.jobs:
            if job.poll() is None:
                job.send_signal(signal.SIGKILL)
                job.wait(10)


def write_note(files: AllocationFiles, commands: Path | str, **values: object) -> None:
    """`slurm-<n>.json` of an allocation."""
    write_json(files.batch, asdict(Batch(commands=str(commands), **values)))  # type: ignore[arg-type]


def variables_of(pid: int) -> Mapping[str, str]:
    """The environment that a process was started with."""
    entries = [os.fsdecode(entry) for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")]
    return {name: value for name, _, value in (entry.partition("=") for entry in entries)}

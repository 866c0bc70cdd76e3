"""A Slurm backend with programs that only pretend, and a queue as a test says it is."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.backends.protocol import AllocationState, LaunchRequest, Observation, Terms
from orchestrator.backends.slurm import SlurmBackend
from orchestrator.backends.slurm.inventory import NodeRow, PartitionRow
from orchestrator.backends.slurm.watch import Asked, Sight
from orchestrator.base.errors import BackendUnavailable
from orchestrator.base.process import ProcessIdentity
from orchestrator.rundir.allocations import AllocationFiles
from orchestrator.rundir.launch import Launch
from orchestrator.rundir.layout import JobDirectory
from orchestrator.spec.profile import ClusterProfile
from orchestrator.testing.clock import SimulatedClock

PENDING, RUNNING, ENDED, ABSENT = (Observation(state) for state in list(AllocationState)[:4])

PROGRAM = """#!/bin/sh
cd {folder}
[ "$1" != show ] || {{ echo "KillWait                = 3 sec"; exit; }}
echo "${{0##*/}} $*" >> calls
[ "${{0##*/}}" != sbatch ] || env > environment
ls state/slurm/allocations > records 2> /dev/null
[ ! -e say/${{0##*/}} ] || {{ . say/${{0##*/}}; exit; }}
[ "${{0##*/}}" != sbatch ] || echo $((100 + $(grep -c ^sbatch calls)))
"""


@dataclass
class FakeWatch:
    """Slurm's queue as a test says it is."""

    sights: dict[str, Sight] = field(default_factory=dict)
    seen: dict[str, Observation] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    looks: int = 0
    lands: dict[int, Sight] = field(default_factory=dict)
    silent: bool = False
    preempt_mode: str = "OFF"

    def nodes(self) -> tuple[NodeRow, ...]:
        self._speak()
        return tuple(
            NodeRow(n, n, frozenset({"IDLE"}), 4, 1, 2**36, 0, (("gpu", 2),), (("gpu", 1),)) for n in ("n1", "n2")
        )

    def partitions(self) -> tuple[PartitionRow, ...]:
        self._speak()
        return (PartitionRow("batch", True, True, ("n1", "n2"), 86_400.0, 3600.0, None, self.preempt_mode),)

    def counted_at(self) -> float | None:
        return 1.0

    def observe(self, asked: Sequence[Asked]) -> Mapping[str, Observation]:
        self._speak()
        self.asked = list(asked)
        return {one.allocation: self.seen.get(one.allocation, PENDING if one.job else ABSENT) for one in asked}

    def fresh(self) -> None:
        self._speak()
        self.looks += 1
        if landed := self.lands.get(self.looks):
            self.sights[landed.allocation] = landed

    def sight(self, allocation: str) -> Sight | None:
        return self.sights.get(allocation)

    def heard(self) -> None:
        self._speak()

    def changed(self) -> None:
        pass

    @contextmanager
    def launching(self, allocation: str) -> Iterator[None]:
        yield

    def close(self) -> None:
        pass

    def _speak(self) -> None:
        if self.silent:
            raise BackendUnavailable("Slurm is away")


@dataclass
class Site:
    """A backend, its pretended programs, and a clock."""

    folder: Path
    watch: FakeWatch = field(default_factory=FakeWatch)
    clock: SimulatedClock = field(default_factory=SimulatedClock)

    def __post_init__(self) -> None:
        for part in ("bin", "say"):
            (self.folder / part).mkdir()
        for name in ("sbatch", "scancel", "scontrol"):
            program = self.folder / "bin" / name
            program.write_text(PROGRAM.format(folder=self.folder))
            program.chmod(0o755)
        self.conf = self.folder / "slurm.conf"
        self.conf.touch()

    def backend(self, environment: Mapping[str, str] | None = None, **slurm: Any) -> SlurmBackend:
        section = {"commands": str(self.folder / "bin"), "conf": str(self.conf), **slurm}
        profile = ClusterProfile.model_validate({"name": "lab", "backend": "slurm", "slurm": section})
        return SlurmBackend(
            profile,
            state=self.folder / "state",
            environment={**os.environ, **(environment or {})},
            clock=self.clock,
            watch=self.watch,  # type: ignore[arg-type]
        )

    def request(self, number: int = 1, workers: int = 1, **changes: Any) -> LaunchRequest:
        run = JobDirectory.under(self.folder, f"j-{number}").run(f"j-{number}-r1")
        launch = Launch(f"j-{number}", run.run, 1, ("true",), "/", workers, gpus_per_worker=1)
        return LaunchRequest(f"{run.run}.0", run, launch, terms=Terms(workers, workers), **changes)

    def say(self, program: str, script: str) -> None:
        (self.folder / "say" / program).write_text(script)

    def calls(self, program: str = "") -> list[str]:
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in lines if line.startswith(program)]


def lose_the_answer(site: Site, backend: SlurmBackend, request: LaunchRequest) -> None:
    site.say("sbatch", "exit 0")
    with pytest.raises(BackendUnavailable, match="cannot be read"):
        backend.launch(request)
    (site.folder / "say" / "sbatch").unlink()


def array(site: Site) -> LaunchRequest:
    request = site.request(workers=3)
    return replace(request, launch=replace(request.launch, array=True), terms=Terms(1, 3))


def sight(request: LaunchRequest, *, over: bool = False) -> Sight:
    state = "FAILED" if over else "RUNNING"
    return Sight(request.allocation, "77", state, False, over, "batch", 0.0)


def waits(site: Site, request: LaunchRequest, job: str = "101") -> None:
    site.watch.sights[request.allocation] = Sight(
        request.allocation, job, "PENDING", True, False, "batch", 0.0, "normal", "lab"
    )


def claimed(request: LaunchRequest) -> None:
    this = ProcessIdentity.of(os.getpid())
    assert AllocationFiles(request.directory, request.allocation).claim(this)

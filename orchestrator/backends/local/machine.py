"""What this machine has: its GPUs, or its CPU cores where it has none."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestrator.backends.protocol import NodeFacts
from orchestrator.base.errors import LaunchRefused, UsageError
from orchestrator.rundir.launch import Launch
from orchestrator.spec.profile import ClusterProfile, Node


@dataclass(frozen=True)
class Machine:
    """The slots of this machine.

    Attributes:
        kind: what a slot is.
        slots: how many there are.
        devices: the GPU of each slot, as CUDA_VISIBLE_DEVICES names it; empty where a slot is a core.
        name: of its node in the profile.
        gpu_type: as the profile says; empty where it does not.
        cores: beside the slots; 0 where slots are cores.
        memory: bytes; 0: not known.
        rack: as the profile says; empty where it does not.
    """

    kind: Literal["cpu", "gpu"]
    slots: int
    devices: tuple[str, ...] = ()
    name: str = "localhost"
    gpu_type: str = ""
    cores: int = 0
    memory: int = 0
    rack: str = ""

    def facts(self, free: int) -> NodeFacts:
        """This machine as the only node of its cluster."""
        return NodeFacts(
            self.name,
            self.slots,
            free,
            gpu_type=self.gpu_type,
            cpus=self.cores,
            memory=self.memory,
            rack=self.rack,
        )

    def slots_for(self, launch: Launch) -> int:
        """Slots that a launch needs: its GPUs, or its cores; a worker without a GPU still holds one slot.

        Raises:
            LaunchRefused: this machine can never hold it.
        """
        if launch.gpus_per_worker > 0 and self.kind == "cpu":
            raise LaunchRefused(
                f"run {launch.run} asks for {launch.gpus_per_worker} GPUs a worker, and this machine has none",
                hint="set resources.gpus_per_worker to 0, or choose another cluster profile",
            )
        needed = launch.workers * self.slots_of_worker(launch)
        if needed > self.slots:
            raise LaunchRefused(
                f"run {launch.run} needs {needed} {self.kind} slots, and this machine has {self.slots}",
                hint="ask for fewer workers, or choose another cluster profile",
            )
        return needed

    def slots_of_worker(self, launch: Launch) -> int:
        """Slots of each worker."""
        return launch.cpus_per_worker if self.kind == "cpu" else max(1, launch.gpus_per_worker)

    def devices_of(self, slots: tuple[int, ...], launch: Launch) -> tuple[str, ...] | None:
        """The GPUs of some slots; none are shown to workers that asked for none. None where slots are cores."""
        if self.kind == "cpu":
            return None
        return tuple(self.devices[slot] for slot in slots) if launch.gpus_per_worker else ()


def measure(profile: ClusterProfile, environment: Mapping[str, str], list_gpus: Callable[[], list[str]]) -> Machine:
    """This machine as the profile describes it; `auto` is measured.

    Raises:
        UsageError: the profile describes more than one machine.
    """
    if len(profile.nodes) != 1 or profile.nodes[0].count != 1:
        raise UsageError(
            f"profile {profile.name}: the local backend has exactly one node",
            hint="leave one entry in `nodes`, with count 1; `orchestrator simulate` takes any profile",
        )
    node = profile.nodes[0]
    devices = _devices(node, environment, list_gpus)
    cores = len(os.sched_getaffinity(0)) if node.cpus == "auto" else node.cpus
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if node.memory == "auto" else node.memory
    return Machine(
        "gpu" if devices else "cpu",
        len(devices) or cores,
        devices,
        name=node.name,
        gpu_type=node.gpu_type or "",
        cores=cores if devices else 0,
        memory=memory,
        rack=node.rack or "",
    )


def with_numbers(
    profile: ClusterProfile, environment: Mapping[str, str], list_gpus: Callable[[], list[str]]
) -> ClusterProfile:
    """The profile with what was measured in the place of each `auto`; as it is where it has more than one machine."""
    if len(profile.nodes) != 1 or profile.nodes[0].count != 1:
        return profile
    machine = measure(profile, environment, list_gpus)
    gpus, cpus = (machine.slots, machine.cores) if machine.kind == "gpu" else (0, machine.slots)
    node = profile.nodes[0].model_copy(update={"gpus": gpus, "cpus": cpus, "memory": machine.memory})
    return profile.model_copy(update={"nodes": [node]})


def gpus_of_this_machine() -> list[str]:
    """Indices of the GPUs that the driver lists; none where there is no driver."""
    if not any(Path("/dev").glob("nvidia[0-9]*")):
        return []
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return sorted((p.name.removeprefix("nvidia") for p in Path("/dev").glob("nvidia[0-9]*")), key=int)
    return re.findall(r"^GPU (\d+):", listed, flags=re.MULTILINE)


def _devices(node: Node, environment: Mapping[str, str], list_gpus: Callable[[], list[str]]) -> tuple[str, ...]:
    if node.gpus == 0:
        return ()
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    found = list_gpus() if visible is None else [entry.strip() for entry in visible.split(",") if entry.strip()]
    if node.gpus == "auto":
        return tuple(found)
    return tuple(found[: node.gpus]) if found else tuple(str(index) for index in range(node.gpus))

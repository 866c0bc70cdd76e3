"""The parts of a run on a Ray cluster, each in an actor on its node: brought, watched, asked to leave, ended."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from orchestrator.onray.groups import Group
from orchestrator.onray.host import Host, Whereabouts
from orchestrator.rundir.allocations import AllocationFiles
from orchestrator.rundir.control import StopCause
from orchestrator.rundir.grant import Grant
from orchestrator.runtime.logs import say
from orchestrator.runtime.placing import Part

_LEAVE_SECONDS = 5.0
_BY_FORCE_AFTER = 30.0

State = Literal["waiting", "arriving", "running", "gone"]
"""Its group is not there; its actor is on the way; its agent runs; it is over."""


@dataclass
class Hosted:
    """One part.

    Attributes:
        part: which.
        files: of its agent.
        grant: what the agent may use, but for what only its actor knows.
        env: of whatever runs, beside what Ray's processes have there.
        group: where its actor lies; None: on any room of the node, of which it takes none.
        bundle: of the group.
        takes: resources of the bundle that the actor takes.
        node: Ray's identifier of its node.
        owns_group: the group ends with the part.
        state: how far it is.
        why: it is over.
        lost: it ended by itself, and nobody had asked it to leave.
    """

    part: Part
    files: AllocationFiles
    grant: Grant
    env: Mapping[str, str]
    group: Group | None
    bundle: int = 0
    takes: Mapping[str, float] = field(default_factory=dict)
    node: str = ""
    owns_group: bool = True
    state: State = "waiting"
    why: str = ""
    lost: bool = False
    _actor: Any = None
    _answer: Any = None
    _asked_at: float | None = None

    @property
    def leaves(self) -> bool:
        """Whether it was asked to leave."""
        return self._asked_at is not None

    def step(self) -> bool:
        """Do what can be done without waiting; whether it is at another point now."""
        before = self.state
        if self.state == "waiting" and (self.group is None or self.group.is_there()):
            self._send()
        elif self.state in {"arriving", "running"}:
            self._hear()
        if self.leaves and self.state != "gone" and time.monotonic() - (self._asked_at or 0.0) > _BY_FORCE_AFTER:
            self.end("it did not leave")
        return self.state != before

    def ask_to_leave(self, cause: StopCause, grace: float = _LEAVE_SECONDS) -> None:
        """Have its agent end; one that has none is over at once."""
        if self.state in {"waiting", "arriving"}:
            self.end(f"not needed any more: {cause}")
        elif not self.leaves:
            self._asked_at = time.monotonic() + grace
            self.files.request_stop(grace, cause)

    def end(self, why: str) -> None:
        """End it now, and give back what it holds."""
        import ray

        if self.state == "gone":
            return
        self.state, self.why = "gone", why
        say(f"part {self.part.index} on {self.part.node} is over: {why}")
        with contextlib.suppress(Exception):  # the node may be lost, or all of Ray
            if self._actor is not None:
                ray.kill(self._actor)
        with contextlib.suppress(Exception):
            if self.group is not None and self.owns_group:
                self.group.remove()

    def _send(self) -> None:
        """Have its actor started; the first answer tells where it is."""
        import ray

        takes = dict(self.takes)
        actor = ray.remote(Host).options(
            num_cpus=takes.pop("CPU", 0),
            num_gpus=takes.pop("GPU", 0),
            memory=takes.pop("memory", None),
            max_restarts=0,
            scheduling_strategy=self._strategy(),
        )
        self._actor = actor.remote()
        self._answer = self._actor.whereabouts.remote()
        self.state = "arriving"

    def _strategy(self) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, PlacementGroupSchedulingStrategy

        if self.group is None:
            return NodeAffinitySchedulingStrategy(self.node, soft=False)
        return PlacementGroupSchedulingStrategy(self.group.handle, placement_group_bundle_index=self.bundle)

    def _hear(self) -> None:
        import ray

        there, _ = ray.wait([self._answer], timeout=0)
        if not there:
            return
        try:
            answer = ray.get(self._answer)
        except Exception as error:  # Ray's own, of many kinds, and what an actor raised
            self._lose(f"{type(error).__name__}: {error}".splitlines()[0])
            return
        if isinstance(answer, Whereabouts):
            self._run(answer)
        else:
            self._lose(f"its agent ended with {answer}")

    def _lose(self, why: str) -> None:
        self.lost = not self.leaves
        self.end(why)

    def _run(self, where: Whereabouts) -> None:
        grant = granted(self.grant, self.part, where)
        say(f"part {self.part.index} runs on {self.part.node} ({where.address}): {self.part.workers} workers")
        self._answer = self._actor.run.remote(self.files, grant, self.env)
        self.state = "running"


def granted(grant: Grant, part: Part, where: Whereabouts) -> Grant:
    """What an agent may use, with what only its actor knew.

    Args:
        grant: without that.
        part: the agent's.
        where: the actor is.
    """
    return replace(grant, devices=where.gpus, host=where.address, node=part.node)

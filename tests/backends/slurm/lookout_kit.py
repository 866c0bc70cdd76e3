"""A lookout with a scripted Slurm and a clock that stands still."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from orchestrator.backends.protocol import Observation
from orchestrator.backends.slurm.lookout import Lookout
from orchestrator.backends.slurm.states import Asked
from orchestrator.base.errors import BackendUnavailable
from orchestrator.testing.clock import SimulatedClock

A = Asked("a.0", job="1", submitted=1000.0)


@dataclass
class Scene:
    """A lookout, its Slurm and its clock."""

    slurm: Any
    clock: SimulatedClock = field(default_factory=SimulatedClock)

    def __post_init__(self) -> None:
        self.lookout = Lookout(self.slurm, 10.0, self.clock)

    def run(self, seconds: float, *asked: Asked, poll: float = 0.5) -> None:
        """Time goes on while somebody asks and the thread does what is due."""
        end = self.clock.monotonic() + seconds
        while True:
            if asked:
                self.ask(*asked)
            self.work()
            if self.clock.monotonic() + poll > end:
                return
            self.clock.advance(poll)

    def work(self) -> None:
        """What is due now, and what follows from it."""
        while self.lookout.due(self.clock.monotonic()) <= 0:
            self.lookout.step(self.clock.monotonic())

    def ask(self, *asked: Asked) -> dict[str, Observation]:
        try:
            return dict(self.lookout.observe(asked))
        except BackendUnavailable:
            return {}

    def of(self, asked: Asked) -> Observation:
        """After a look that begins now."""
        self.clock.advance(0.001)
        self.lookout.want()
        self.work()
        return self.lookout.observe([asked])[asked.allocation]

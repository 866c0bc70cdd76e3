"""What runs tell of themselves, and which of it says something about a device."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from orchestrator.blueprint.features import Features
from orchestrator.scheduling.estimates.devices import canonical

NO_TRIAL = -1
AMOUNTS = ("samples", "seconds", "evaluated", "evaluation_seconds", "epochs", "epoch_seconds")
"""Fields of a measurement that are amounts, as runs tell them."""
NEWEST = 100
"""Measurements of one device that are looked at: software changes, and so does what a device can do with it."""

LEAST_SECONDS = 0.2
"""What was measured for a shorter time says nothing."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One run, or one trial of a search, at one world size.

    Attributes:
        run: its identifier.
        kind: of its job, such as `regnet` or `regnet search`.
        device: as the work plane names it.
        features: of its steps.
        workers: its world size.
        samples: of its steady steps: the first ones of each view are left out.
        seconds: that these took.
        trial: of a search; else `NO_TRIAL`.
        evaluated: samples that were evaluated.
        evaluation_seconds: that this took.
        epochs: whose ends were measured.
        epoch_seconds: that these took: reports, and what of a checkpoint holds up the training.
        startup: seconds from the launch to the first view; None: not known.
        memory: most bytes that one worker held; None: not known.
        at: seconds since the epoch.
    """

    run: str
    kind: str
    device: str
    features: Features
    workers: int
    samples: float
    seconds: float
    trial: int = NO_TRIAL
    evaluated: float = 0.0
    evaluation_seconds: float = 0.0
    epochs: float = 0.0
    epoch_seconds: float = 0.0
    startup: float | None = None
    memory: float | None = None
    at: float = 0.0

    @property
    def weight(self) -> float:
        """How much it counts: what was watched for a minute counts nearly whole."""
        return self.seconds / (self.seconds + 3.0)

    @property
    def usable(self) -> bool:
        """Whether it says anything about speed."""
        return self.samples > 0 and self.seconds >= LEAST_SECONDS


def same_model(features: Features) -> Features:
    """What two trainings have in common whose passes cost the same."""
    return replace(features, virtual_workers=1, optimizer_slots=0, average=False)


def on_device(measurements: Iterable[Measurement], device: str) -> list[Measurement]:
    """Those of a device, newest first."""
    wanted = canonical(device)
    found = [m for m in measurements if canonical(m.device) == wanted]
    return sorted(found, key=lambda m: (-m.at, m.run, m.trial, m.workers))[:NEWEST]


def groups(measurements: Sequence[Measurement]) -> dict[Features, list[int]]:
    """Places of the measurements of each model."""
    found: dict[Features, list[int]] = {}
    for place, measurement in enumerate(measurements):
        found.setdefault(same_model(measurement.features), []).append(place)
    return found

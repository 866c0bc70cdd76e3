"""How a rank ended, for its durable marker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Ending:
    """What the rank's marker will say."""

    outcome: Literal["succeeded", "failed", "stopped"]
    message: str
    failure_class: str | None = None

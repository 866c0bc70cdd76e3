"""What the tests of whole trainings share: how long they are, and the types of their fixtures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestrator.testing.lab import Lab

STORM = 400
"""Steps of the training `storm`: enough for workers to join it, also on a busy machine; it takes 0.4 s for each."""
BRIEF = 160
"""Steps of the training `brief`: enough to be disturbed in."""

Training = Callable[..., dict[str, Any]]
Undisturbed = Callable[[dict[str, Any]], str]
MakeLab = Callable[[dict[str, Any]], Lab]

"""What the tests of whole trainings share: how long they are, and the types of their fixtures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestrator.testing.lab import Lab

STEPS = 160
"""Of the training `storm`, which several tests disturb, and compare with the same undisturbed one."""

Training = Callable[..., dict[str, Any]]
Undisturbed = Callable[[dict[str, Any]], str]
MakeLab = Callable[[dict[str, Any]], Lab]

"""The audit trail of a run: of every step the hashes of its samples, of the summed gradient and of the parameters.

Files `audit/<writer>/<number>.jsonl` in the run directory, each of some steps, written once. A step that was done again
stands there again, in a later view or run. Several workers write the same, so that a killed one takes no step with it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from orchestrator.base.files import create_exclusive
from orchestrator.rundir.layout import RunDirectory

STEPS_PER_FILE = 200
_SECONDS_PER_FILE = 1.0
_KEPT = 5 * STEPS_PER_FILE


@dataclass(frozen=True)
class StepAudit:
    """One step.

    Attributes:
        step: its number since the start of the training, from 0.
        epoch: of the data.
        world: workers that made it.
        view: the epoch of their view.
        samples: hash of the positions of all slices, with epoch and form.
        gradient: hash of the mean gradient; empty where the step left the parameters as they were.
        parameters: after the step, hash of each parameter and buffer, by name.
    """

    step: int
    epoch: int
    world: int
    view: int
    samples: str
    gradient: str
    parameters: Mapping[str, str] = field(default_factory=dict)


class AuditWriter:
    """Writes one writer's steps.

    Args:
        folder: of the run's audit trail, `audit` in its directory.
        writer: a name that nobody else uses.
        tell: told, once, that steps cannot be written, and how many were lost by that.
    """

    def __init__(self, folder: Path, writer: str, tell: Callable[[str], None] = lambda text: None) -> None:
        self._folder, self._tell = folder / writer, tell
        self._failing, self._lost = False, 0
        self._waiting: list[StepAudit] = []
        self._next = 0
        self._written = float("-inf")

    def add(self, audit: StepAudit) -> None:
        """Take one step; on the disk after `flush`, or with those that follow within about a second."""
        self._waiting.append(audit)
        late = time.monotonic() - self._written > _SECONDS_PER_FILE
        if late or (len(self._waiting) >= STEPS_PER_FILE and not self._failing):
            self.flush()

    def flush(self) -> None:
        """Write what waits; what the disk does not take is kept for the next time, the last thousand steps of it."""
        if not self._waiting:
            return
        self._written = time.monotonic()
        try:
            self._write()
        except OSError as error:
            if not self._failing:
                self._tell(f"the audit trail cannot be written for now: {error}")
            self._failing = True
            self._lost += max(0, len(self._waiting) - _KEPT)
            self._waiting = self._waiting[-_KEPT:]
            return
        self._waiting = []
        if self._failing:
            self._tell(f"the audit trail is written again; {self._lost} steps are missing from it")
        self._failing, self._lost = False, 0

    def _write(self) -> None:
        content = "".join(json.dumps(asdict(audit), sort_keys=True) + "\n" for audit in self._waiting).encode()
        self._folder.mkdir(parents=True, exist_ok=True)
        while not create_exclusive(self._folder / f"{self._next:08d}.jsonl", content):
            self._next += 1
        self._next += 1


def audit_folder(run: RunDirectory) -> Path:
    """Where a run's trail lies."""
    return run.path / "audit"


def read_audit(folder: Path) -> Iterator[StepAudit]:
    """All steps of all writers, each writer's in order."""
    for path in sorted(folder.glob("*/*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield StepAudit(**json.loads(line))

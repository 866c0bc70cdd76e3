"""The trial that both sides run: epochs of sleep with a little computing. It needs neither Ray nor anything of ours."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

_WORK = 20_000
_SAMPLES = 100


@dataclass(frozen=True)
class Toy:
    """What each trial does.

    Attributes:
        folder: where each trial writes when it began and ended.
        seconds: of a trial.
        epochs: of a trial, each of which is reported.
    """

    folder: str
    seconds: float
    epochs: int

    @classmethod
    def of(cls, text: str) -> Toy:
        """As `to_text` wrote it."""
        return cls(**json.loads(text))

    def to_text(self) -> str:
        """For a command line or an environment."""
        return json.dumps(asdict(self))

    def train(self, index: int, report: Callable[[dict[str, float]], None]) -> None:
        """One trial.

        Args:
            index: of the trial, on which its error depends.
            report: told of each epoch.
        """
        began = time.time()
        for epoch in range(1, self.epochs + 1):
            time.sleep(self.seconds / self.epochs)
            noise = sum(math.sin(index + number) for number in range(_WORK)) / _WORK
            error = 0.5 + 0.4 * math.sin(index) / epoch + 0.001 * noise
            if epoch == self.epochs:
                self._write(index, began)
            losses = {"train_loss": error, "val_loss": error, "val_error": error}
            report({"epoch": epoch, "samples": epoch * _SAMPLES} | losses)

    def _write(self, index: int, began: float) -> None:
        Path(self.folder, f"trial-{index}").write_text(f"{began} {time.time()}")

    def spans(self) -> list[tuple[float, float]]:
        """When each trial began and ended."""
        found = (path.read_text().split() for path in Path(self.folder).glob("trial-*"))
        return [(float(began), float(ended)) for began, ended in found]

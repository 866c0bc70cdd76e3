"""What a worker of Ray Train is told, and how it says that it is done; plain values, for they travel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orchestrator.base.files import read_json, write_json
from orchestrator.recipes.ending import Ending
from orchestrator.rundir.layout import RunDirectory

STOP_FILE = "stop"


def meeting_folder(run: RunDirectory) -> Path:
    """Where the driver of a run and its workers meet: `stop` is there when they are to end."""
    return run.path / "raytrain"


@dataclass(frozen=True)
class WorkerTask:
    """What each worker is to do.

    Attributes:
        run: the run's directory.
        token: its fencing token.
        workdir: where the user stood at submit; relative paths mean the same.
        hang_after: a step that takes so many seconds hangs; ten times the median step where that is longer.
    """

    run: str
    token: int
    workdir: str
    hang_after: float

    @property
    def directory(self) -> RunDirectory:
        """The run's directory."""
        return RunDirectory(Path(self.run))

    def config(self) -> dict[str, Any]:
        """As Ray Train carries it."""
        return asdict(self)


def tell_of_failure(run: RunDirectory, number: int, ending: Ending) -> None:
    """A worker failed in a way that no new start mends: the driver ends the run."""
    write_json(meeting_folder(run) / f"failed-{number}.json", asdict(ending))


def failure_told(run: RunDirectory) -> Ending | None:
    """What a worker has said of its failure."""
    for path in sorted(meeting_folder(run).glob("failed-*.json")):
        if (document := read_json(path)) is not None:
            return ending_of(document)
    return None


def ending_of(document: Mapping[str, Any]) -> Ending:
    """How a worker ended, as it told Ray Train by `dataclasses.asdict`."""
    return Ending(document["outcome"], str(document["message"]), document["failure_class"])

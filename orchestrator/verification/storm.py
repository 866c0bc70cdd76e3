"""Scripted storms: what happens to the workers, and at which step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from orchestrator.base.errors import UsageError
from orchestrator.base.files import read_json, write_json

Kind = Literal["resize", "gather", "kill", "hang", "stop", "crash"]
Who = Literal["leader", "last"]

STORM_VARIABLE = "ORCHESTRATOR_STORM"
"""Tells each worker the folder of the storm: its script, and its marks."""
SCRIPT = "storm.json"

_STEPS_AFTER = 6
"""Steps that follow the last thing that happens: what it did wrong shows."""


@dataclass(frozen=True)
class Action:
    """One thing that happens.

    Attributes:
        kind: `resize` asks for `workers`; `gather` waits until there are so many; `kill` and `hang` hit one worker in
            the middle of the step (SIGKILL, SIGSTOP); `stop` pauses the run, `crash` kills all of it, and each of the
            two is followed by another run on `workers`.
        step: before which, or in which.
        workers: see `kind`.
        who: whom a kill or a hang hits.
    """

    kind: Kind
    step: int
    workers: int = 0
    who: Who = "last"

    @property
    def name(self) -> str:
        """For people."""
        match self.kind:
            case "resize":
                return f"resize to {self.workers}"
            case "gather":
                return f"back to {self.workers}"
            case "stop":
                return f"pause, resume on {self.workers}"
            case "crash":
                return f"kill all, resume on {self.workers}"
            case _:
                return f"{self.kind} the {self.who} worker"


@dataclass(frozen=True)
class Storm:
    """What happens in one training.

    Attributes:
        workers: of the first run.
        actions: by rising step.
    """

    workers: int
    actions: tuple[Action, ...] = ()

    @property
    def steps(self) -> int:
        """Of a training that is long enough for it."""
        return _STEPS_AFTER + max((action.step for action in self.actions), default=0)

    def write(self, path: Path) -> None:
        """As JSON."""
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> Storm:
        """The inverse of `write`.

        Raises:
            UsageError: there is none.
        """
        document = read_json(path)
        if document is None:
            raise UsageError(f"{path} holds no storm", hint="it is written by `orchestrator verify elastic`")
        return cls(int(document["workers"]), tuple(_action(entry) for entry in document["actions"]))


def _action(entry: Mapping[str, Any]) -> Action:
    return Action(entry["kind"], int(entry["step"]), int(entry["workers"]), entry["who"])


def usual_storm(most: int) -> Storm:
    """Everything that can happen: shrink, grow, two kills, a hang, a pause, and the loss of all at once.

    Args:
        most: workers that there may be, at least 2.
    """
    few = max(1, most // 2)
    odd = most - 1
    return Storm(
        most,
        (
            Action("resize", 5, few),
            Action("resize", 10, most),
            Action("kill", 15, who="last"),
            Action("gather", 18, most),
            Action("kill", 21, who="leader"),
            Action("gather", 24, most),
            Action("hang", 27, who="last"),
            Action("gather", 30, most),
            Action("stop", 33, odd),
            Action("crash", 38, most),
        ),
    )

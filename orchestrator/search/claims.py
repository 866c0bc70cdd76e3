"""Claims: which worker of an array does what; each is a file that only one can create, and that is never changed.

`<what>.<n>` is the n-th claim; the newest one counts. A claim of a worker that has left or died may be followed by the
next one, and so may one's own. `failures` counts those of the work, a worker's death among them.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from orchestrator.base.errors import Conflict
from orchestrator.base.files import create_exclusive, read_json
from orchestrator.search.lives import Lives


@dataclass(frozen=True)
class Claim:
    """Who does a piece of work.

    Attributes:
        worker: its number.
        failures: how often the work has failed in this run.
        number: of the claims of this work.
    """

    worker: int
    failures: int = 0
    number: int = 0


class Claims:
    """The claims of one run.

    Args:
        folder: where they lie.
        worker: whose they are.
        lives: which workers live.
    """

    def __init__(self, folder: Path, worker: int, lives: Lives) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._worker, self._lives = folder, worker, lives
        self._newest: dict[str, int] = {}

    def current(self, what: str) -> Claim | None:
        """The newest claim; None where nobody has claimed it."""
        number, found = self._newest.get(what, 0), None
        while (document := read_json(self._path(what, number))) is not None:
            found = Claim(int(document["worker"]), int(document["failures"]), number)
            self._newest[what] = number
            number += 1
        return found

    def begun(self) -> set[str]:
        """What anybody has ever claimed: one look at the folder, however much there is to do."""
        with os.scandir(self._folder) as entries:
            return {entry.name.rpartition(".")[0] for entry in entries}

    def take(self, what: str) -> Claim | None:
        """Claim it, where nobody has, or who has is not there any more; None where somebody else does it."""
        held = self.current(what)
        if held is None:
            return self._create(what, Claim(self._worker))
        if held.worker == self._worker:
            return held
        if self._lives.lives(held.worker):
            return None
        failures = held.failures if self._lives.gone(held.worker) else held.failures + 1
        return self._create(what, Claim(self._worker, failures, held.number + 1))

    def failed(self, what: str, held: Claim) -> Claim:
        """The work failed, and this worker tries it again.

        Raises:
            Conflict: another worker has taken it over.
        """
        again = self._create(what, Claim(self._worker, held.failures + 1, held.number + 1))
        if again is None:
            raise _lost(what)
        return again

    def hold(self, what: str, held: Claim) -> None:
        """Make sure that a claim still stands; called before what another worker could also write.

        Raises:
            Conflict: another worker has taken it over.
        """
        if self.current(what) != held:
            raise _lost(what)

    def _create(self, what: str, claim: Claim) -> Claim | None:
        content = json.dumps(asdict(claim)).encode()
        return claim if create_exclusive(self._path(what, claim.number), content) else None

    def _path(self, what: str, number: int) -> Path:
        return self._folder / f"{what}.{number}"


def _lost(what: str) -> Conflict:
    return Conflict(
        f"{what} was taken over by another worker of the array",
        hint="this one was silent for too long, and its work is done elsewhere",
    )

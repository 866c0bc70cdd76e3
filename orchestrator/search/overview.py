"""What a worker of an array knows of all trials: their records, which it reads again until they are over."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from orchestrator.search.ledger import Progress
from orchestrator.search.records import TrialRecord, TrialRecords
from orchestrator.search.trial import read_samples

_ENDED = frozenset({"succeeded", "stopped", "failed"})


class Overview:
    """All trials of a run.

    Args:
        trials: as the run found them.
        records: where they are kept.
    """

    def __init__(self, trials: Iterable[TrialRecord], records: TrialRecords) -> None:
        self._trials = {trial.index: trial for trial in trials}
        self._records = records
        self._left = {index: None for index, trial in self._trials.items() if trial.state not in _ENDED}

    @property
    def trials(self) -> tuple[TrialRecord, ...]:
        """All trials, by index, as last seen."""
        return tuple(self._trials.values())

    @property
    def left(self) -> tuple[int, ...]:
        """Those that had not ended when they were last looked at."""
        return tuple(self._left)

    def look(self, index: int) -> TrialRecord:
        """One trial as it is now."""
        self._trials[index] = record = self._records.load_one(index)
        if record.state in _ENDED:
            self._left.pop(index, None)
        return record

    def over(self, index: int) -> bool:
        """Whether one had ended when it was last looked at."""
        return index not in self._left

    def tell(
        self, progress: Progress, claimed: Callable[[int], bool], folders: Iterable[Path], *, force: bool = False
    ) -> None:
        """Look at all trials that may have moved, and say how far the search is.

        Args:
            progress: says it.
            claimed: whether a trial has been begun.
            folders: where workers and their trials meet.
            force: say it now.
        """
        for index in [index for index in self._left if claimed(index)]:
            self.look(index)
        meetings = list(folders)
        running = [trial.index for trial in self._trials.values() if trial.state == "running"]
        live = {index: max((read_samples(folder, index) for folder in meetings), default=0) for index in running}
        progress.tell(self._trials.values(), live, force=force)

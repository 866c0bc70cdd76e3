"""What Slurm is told of jobs that it has: cancel, hold, release, move in the queue."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.backends.slurm.commands import Answer, Slurm
from orchestrator.backends.slurm.refusals import remedy_of
from orchestrator.backends.slurm.request import Lane, Place
from orchestrator.base.errors import BackendUnavailable

_LOG = logging.getLogger(__name__)

_GONE = (
    "invalid job id",
    "already completing",
    "already completed",
    "no longer pending",
    "job has already finished",
    "no active jobs match",
)


class Orders:
    """Tells Slurm.

    Args:
        slurm: its programs.
    """

    def __init__(self, slurm: Slurm) -> None:
        self._slurm = slurm

    def cancel(self, allocation: str, job: str, *options: str) -> None:
        """End a job, by its name and, where that is known, its number; harmless where it is over.

        Numbers come round: by itself one may be that of somebody else's job by now.

        Raises:
            BackendUnavailable: Slurm does not do it.
        """
        which = (f"--name={allocation}", job or f"--user={os.getuid()}")
        answer = self._slurm.call("scancel", *options, *which)
        if answer.code != 0 and not _is_gone(answer):
            raise BackendUnavailable(
                f"scancel ended with {answer.code}: {answer.words}",
                hint=f"run it by hand on the server's machine: scancel {' '.join((*options, *which))}",
            )

    def move(self, allocation: str, job: str, old: Lane, new: Lane, own: Place) -> tuple[Lane, str]:
        """Bring a pending job to another place in the queue, as far as Slurm lets us.

        Args:
            allocation: `<run>.<n>`.
            job: Slurm's number.
            old: where it stands.
            new: where it shall stand.
            own: where it stands of itself: what it goes back to where `new` names nothing.

        Returns:
            Where it is then, nowhere new where it runs already, or is over; and what Slurm does not let us change.

        Raises:
            BackendUnavailable: Slurm does not answer.
        """
        lane = old
        new, unknown = _reachable(old, new, own)
        change = f"scontrol update JobId={job}"
        refused = [
            f"it keeps its {what}: which one Slurm would give it was never seen; to change it: {change}"
            for what in unknown
        ]
        for step in _steps(old, new, job, own):
            answer = self._slurm.call(*step.command)
            if answer.code != 0 and _is_gone(answer):
                break
            if answer.code == 0 or step.is_release:  # a hold that we cannot end is not ours
                lane = replace(lane, **step.reaches)
            if answer.code != 0:
                refused.append(step.refused(answer.words))
        for words in refused:
            _LOG.warning("%s: %s", allocation, words)
        return lane, "; ".join(refused)


def _is_gone(answer: Answer) -> bool:
    """Whether it complains only that the job is over, or has begun."""
    return any(words in answer.err.lower() for words in _GONE)


def _reachable(old: Lane, new: Lane, own: Place) -> tuple[Lane, list[str]]:
    """Slurm has no word for its own choice, so where that is not known, what the job has stays; with what stays."""
    partition = new.partition or (None if own.partition else old.partition)
    account = new.account or (None if own.account else old.account)
    qos = new.qos or (None if own.qos else old.qos)
    stays = {"partition": partition != new.partition, "account": account != new.account, "QOS": qos != new.qos}
    return replace(new, partition=partition, account=account, qos=qos), [name for name, kept in stays.items() if kept]


@dataclass(frozen=True)
class _Step:
    """One command, and what of the job's place it changes. Each is told by itself: what one may not, others may."""

    command: tuple[str, ...]
    what: str
    reaches: Mapping[str, Any]

    @property
    def is_release(self) -> bool:
        """Whether it ends a hold."""
        return self.command[1] == "release"

    def refused(self, words: str) -> str:
        """What is told where Slurm does not do it."""
        denied = "permission denied" in words.lower()
        hint = f"only its administrators may: {' '.join(self.command)}" if denied else remedy_of(words)
        return f"Slurm {self.what}: {words}" + (f"; {hint}" if hint else "")


def _steps(old: Lane, new: Lane, job: str, own: Place) -> Iterator[_Step]:
    """What brings a job from one place to another, in order."""
    if new.held and not old.held:
        yield _Step(("scontrol", "uhold", job), "does not hold it", {"held": True})
    update = ("scontrol", "update", f"JobId={job}")
    places = [
        f"{name}={value}"
        for name, value, before in (
            ("Partition", new.partition or own.partition, old.partition or own.partition),
            ("Account", new.account or own.account, old.account or own.account),
            ("QOS", new.qos or own.qos, old.qos or own.qos),
        )
        if value != before
    ]
    if places:
        reaches = {"partition": new.partition, "account": new.account, "qos": new.qos}
        yield _Step((*update, *places), "leaves it where it stands", reaches)
    if new.nice != old.nice:
        yield _Step((*update, f"Nice={new.nice}"), "leaves its priority as it was", {"nice": new.nice})
    if old.held and not new.held:
        yield _Step(("scontrol", "release", job), "does not release it", {"held": False})

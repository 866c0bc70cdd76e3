"""Pure judgements: who hangs or is overdue, whether a part of a partition may go on, who is in the next view."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from statistics import median

from orchestrator.rundir.membership import View
from orchestrator.runtime.membership.events import Policy
from orchestrator.runtime.membership.roster import Fate, Worker

_TIMES_THE_MEDIAN = 10.0
_IDLE_SECONDS = 600.0
"""What has no deadline of its own (evaluating, loading a checkpoint, compiling) may take so long, or `hang_after`."""
_GONE: frozenset[Fate] = frozenset({"lost", "left", "succeeded", "stopped"})


def step_deadline(hang_after: float, step_seconds: Sequence[float]) -> float:
    """Seconds after which a step hangs."""
    return max(hang_after, _TIMES_THE_MEDIAN * median(step_seconds)) if step_seconds else hang_after


def hung(members: Sequence[Worker], time: float, deadline: float) -> tuple[int, ...] | None:
    """Who holds up the others.

    Args:
        members: the live members of a view.
        time: now.
        deadline: seconds that a step may take.

    Returns:
        The numbers of those that others wait for, none where nobody hangs. None: all stand still, and nothing tells
        who is to blame.
    """
    patience = {"idle": max(_IDLE_SECONDS, deadline)}
    stalled = [worker for worker in members if time - worker.moved > patience.get(worker.phase, deadline)]
    if any(worker.phase == "idle" and worker not in stalled for worker in members):
        return ()  # others may wait for that
    busy = [worker.number for worker in stalled if worker.phase != "collective"]
    if busy and any(worker.phase == "collective" for worker in members):
        return tuple(busy)
    return None if stalled and len(stalled) == len(members) else ()


def may_go_on(view: View, present: Sequence[int], fates: Mapping[int, Fate]) -> bool:
    """Whether those present may make the view that follows: in a partition only one part may.

    They may where they are more than half of the members of the view that are not known to have ended, or half of
    them with the first.
    """
    voters = [number for number in view.numbers if fates.get(number) not in _GONE]
    here = [number for number in voters if number in present]
    if 2 * len(here) == len(voters):
        return not voters or voters[0] in here
    return 2 * len(here) > len(voters)


def choose(
    members: Sequence[Worker], ready: Sequence[Worker], crowded: set[int], places: int, elsewhere: Collection[int] = ()
) -> tuple[list[Worker], list[Worker]]:
    """Who stays and who joins: present members before new ones, low numbers before high ones.

    Who lies elsewhere than wanted stays while nobody is ready in their place, and does not join.

    Args:
        members: live members of the view before.
        ready: warm workers in no view.
        crowded: numbers for which there is no room any more.
        places: most members of the next view.
        elsewhere: numbers of workers that do not lie where the run shall.
    """
    able = [worker for worker in members if worker.number not in crowded]
    stay = [worker for worker in able if worker.number not in elsewhere][:places]
    fit = [worker for worker in ready if worker.number not in crowded and worker.number not in elsewhere]
    join = fit[: places - len(stay)]
    yet = [worker for worker in able if worker.number in elsewhere][: places - len(stay) - len(join)]
    return [*stay, *yet], join


def overdue(worker: Worker, policy: Policy, time: float) -> str:
    """Why a worker is given up now; empty where it is not."""
    if worker.standing == "ended":
        return ""
    if worker.cut is not None and time - worker.cut > policy.cut_within:
        return "lost its connection"
    if worker.standing == "warming" and time - worker.since > policy.warm_within:
        return f"was not ready within {policy.warm_within:g} s"
    if worker.standing == "leaving" and time - worker.since > policy.leave_within:
        return f"did not leave within {policy.leave_within:g} s"
    if worker.standing in {"ready", "member"} and time - worker.heard > policy.lost_after:
        return f"was silent for {policy.lost_after:g} s"
    return ""

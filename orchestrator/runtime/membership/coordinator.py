"""The coordinator of a run as a pure class: told what happened, it answers what is to be done. No clock, no I/O.

First what was told is noted (`_note`), then rules are applied to what is known (`_decide`): whatever the order of
events, the same facts lead to the same instructions.

- A view holds ready workers only, at most as many as wanted. Present members stay before new ones; the highest leave.
- A planned view (resize, joiners) follows when all members have taken the view before and its leavers are gone. A lost
  member is followed by a view at once.
- The first view waits for a stated time: for all wanted workers, or those that the run was launched with. Below the
  minimum the run waits for replacements, which are bounded, and ends as `infrastructure` after a stated time, or as
  soon as no place for them is left and no agent will bring one.
- Allocations that are told to go leave by a planned view. Where fewer than the minimum would stay, or the time of the
  run is over, all workers stop.
- After a partition only the greater part goes on (`judgement.may_go_on`), the other stands down.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from orchestrator.rundir.allocations import TAKEN
from orchestrator.rundir.membership import View
from orchestrator.runtime.membership import events as e
from orchestrator.runtime.membership.ending import Losses, judge_end
from orchestrator.runtime.membership.judgement import choose, hung, may_go_on, overdue, step_deadline
from orchestrator.runtime.membership.roster import Roster, Standing, Worker
from orchestrator.runtime.membership.timing import CountedTime, StepTimes

_ABLE: tuple[Standing, ...] = ("member", "ready")
_MOST_BREAKS = 3
"""Groups in a row that may break without a step between them and without anybody's death."""


class Coordinator:
    """Makes the views of one run, and has workers started and ended.

    Args:
        policy: the run's rules.
        last: the newest view that a coordinator before this one made; None at the start of a run.
    """

    def __init__(self, policy: e.Policy, *, last: View | None = None) -> None:
        self._policy = policy
        self._wanted = policy.wanted
        self._wish_is_new = False
        self._roster = Roster(last)
        self._time = CountedTime()
        self._steps = StepTimes()
        self._losses = Losses(policy.replacements)
        self._lost_agent = False
        self._stopping = False
        self._said_stop = False
        self._finishing = False
        self._over = False
        self._since: dict[str, float] = {}
        self._breaks = 0
        self._broke_at_step = -1

    @property
    def view(self) -> View | None:
        """The newest view."""
        return self._roster.view

    def handle(self, event: e.Event, now: float) -> tuple[e.Instruction, ...]:
        """Note one event and say what is to be done.

        Args:
            event: what happened.
            now: monotonic seconds.
        """
        self._time.advance(now)
        if self._over:
            return ()
        return (*self._note(event), *self._decide())

    def _note(self, event: e.Event) -> Iterable[e.Instruction]:
        roster, time = self._roster, self._time.seconds
        match event:
            case e.AgentJoined():
                return [e.EndWorker(number, "was given up") for number in roster.join(event, time)]
            case e.AgentRoom() if event.agent in roster.agents:
                roster.resize(event.agent, event.room)
            case e.AgentLeaves() if event.agent in roster.agents:
                roster.goes(event)
            case e.AgentGone():
                self._lose_agent(event)
            case e.WorkerStarted():
                roster.meet(event.number, time)
            case e.WorkerRuns():
                roster.runs(event.number, time)
            case e.WorkerReady():
                roster.ready(event.member, time)
            case e.WorkerBeat():
                self._note_beat(event)
            case e.WorkerBroken() if roster.view is not None and event.epoch == roster.view.epoch:
                self._since.setdefault("broken", time)
            case e.WorkerCut():
                roster.cut(event.number, time)
            case e.WorkerGone():
                self._lose(event.number, event.why, event.failure_class, certain=True)
            case e.WorkerDone():
                return self._note_done(event)
            case e.Wanted():
                self._want(event)
            case e.Stopping():
                self._stopping = True
        return ()

    def _want(self, wish: e.Wanted) -> None:
        wanted = min(max(wish.workers, self._policy.minimum), self._policy.maximum)
        placed, self._roster.placement = self._roster.placement, wish.placement
        if wanted != self._wanted or placed not in {None, wish.placement}:
            self._wanted, self._wish_is_new = wanted, True
            self._losses.forgive(len(self._roster.standing(*_ABLE, "warming")))

    def _note_beat(self, event: e.WorkerBeat) -> None:
        self._roster.beat(event, self._time.seconds)
        leader = next(iter(self._roster.standing("member")), None)
        if leader is not None and leader.number == event.number:
            self._steps.note(event, self._time.seconds)

    def _note_done(self, event: e.WorkerDone) -> Iterable[e.Instruction]:
        """A marker: of one that was told to go, of one whose work is done, or of one that cannot do it."""
        roster, number, outcome = self._roster, event.number, event.outcome
        known = roster.workers.get(number)
        if roster.fates.get(number) not in {None, "missing"} or not (known or number in roster.awaited):
            return ()
        standing = "member" if known is None else known.standing
        if outcome in {"succeeded", "stopped"} and (standing in {"member", "ended"} or roster.view is None):
            roster.remove(number, "succeeded" if outcome == "succeeded" else "stopped")
            self._finishing = True
        elif standing == "leaving":
            roster.remove(number, "left")
        elif outcome == "failed" and (standing == "member" or roster.view is None):
            self._over = True
            return [e.EndRun("failed", event.message, event.failure_class or "application")]
        elif outcome == "succeeded":
            roster.remove(number, "succeeded")
            self._finishing = True
        else:
            self._lose(number, event.message, event.failure_class or "infrastructure", certain=True)
        return ()

    def _lose_agent(self, event: e.AgentGone) -> None:
        self._lost_agent = True
        self._roster.drop(event.agent)
        for number in self._roster.numbers_of(event.agent):
            self._lose(number, f"agent {event.agent} is gone", "infrastructure", certain=event.certain)
            self._roster.remove(number, "lost" if event.certain else "missing")

    def _lose(self, number: int, why: str, failure_class: str, *, certain: bool) -> None:
        """A worker died, or is given up; one that was told to go, or given up before, is no new loss."""
        roster = self._roster
        known = roster.workers.get(number)
        if number in roster.awaited or (known is not None and known.standing in {"warming", "ready", "member"}):
            self._losses.note(f"worker {number}: {why}", failure_class)
        if certain:
            left = known is not None and known.standing == "leaving"
            if known is not None or number in roster.awaited or roster.fates.get(number) == "missing":
                roster.remove(number, "left" if left else "lost")
        elif known is not None:
            roster.give_up(number, self._time.seconds)

    def _decide(self) -> Iterator[e.Instruction]:
        if self._over:
            return
        yield from self._time_out()
        if self._settling():
            return
        end = self._stand_down() or self._end()
        if end is not None:
            self._over = True
            yield end
        elif "parted" not in self._since:
            yield from self._stop()
            yield from self._publish()
            yield from self._staff()

    def _time_out(self) -> Iterator[e.Instruction]:
        """Give up those who were silent, cut off, too slow to start or to leave, or who hold up the others."""
        culprits = () if self._stopping else self._culprits()
        for worker in list(self._roster.workers.values()):
            why = (
                "held up the others" if worker.number in culprits else overdue(worker, self._policy, self._time.seconds)
            )
            if why:
                self._lose(worker.number, why, "infrastructure", certain=False)
                yield e.EndWorker(worker.number, why)

    def _settling(self) -> bool:
        """Whether a coordinator that took over still waits to hear of members of the view before."""
        if not self._roster.awaited:
            return False
        if not self._has_lasted("settling", self._policy.settle_within):
            return True
        for number in sorted(self._roster.awaited):
            self._lose(number, "was not heard of again", "infrastructure", certain=False)
            self._roster.remove(number, "missing")
        return False

    def _stand_down(self) -> e.StandDown | None:
        """In the smaller part of a partition: wait whether the missing are only dead, then give up."""
        view, fates = self._roster.view, self._roster.fates
        if view is None:
            return None
        present = [worker.number for worker in self._roster.standing("member", "leaving")]
        parted = bool(self._dead()) and not may_go_on(view, present, fates)
        if not self._has_lasted("parted", self._policy.settle_within, parted):
            return None
        return e.StandDown(f"only {len(present)} of the {len(view.members)} members of the last view are here")

    def _end(self) -> e.EndRun | None:
        """The end of the run, where it is over or cannot go on."""
        roster, policy = self._roster, self._policy
        end = judge_end(roster, self._losses, stopping=self._stopping, finishing=self._finishing)
        if end is not None or self._winding_down:
            return end
        able, coming = len(roster.standing(*_ABLE)), len(roster.standing(*_ABLE, "warming"))
        waited = self._has_lasted("few", policy.minimum_within, able < policy.minimum)
        stranded = self._has_lasted("stranded", policy.lost_after + policy.settle_within, self._is_stranded())
        if waited or stranded or (coming < policy.minimum and not self._losses.may_start(coming)):
            return e.EndRun("failed", self._too_few(able), self._losses.failure_class)
        if self._breaks > _MOST_BREAKS:
            return e.EndRun("failed", "the workers cannot reach each other, and none of them is dead", "infrastructure")
        if self._hung() is None and not self._dead():
            return e.EndRun(
                "failed", "no worker moves any more, and nothing tells which one is to blame", "infrastructure"
            )
        return None

    def _is_stranded(self) -> bool:
        """Whether agents are lost, those that are left have no room for enough workers, and no others will come."""
        above, was_whole = self._policy.joined_above, self._lost_agent or self._roster.view is not None
        room = sum(agent.room for agent in self._roster.agents.values())
        return was_whole and room < self._policy.minimum and (above is None or self._wanted <= above)

    def _stop(self) -> Iterator[e.StopWorkers]:
        """Have all workers stop where too few would stay without the agents that were told to go."""
        if self._said_stop or self._finishing or not self._too_few_stay():
            return
        self._said_stop = self._stopping = True
        going = list(self._roster.going.values())
        cause = "time_limit" if self._out_of_time() else going[-1].cause
        yield e.StopWorkers(cause, min(word.grace_seconds for word in going))

    def _out_of_time(self) -> bool:
        """Whether an agent goes because the run's own time is over; others have no more of it."""
        return any(word.cause == "time_limit" for word in self._roster.going.values())

    def _too_few_stay(self) -> bool:
        roster, minimum = self._roster, self._policy.minimum
        if not roster.going or self._out_of_time():
            return bool(roster.going)
        members = roster.standing("member")
        if any(e.agent_of(worker.number) not in roster.agents for worker in members):
            return False  # agents that a new coordinator has not heard yet have room as well
        if sum(agent.room for agent in roster.agents.values()) < minimum:
            return True
        if not any(e.agent_of(worker.number) in roster.going for worker in members):
            return False
        stay, join = self._choose(members)
        return len(stay) + len(join) < minimum

    def _too_few(self, able: int) -> str:
        last = f"; {self._losses.last}" if self._losses.last else ""
        return f"{able} workers are left, at least {self._policy.minimum} are needed, and no others come{last}"

    def _hung(self) -> tuple[int, ...] | None:
        deadline = step_deadline(self._policy.hang_after, self._steps.seconds)
        members, behind = self._roster.standing("member"), self._behind()
        if behind:  # whoever has taken the view waits for them there, whatever else it says
            members = [w if w.number in behind else replace(w, phase="collective") for w in members]
        return hung(members, self._time.seconds, deadline)

    def _behind(self) -> set[int]:
        """Members that have not taken the view yet."""
        epoch = 0 if self._roster.view is None else self._roster.view.epoch
        return {worker.number for worker in self._roster.standing("member") if worker.epoch < epoch}

    def _culprits(self) -> tuple[int, ...]:
        culprits = self._hung()
        if culprits is None and self._finishing:  # the others have done their work, these are not waited for
            return tuple(worker.number for worker in self._roster.standing("member"))
        return culprits or ()

    def _dead(self) -> list[int]:
        """Members of the view that are lost."""
        roster = self._roster
        numbers = () if roster.view is None else roster.view.numbers
        return [number for number in numbers if roster.fates.get(number) in {"lost", "missing"}]

    def _publish(self) -> Iterator[e.Publish]:
        roster, view = self._roster, self._roster.view
        stay, join = self._choose(roster.standing("member"))
        dead = self._dead()
        if len(stay) + len(join) < (1 if self._winding_down else self._policy.minimum):
            return
        if view is None:
            if self._may_begin(len(join)):
                yield self._next_view([], join, "start")
        elif dead or (self._is_broken() and not self._behind()):
            yield self._next_view(stay, join, "lost" if dead else "broken")
        elif self._may_change(stay, join):
            yield self._next_view(stay, join, self._why(join))

    def _choose(self, members: Sequence[Worker]) -> tuple[list[Worker], list[Worker]]:
        return choose(members, self._joiners(), self._roster.crowded(), self._wanted, self._roster.elsewhere())

    def _why(self, join: list[Worker]) -> str:
        """Of a planned view."""
        if join or self._wish_is_new or not self._roster.going:
            return "joined" if join and not self._wish_is_new else "resize"
        return "taken" if any(word.cause == TAKEN for word in self._roster.going.values()) else "left"

    def _is_broken(self) -> bool:
        return self._has_lasted("broken", self._policy.broken_within, "broken" in self._since)

    def _joiners(self) -> list[Worker]:
        return [] if self._winding_down else self._roster.standing("ready")

    def _may_begin(self, ready: int) -> bool:
        waited = self._has_lasted("beginning", self._policy.start_within, ready > 0)
        first = self._wanted if self._policy.first is None else min(self._policy.first, self._wanted)
        return not self._winding_down and (ready >= first or waited)

    def _may_change(self, stay: list[Worker], join: list[Worker]) -> bool:
        """Whether a planned view may follow now: nobody is still on the way into or out of the view before."""
        roster, view = self._roster, self._roster.view
        members = roster.standing("member")
        if view is None or self._winding_down or (not join and len(stay) == len(members)):
            return False
        if self._behind() or any(worker.number in view.leaving for worker in roster.standing("leaving")):
            return False
        alone = not roster.standing("warming")
        waited = self._has_lasted("joining", self._policy.join_within, bool(join))
        settled = [worker for worker in stay if worker.number not in roster.elsewhere()]
        return not join or alone or waited or len(settled) + len(join) >= self._wanted

    def _next_view(self, stay: list[Worker], join: list[Worker], cause: str) -> e.Publish:
        roster, view, time = self._roster, self._roster.view, self._time.seconds
        numbers = sorted(worker.number for worker in (*stay, *join))
        lost = self._dead()
        roster.stand([w.number for w in roster.standing("member") if w.number not in numbers], "leaving", time)
        roster.stand(numbers, "member", time)
        leaving = [w.number for w in roster.standing("leaving") if view and w.number in {*view.numbers, *view.leaving}]
        members = tuple(m for n in numbers if (m := roster.workers[n].member) is not None)
        following = View((view.epoch if view else 0) + 1, members, tuple(leaving), tuple(lost), cause)
        roster.set_out(following, time)
        self._count_breaks(cause)
        self._wish_is_new = False
        for wait in ("broken", "joining", "beginning"):
            self._since.pop(wait, None)
        return e.Publish(following)

    def _count_breaks(self, cause: str) -> None:
        step = max((worker.step for worker in self._roster.standing("member")), default=0)
        again = cause == "broken" and step <= self._broke_at_step
        self._breaks = self._breaks + 1 if again else int(cause == "broken")
        self._broke_at_step = step

    def _staff(self) -> Iterator[e.Instruction]:
        """Have workers started where there are too few, released where there are too many."""
        roster, time = self._roster, self._time.seconds
        if self._winding_down:
            yield from [self._dismiss(worker) for worker in roster.standing("ready")]
            return
        crowded = roster.crowded() | roster.elsewhere()
        members = [w for w in roster.standing("member") if w.number not in crowded]
        others = [*roster.standing("ready"), *roster.standing("warming")]
        places = max(0, self._wanted - len(members))
        keep = [worker for worker in others if worker.number not in crowded][:places]
        for worker in others:
            if worker not in keep:
                yield self._dismiss(worker)
        self._losses.see(len(members) + len(keep))
        for there in range(len(members) + len(keep), self._wanted):
            agent = roster.free_agent()
            if agent is None or not self._losses.may_start(there):
                return
            self._losses.start(there)
            yield e.StartWorker(roster.start(agent, time))

    def _dismiss(self, worker: Worker) -> e.Instruction:
        """Send one away that is in no view: a warm one goes by itself, the others have nothing to lose."""
        self._roster.stand([worker.number], "leaving", self._time.seconds)
        if worker.standing == "ready":
            return e.ReleaseWorker(worker.number)
        return e.EndWorker(worker.number, "is not wanted any more")

    @property
    def _winding_down(self) -> bool:
        return self._stopping or self._finishing

    def _has_lasted(self, what: str, seconds: float, holds: bool = True) -> bool:
        """Whether something has held for longer than so many seconds, by what was seen of it at each event."""
        if not holds:
            self._since.pop(what, None)
            return False
        return self._time.seconds - self._since.setdefault(what, self._time.seconds) >= seconds

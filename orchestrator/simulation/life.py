"""The simulator's book about one job, from its arrival to its end: what it holds, has done, and has lost."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.scheduling.cluster import Placement, workers_of
from orchestrator.scheduling.jobs import Job, Running
from orchestrator.simulation.outcomes import Outcome
from orchestrator.simulation.truth import Ending, TrueJob


class Life:
    """One job in the system. All times are seconds, all work is seconds at `workers_max`.

    It is changed in place: a simulation has hundreds of thousands of them, and makes a million changes.
    `ends` is how its work ends, `ending` how its run does when nothing happens before.
    """

    __slots__ = (
        "arrival_area",
        "attained",
        "charged",
        "counted",
        "ending",
        "ends",
        "failures",
        "job",
        "lost",
        "mark",
        "paused",
        "pinned",
        "placement",
        "resized",
        "resizes",
        "runs",
        "saved",
        "since",
        "slots",
        "speed",
        "spent",
        "started",
        "ticket",
        "total",
        "worked",
    )

    def __init__(self, truth: TrueJob, area: float) -> None:
        job = truth.job
        self.job = job
        self.total = truth.duration
        self.ends: Ending = truth.ends
        self.ending: Ending = truth.ends
        self.arrival_area = area
        self.worked = self.saved = job.worked
        self.attained = job.attained
        self.lost = self.charged = self.spent = self.paused = 0.0
        self.runs = self.resizes = self.failures = 0
        self.started = self.since = self.counted = self.resized = self.mark = 0.0
        self.placement: Placement = ()
        self.slots = 0
        self.speed = 0.0
        self.ticket = 0
        self.pinned = False

    @property
    def came_back(self) -> bool:
        """Whether a run of it ended before its work did."""
        return self.runs > 0 or self.job.preemptions > 0 or self.job.failures > 0

    def begin(self, now: float, placement: Placement, charge: float) -> None:
        """A run begins; it makes no progress for `charge` seconds."""
        if not self.runs:
            self.started = now
        self.runs += 1
        self.since = self.resized = self.mark = now
        self.counted = now + charge
        self.paused = charge
        self.saved, self.spent = self.worked, 0.0
        self._lie(placement)

    def adopt(self, running: Running, now: float) -> None:
        """It runs already; its history before `now` is that of the record."""
        self.begin(running.since, running.placement, 0.0)
        self.worked, self.attained = running.worked(now), running.attained(now)
        self.counted, self.resized, self.mark = max(running.counted, now), running.resized, now
        self.saved = self.worked if running.saved is None else running.saved
        self.pinned = running.pinned

    def resize(self, now: float, placement: Placement, charge: float) -> None:
        """It goes on with another width, without progress for `charge` seconds."""
        self.advance(now)
        before = max(self.counted, now)
        self.counted = max(before, now + charge)
        self.paused += self.counted - before
        self.resized = now
        self.resizes += 1
        self._lie(placement)

    def advance(self, now: float) -> None:
        """Book what it held and did since it was last looked at."""
        held = now - self.mark
        if held <= 0:
            return
        worked = min(held, max(0.0, now - self.counted))
        self.attained += held * self.slots
        self.charged += (held - worked) * self.slots
        self.spent += worked * self.slots
        self.worked += worked * self.speed
        self.mark = now

    def charged_until(self, now: float) -> float:
        """Slot-seconds that it held without progress; changes nothing."""
        held = now - self.mark
        return self.charged + (held - min(held, max(0.0, now - self.counted))) * self.slots

    def save(self, now: float) -> None:
        """A checkpoint."""
        self.advance(now)
        self.saved, self.spent = self.worked, 0.0

    def lose(self) -> None:
        """Fall back to the last checkpoint."""
        self.worked = self.saved
        self.lost += self.spent
        self.spent = 0.0

    def leave(self, now: float, *, preempted: bool) -> Job:
        """The run is over before the work is: the job as it waits from now on."""
        self.placement, self.slots, self.speed, self.pinned = (), 0, 0.0, False
        if not preempted:
            self.failures += 1
        self.job = replace(
            self.job,
            worked=self.worked,
            attained=self.attained,
            preemptions=self.job.preemptions + preempted,
            failures=self.job.failures + (not preempted),
            waits_since=now,
            claim=None,
            releasing=False,
        )
        return self.job

    def end(self, now: float) -> tuple[float, Ending]:
        """When its run ends if nothing happens before, and how; its time limit does not count what it is charged."""
        done = max(self.counted, now) + max(0.0, self.total - self.worked) / self.speed
        limit = self.job.max_time if self.job.limit is None else self.job.limit
        if limit is not None:
            latest = self.since + self.paused + limit
            if latest < done:
                return max(latest, now), "killed"
        return done, self.ends

    def running(self, now: float, *, checkpoints: bool) -> Running:
        """As the scheduler is told; where a preemption loses nothing, checkpoints are nothing to it."""
        ahead = max(0.0, self.counted - now)
        job = replace(self.job, worked=self.worked, attained=self.attained + ahead * self.slots, claim=None)
        saved = self.saved if checkpoints else None
        return Running(job, self.placement, self.since, now + ahead, self.resized, saved, pinned=self.pinned)

    def outcome(self, now: float, area: float) -> Outcome:
        """What became of it; `area` is the integral over time of the number of jobs in the system."""
        job, ends = self.job, self.ending
        stay = now - job.submitted
        return Outcome(
            job.id,
            job.team,
            job.submitted,
            self.started,
            now,
            min(self.total, self.worked) if ends == "killed" else self.total,
            job.demand.workers_max * job.demand.slots,
            ends,
            max(1.0, (area - self.arrival_area) / stay) if stay > 0 else 1.0,
            self.attained,
            self.lost,
            self.charged,
            job.preemptions,
            self.resizes,
            self.failures,
        )

    def _lie(self, placement: Placement) -> None:
        job = self.job
        workers = workers_of(placement)
        self.placement = placement
        self.slots = workers * job.demand.slots
        self.speed = 1.0 if workers == job.demand.workers_max else job.speed(workers)

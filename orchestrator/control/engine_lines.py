"""Jobs as lines of the queue, where the engine has a queue of its own; and how teams stand there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.control.demands import demand_of
from orchestrator.control.engine_look import EngineLook, Handed
from orchestrator.control.engine_runs import end_of, running_of, short_of
from orchestrator.control.engine_waits import Stand
from orchestrator.scheduling.jobs import Job
from orchestrator.scheduling.profiles import teams_of
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.scheduling.teams import Usage
from orchestrator.spec.answers import JobLine, Moment
from orchestrator.spec.profile import ClusterProfile
from orchestrator.store.briefs import Brief
from orchestrator.store.jobs import OpenJob


@dataclass(frozen=True)
class EngineLines:
    """Makes lines.

    Attributes:
        look: what is known.
        briefs: what people call the jobs.
        profile: of the cluster.
        words: when running jobs should be over by their own word.
    """

    look: EngineLook
    briefs: Mapping[str, Brief]
    profile: ClusterProfile
    words: Mapping[str, Moment]

    def here(self, job: OpenJob, stand: Stand) -> JobLine:
        """Of a job that waits here."""
        return self._line(job).model_copy(
            update={
                "position": self.look.places.get(job.id),
                "since": max(job.created_at, job.waits_since),
                "expected_start": stand.start,
                "reason": stand.short,
            }
        )

    def there(self, one: Handed, stand: Stand) -> JobLine:
        """Of a job that waits in the engine's queue, or is on its way to it."""
        update = {"since": one.run.created_at, "expected_start": stand.start, "reason": stand.short}
        if one.run.stop_cause is not None:
            update |= {"expected_start": None, "reason": self._asked_to_stop(one)}
        return self._handed(one).model_copy(update=update)

    def running(self, one: Handed) -> JobLine:
        """Of a job that runs."""
        return self._handed(one).model_copy(
            update={
                "workers": one.run.world_size,
                "nodes": dict(one.placement),
                "since": running_of(one, self.look.now).since,
                "expected_end": end_of(one, self.look.now, self.profile, self.words),
                "reason": short_of(one) if one.run.stop_cause is None else self._asked_to_stop(one),
                "pinned": one.run.pinned,
            }
        )

    def _asked_to_stop(self, one: Handed) -> str:
        """Who asked, and why, the store knows."""
        brief = self.briefs.get(one.job.id)
        return "was asked to stop" if brief is None else brief.reason

    def _handed(self, one: Handed) -> JobLine:
        return self._line(one.job).model_copy(update={"engine_id": one.base.engine_id, "partition": one.base.partition})

    def _line(self, job: OpenJob) -> JobLine:
        brief = self.briefs.get(job.id)
        return JobLine(
            job=job.id,
            name="" if brief is None else brief.name,
            owner=job.owner,
            team=job.team,
            priority=job.priority,
            state=job.state if brief is None else brief.state,
            workers_min=job.workers_min,
            workers_max=job.workers_max,
            slots=job.slots_per_worker,
            cpus=demand_of(job).cpus,
            since=job.created_at,
            preemptions=job.preemptions,
        )


def team_snapshot(look: EngineLook, profile: ClusterProfile) -> Snapshot:
    """What there is to be said of teams: who has how many jobs, and holds what."""
    waiting = [*look.waiting.values(), *(one.job for one in look.there)]
    return Snapshot(
        now=look.now,
        nodes=(),
        pending=tuple(Job(job.id, job.sequence, job.created_at, team=job.team) for job in waiting),
        running=tuple(running_of(one, look.now) for one in look.running),
        teams=teams_of(profile),
        usage=tuple(Usage(used.team, used.slot_seconds, used.at) for used in look.facts.usage),
    )

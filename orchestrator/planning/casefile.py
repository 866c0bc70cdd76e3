"""`CaseFile`: a queue and its policy in one file, for bug reports: what follows from them is worked out anywhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from pydantic import TypeAdapter, ValidationError

from orchestrator.base.errors import NotFound, UsageError
from orchestrator.planning.outlook import Outlook
from orchestrator.planning.waits import just_before, waiting_view
from orchestrator.scheduling.codec import dump, load_snapshot
from orchestrator.scheduling.jobs import Job
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.spec.answers import JobLine, Moment, WhyView
from orchestrator.spec.policy import Policy
from orchestrator.spec.profile import PolicySection

_WORDS = TypeAdapter(dict[str, Moment])
_ASKED = TypeAdapter(dict[str, tuple[int, int]])
_NAMES = TypeAdapter(dict[str, str])


@dataclass(frozen=True)
class CaseFile:
    """A snapshot and its policy; it names jobs, owners, teams and nodes, and holds no workload.

    It is a look at the queue of its own, not that of the last decision: between the two a job may have ended.

    Attributes:
        snapshot: the queue and the cluster.
        policy: how it is served.
        words: when running jobs should be over by what they tell of themselves.
        asked: the fewest and the most workers that running jobs asked for.
        names: what people call the jobs.
    """

    snapshot: Snapshot
    policy: Policy
    words: Mapping[str, Moment] = field(default_factory=dict)
    asked: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """What `of` reads: JSON, a line for each job and node."""
        words = {job: end.model_dump(exclude_defaults=True) for job, end in self.words.items()}
        beside = {
            "policy": self.policy.model_dump(mode="json"),
            "words": words,
            "asked": self.asked,
            "names": self.names,
        }
        return dump(beside | {"snapshot": self.snapshot})

    @classmethod
    def of(cls, text: str) -> CaseFile:
        """The case that was written down.

        Raises:
            UsageError: it is none.
        """
        hint = "give a file that `orchestrator queue --snapshot FILE` wrote, unchanged"
        try:
            document = json.loads(text)
            policy = PolicySection.model_validate(document["policy"])
            words, asked = _WORDS.validate_python(document["words"]), _ASKED.validate_python(document["asked"])
            names = _NAMES.validate_python(document["names"])
            return cls(load_snapshot(json.dumps(document["snapshot"])), policy, words, asked, names)
        except (RecursionError, KeyError, TypeError, ValueError) as error:
            raise UsageError(f"not a snapshot of a queue: {_wrong(error)}", hint=hint) from None

    @cached_property
    def outlook(self) -> Outlook:
        """What follows from it."""
        return Outlook(self.snapshot, self.policy, words=self.words)

    def why(self, job: str) -> WhyView:
        """Why a job waited, or ran as it did, at that moment.

        Raises:
            NotFound: it neither waited nor ran.
        """
        outlook = self.outlook
        if (waiting := outlook.pending.get(job)) is not None:
            told = self._told(waiting, "held" if waiting.held else "queued")
            before = [self._line(other) for other in just_before(job, outlook)]
            return waiting_view(told, outlook, before, more_nodes=len(self.snapshot.nodes) > 1)
        if (running := outlook.running.get(job)) is not None:
            told = self._told(running.job, "running")
            demand, asked = running.job.demand, self.asked.get(job)
            low, high = asked or (demand.workers_min, demand.workers_max)
            width = {"workers": running.workers, "workers_min": low, "workers_max": high, "pinned": running.pinned}
            reason = outlook.explained_run(job, asked)
            update = {"reason": reason, "since": running.since, "expected_end": outlook.leaves(running)}
            return told.model_copy(update=update | width)
        count = len(outlook.pending) + len(outlook.running)
        raise NotFound(f"{job} is none of the {count} jobs in it", hint="give the whole identifier of one of them")

    def _told(self, job: Job, state: str) -> WhyView:
        name, now = self.names.get(job.id, ""), self.outlook.now
        return WhyView(job=job.id, name=name, state=state, now=now, reason="", preemptions=job.preemptions)

    def _line(self, name: str) -> JobLine:
        job = self.outlook.pending[name]
        return JobLine(
            job=name,
            name=self.names.get(name, ""),
            owner=job.owner,
            team=job.team,
            priority=job.priority,
            state="held" if job.held else "queued",
            position=self.outlook.places[name],
            workers_min=job.demand.workers_min,
            workers_max=job.demand.workers_max,
            slots=job.demand.slots,
            since=job.submitted,
        )


def _wrong(error: Exception) -> str:
    """What is wrong with a file that somebody gave, in words."""
    match error:
        case RecursionError():
            return "nested too deeply"
        case json.JSONDecodeError():
            return f"no JSON (line {error.lineno}, column {error.colno})"
        case KeyError():
            return f"it has no {error}"
        case ValidationError():
            first = error.errors()[0]
            return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        case _:
            return "it is built otherwise"

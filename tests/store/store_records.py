"""A job as the tests of the store insert it."""

from orchestrator.lifecycle.states import JobState
from orchestrator.store.records import JobRecord

JOB = JobRecord(
    id="j-1",
    name="job",
    kind="command",
    owner="ann",
    team="default",
    priority=0,
    state=JobState.QUEUED,
    reason="queued",
    profile="local",
    workload="{}",
    workdir="here",
    content="c",
    workers_min=1,
    workers_max=2,
    slots_per_worker=1,
    created_at=1.0,
)

"""How an allocation ended: by Slurm's word, and by what its run has left in its directory."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from orchestrator.backends.protocol import Observation
from orchestrator.backends.slurm.records import Record
from orchestrator.lifecycle.failures import FailureClass
from orchestrator.rundir.allocations import TAKEN, run_has_finished
from orchestrator.rundir.layout import RunDirectory


def told(record: Record, seen: Observation) -> Observation:
    """An end as Slurm tells it, with what stands in the run's directory, where it had time to say so."""
    if why := record.files.given_back():
        seen = replace(seen, failure_class=FailureClass.INFRASTRUCTURE, detail=why)
    ends = [end for part in record.parts if (end := part.end()) is not None]
    causes = {str(end.get("cause")) for end in ends}
    goes_on = _why_it_goes_on(causes, seen.engine_id)
    if run_has_finished(RunDirectory(record.directory)):
        seen = replace(seen, failure_class=None, detail="")
    elif record.growth and (TAKEN in causes or seen.failure_class == FailureClass.PREEMPTED):
        job = f" (job {seen.engine_id})" if seen.engine_id else ""
        seen = replace(seen, failure_class=FailureClass.PREEMPTED, detail=f"taken back by Slurm{job}")
    elif goes_on and not record.growth:
        if seen.failure_class == FailureClass.INFRASTRUCTURE:  # it left before Slurm had to end it
            seen = replace(seen, failure_class=FailureClass.PREEMPTED, detail=goes_on)
    elif ends and not record.tasks:  # the end of a task is none of the array
        seen = replace(seen, failure_class=None, detail="")
    return seen


def _why_it_goes_on(causes: Collection[str], job: str) -> str:
    """Why agents left a run that nothing is wrong with; empty where they did not."""
    if TAKEN in causes:
        return f"Slurm took job {job} back"
    return f"the time limit of job {job}, which is an estimate of ours, was near" if "preempt" in causes else ""

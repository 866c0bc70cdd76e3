"""How an allocation ended: by Slurm's word, and by what its run has left in its directory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from orchestrator.backends.protocol import Observation
from orchestrator.backends.slurm.inventory import PartitionRow
from orchestrator.backends.slurm.records import Record
from orchestrator.base.errors import BackendUnavailable
from orchestrator.lifecycle.failures import FailureClass
from orchestrator.rundir.allocations import TAKEN, run_has_finished
from orchestrator.rundir.layout import RunDirectory

Partitions = Callable[[], Sequence[PartitionRow]]


def told(record: Record, seen: Observation, partitions: Partitions) -> Observation:
    """An end as Slurm tells it, with what stands in the run's directory, where it had time to say so.

    Args:
        record: of the allocation.
        seen: its end, in Slurm's words.
        partitions: of the cluster; may raise `BackendUnavailable`.
    """
    if why := record.files.given_back():
        seen = replace(seen, failure_class=FailureClass.INFRASTRUCTURE, detail=why)
    ends = [end for part in record.parts if (end := part.end()) is not None]
    causes = {str(end.get("cause")) for end in ends}
    if run_has_finished(RunDirectory(record.directory)):
        seen = replace(seen, failure_class=None, detail="")
    elif record.growth and (TAKEN in causes or seen.failure_class == FailureClass.PREEMPTED):
        job = f" (job {seen.engine_id})" if seen.engine_id else ""
        seen = replace(seen, failure_class=FailureClass.PREEMPTED, detail=f"taken back by Slurm{job}")
    elif causes & {TAKEN, "preempt"} and not record.growth:
        if seen.failure_class == FailureClass.INFRASTRUCTURE:  # it left before Slurm had to end it
            seen = _left(record, seen, near_limit="preempt" in causes, partitions=partitions)
    elif ends and not record.tasks:  # the end of a task is none of the array
        seen = replace(seen, failure_class=None, detail="")
    return seen


def _left(record: Record, seen: Observation, *, near_limit: bool, partitions: Partitions) -> Observation:
    """An end whose agents were told to leave: at no cost where Slurm itself may have told them."""
    job, partition = seen.engine_id, seen.partition or record.lane.partition or record.own.partition
    if near_limit:
        why = f"the time limit of job {job}, which is an estimate of ours, was near"
        return replace(seen, failure_class=FailureClass.PREEMPTED, detail=why)
    if _may_preempt(partition, partitions):
        return replace(seen, failure_class=FailureClass.PREEMPTED, detail=f"Slurm took job {job} back")
    if not seen.by_itself:
        return seen
    why = f"job {job} was told by a signal to end, and in its partition Slurm preempts nothing: see its nodes' logs"
    return replace(seen, detail=why, by_itself=False)


def _may_preempt(partition: str | None, partitions: Partitions) -> bool:
    """Whether Slurm may end jobs of a partition (none: the default one) for others; also where it does not say."""
    try:
        modes = [row.preempt_mode for row in partitions() if (row.name == partition if partition else row.default)]
    except BackendUnavailable:
        return True
    return modes != ["OFF"]

"""How a trial takes over the state of another one: a copy of its checkpoint, which says whose it was."""

from __future__ import annotations

from orchestrator.base.errors import Conflict
from orchestrator.recipes.settings import checkpoint_store
from orchestrator.rundir.fence import check_fence
from orchestrator.rundir.layout import JobDirectory
from orchestrator.search.population import trial_checkpoints
from orchestrator.search.records import TrialRecord
from orchestrator.spec.regnet import RegNetWorkload


def adopt_checkpoint(
    job: JobDirectory, token: int, workload: RegNetWorkload, source: TrialRecord, trial: TrialRecord
) -> None:
    """Make the checkpoint of a trial that of another one, as far as the other is.

    Its tensors and its state are the source's, bit for bit. Of what it belongs to only the seed is changed: the trial
    goes on with its own, and everything else is compared as ever when it does. `adopted` says where it comes from.

    Args:
        job: of both.
        token: the run's fencing token.
        workload: the search.
        source: whose checkpoint is copied; it does not run.
        trial: whose becomes the copy; it does not run.

    Raises:
        Conflict: the checkpoint is not the source's.
        DataError: it is absent or damaged.
        Fenced: a newer run owns the job.
    """
    settings = workload.train.checkpoint
    theirs = checkpoint_store(settings, trial_checkpoints(workload, job, source.index))
    own = checkpoint_store(settings, trial_checkpoints(workload, job, trial.index), lambda: check_fence(job, token))
    found = theirs.read_whole(source.samples)
    identity = found.meta["identity"]
    if identity.get("seed") != source.seed:
        raise Conflict(
            f"the checkpoint {found.path} is not that of trial {source.index}: another seed",
            hint="submit the workload as a new job",
        )
    origin = {"trial": source.index, "seed": source.seed, "samples": source.samples}
    adopted = [*found.meta.get("adopted", ()), origin]
    own.take_over(theirs, found, {**found.meta, "identity": {**identity, "seed": trial.seed}, "adopted": adopted})

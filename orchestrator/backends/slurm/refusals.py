"""What sbatch's complaints mean: refused for good, or not taken now; with what would help."""

from __future__ import annotations

import re

from orchestrator.backends.slurm.commands import Answer
from orchestrator.base.errors import BackendUnavailable, LaunchRefused


class NotStarted(BackendUnavailable):
    """Slurm says that it has not taken a job, and may take it later."""


# In this order: a limit on the number of jobs is told together with the words that stand for any limit.
_LATER = (
    (
        r"MaxSubmitJob|GrpSubmitJob|SubmitJobsLimit",
        "as many jobs wait and run as Slurm allows; wait, set slurm.waiting in the profile below that limit, or have it"
        " raised: sacctmgr modify user NAME set MaxSubmitJobs=…",
    ),
    (
        r"temporarily unable|temporarily unavailable|try again later|MaxJobCount",
        "Slurm holds as many jobs as it can (MaxJobCount of slurm.conf), or is busy; it is asked again",
    ),
    (
        r"required partition not available|partition.*(inactive|drain)",
        "the partition takes no jobs now: scontrol show partition; name another one in the profile (slurm.partition)",
    ),
    (r"I/O error|no space left", "slurmctld cannot write its state: see its log and its StateSaveLocation"),
)
_NEVER = (
    (
        r"invalid account",
        "see which accounts there are: sacctmgr show associations user=$USER; name one in the profile, slurm.account or"
        " slurm.accounts for the team",
    ),
    (r"invalid partition", "see which partitions there are: sinfo -s; name one in the profile: slurm.partition"),
    (
        r"invalid qos",
        "see which QOS the account may use: sacctmgr show associations user=$USER format=account,qos; name one in the"
        " profile: slurm.qos, slurm.priorities or slurm.growth.qos",
    ),
    (r"invalid feature", "slurm.constraint of the profile asks for a feature that no node has: scontrol show nodes"),
    (
        r"invalid (generic|trackable) resource",
        "GPUs have another name there: slurm.gres of the profile; see sinfo -o '%N %G'",
    ),
    (r"invalid node name", "resources.not_on names a node that Slurm does not know: sinfo -N"),
    (
        r"requested time limit|time limit is invalid",
        "ask for less time (time_limit), or for another partition: scontrol show partition",
    ),
    (
        r"node configuration is not available|partition configuration not available|memory specification|node count"
        r"|more processors|can ?not be satisfied",
        "no node of the partition has what one is asked for: ask for fewer workers, cores, GPUs or memory; see"
        " scontrol show nodes",
    ),
    (
        r"accounting/QOS policy|QOS\w*Limit|Assoc\w*Limit|QOS\w*(Cpu|Node|Mem|TRES|Wall|Min)\w*",
        "it asks for more than the account or the QOS may have: sacctmgr show qos, sacctmgr show associations; ask for"
        " fewer workers or less time, or have the limit raised",
    ),
    (
        r"unrecognized option|invalid option|invalid license|invalid wckey|invalid reservation",
        "the profile, or a default of the cluster, asks for what is not there; submit the script by hand to see more:"
        " it lies in slurm/ of the run",
    ),
    (r"job array", "slurm.conf bounds how many tasks an array has (MaxArraySize): ask for fewer workers"),
    (
        r"permission denied|invalid user|not permitted|user not found",
        "Slurm does not let the user of the server submit: ask who runs the cluster",
    ),
)
_PREFIX = re.compile(
    r"^(sbatch: )?((error|fatal): )?((allocation failure|Batch job submission failed): )?", re.IGNORECASE
)


def refusal(answer: Answer) -> LaunchRefused | BackendUnavailable:
    """What a complaint of sbatch means; after one that nobody has heard of, Slurm may have taken the job."""
    said = "; ".join(dict.fromkeys(_PREFIX.sub("", line.strip()) for line in answer.err.splitlines() if line.strip()))
    words = said[:500] or answer.words
    for pattern, remedy in _LATER:
        if re.search(pattern, said, re.IGNORECASE):
            return NotStarted(f"Slurm does not take the job now: {words}", hint=remedy)
    if remedy := remedy_of(said):
        return LaunchRefused(f"Slurm refuses the job: {words}", hint=remedy)
    return BackendUnavailable(
        f"sbatch says: {words}" if said else f"sbatch ended with {answer.code} without a word",
        hint="the job is looked for by its name before it is submitted again; to see more, submit the script by hand:"
        " it lies in slurm/ of the run",
    )


def remedy_of(said: str) -> str:
    """What would help where Slurm refuses something for good; empty where nobody knows."""
    return next((remedy for pattern, remedy in _NEVER if re.search(pattern, said, re.IGNORECASE)), "")

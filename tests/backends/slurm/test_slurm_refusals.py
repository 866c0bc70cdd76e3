"""What complaints of sbatch mean."""

import pytest

from orchestrator.backends.slurm.commands import Answer
from orchestrator.backends.slurm.refusals import NotStarted, refusal
from orchestrator.base.errors import LaunchRefused

POLICY = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"


def complaint(*lines: str) -> Answer:
    return Answer("sbatch", 1, "", "\n".join(f"sbatch: error: {line}" for line in lines) + "\n")


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("Invalid account or account/partition combination specified", "slurm.account"),
        ("Invalid partition name specified", "sinfo -s"),
        ("Invalid qos specification", "slurm.qos"),
        ("Requested node configuration is not available", "scontrol show nodes"),
        ("Requested time limit is invalid (missing or exceeds some limit)", "time_limit"),
        ("Invalid feature specification", "slurm.constraint"),
        ("Invalid generic resource (gres) specification", "slurm.gres"),
        ("Invalid node name specified", "not_on"),
        ("Invalid job array specification", "MaxArraySize"),
        (POLICY, "sacctmgr show qos"),
        ("User's group not permitted to use this partition", "ask who runs the cluster"),
        ("CPU count per node can not be satisfied", "scontrol show nodes"),
        ("Invalid wckey specification", "slurm/ of the run"),
    ],
)
def test_what_slurm_refuses_for_good_comes_with_a_remedy(said: str, remedy: str) -> None:
    found = refusal(complaint(f"Batch job submission failed: {said}"))
    assert isinstance(found, LaunchRefused)
    assert found.message == f"Slurm refuses the job: {said}"
    assert remedy in found.hint


@pytest.mark.parametrize(
    "lines",
    [
        ("AssocMaxSubmitJobLimit", f"Batch job submission failed: {POLICY}"),
        ("QOSMaxSubmitJobPerUserLimit", f"Batch job submission failed: {POLICY}"),
        ("QOSGrpSubmitJobsLimit", f"Batch job submission failed: {POLICY}"),
        ("Batch job submission failed: Resource temporarily unavailable",),
        ("Batch job submission failed: Required partition not available (inactive or drain)",),
        ("Batch job submission failed: I/O error writing script/environment to file",),
    ],
)
def test_what_slurm_may_take_later_is_no_refusal(lines: tuple[str, ...]) -> None:
    assert isinstance(refusal(complaint(*lines)), NotStarted)


@pytest.mark.parametrize(
    "said",
    [
        "Unspecified error",
        "Invalid Protocol Version",
        "Header lengths are longer than data received",
        "lua: attempt to index a nil value",
        "No version said this so far",
    ],
)
def test_after_a_complaint_that_nobody_knows_slurm_may_have_taken_the_job(said: str) -> None:
    found = refusal(complaint(f"Batch job submission failed: {said}"))
    assert not isinstance(found, LaunchRefused | NotStarted)
    assert said in found.message
    assert "looked for by its name" in found.hint
    assert "slurm/ of the run" in found.hint


def test_an_sbatch_that_was_killed_may_have_submitted_the_job() -> None:
    found = refusal(Answer("sbatch", -9, "", ""))
    assert not isinstance(found, LaunchRefused | NotStarted)
    assert "looked for by its name" in found.hint


def test_a_limit_on_size_is_a_refusal_though_slurms_words_speak_of_the_number_of_jobs_too() -> None:
    found = refusal(complaint("QOSMaxGRESPerUser", f"Batch job submission failed: {POLICY}"))
    assert isinstance(found, LaunchRefused)
    assert found.message == f"Slurm refuses the job: QOSMaxGRESPerUser; {POLICY}"


def test_a_dry_run_complains_in_other_words() -> None:
    found = refusal(Answer("sbatch", 1, "", "allocation failure: Requested node configuration is not available\n"))
    assert found.message == "Slurm refuses the job: Requested node configuration is not available"


def test_an_unspecified_error_after_a_word_of_the_clusters_own_rules_is_what_that_says() -> None:
    answer = complaint("invalid account: ask the lab", "Batch job submission failed: Unspecified error")
    assert isinstance(refusal(answer), LaunchRefused)

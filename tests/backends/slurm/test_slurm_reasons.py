"""Slurm's reasons in words that end in what would help."""

import pytest

from orchestrator.backends.protocol import Wait
from orchestrator.backends.slurm.reasons import wait_of
from orchestrator.backends.slurm.tables import JobRow

REASONS = """
AccountNotAllowed AccountingPolicy AssocGrpBB AssocGrpBBMinutes AssocGrpBBRunMinutes AssocGrpBilling
AssocGrpBillingMinutes AssocGrpBillingRunMinutes AssocGrpCPUMinutesLimit AssocGrpCPURunMinutesLimit
AssocGrpCpuLimit AssocGrpEnergy AssocGrpEnergyMinutes AssocGrpEnergyRunMinutes AssocGrpGRES AssocGrpGRESMinutes
AssocGrpGRESRunMinutes AssocGrpJobsLimit AssocGrpLicense AssocGrpLicenseMinutes AssocGrpLicenseRunMinutes
AssocGrpMemLimit AssocGrpMemMinutes AssocGrpMemRunMinutes AssocGrpNodeLimit AssocGrpNodeMinutes
AssocGrpNodeRunMinutes AssocGrpSubmitJobsLimit AssocGrpUnknown AssocGrpUnknownMinutes AssocGrpUnknownRunMinutes
AssocGrpWallLimit AssocMaxBBMinutesPerJob AssocMaxBBPerJob AssocMaxBBPerNode AssocMaxBillingMinutesPerJob
AssocMaxBillingPerJob AssocMaxBillingPerNode AssocMaxCpuMinutesPerJobLimit AssocMaxCpuPerJobLimit
AssocMaxCpuPerNode AssocMaxEnergyMinutesPerJob AssocMaxEnergyPerJob AssocMaxEnergyPerNode
AssocMaxGRESMinutesPerJob AssocMaxGRESPerJob AssocMaxGRESPerNode AssocMaxJobsLimit AssocMaxLicenseMinutesPerJob
AssocMaxLicensePerJob AssocMaxMemMinutesPerJob AssocMaxMemPerJob AssocMaxMemPerNode AssocMaxNodeMinutesPerJob
AssocMaxNodePerJobLimit AssocMaxSubmitJobLimit AssocMaxUnknownMinutesPerJob AssocMaxUnknownPerJob
AssocMaxUnknownPerNode AssocMaxWallDurationPerJobLimit AssociationJobLimit AssociationResourceLimit
AssociationTimeLimit BadConstraints BeginTime BurstBufferOperation BurstBufferResources BurstBufferStageIn
Cleaning Constraints DeadLine Dependency DependencyNeverSatisfied FedJobLock FrontEndDown InvalidAccount
InvalidQOS JobArrayTaskLimit JobHeldAdmin JobHeldUser JobHoldMaxRequeue JobLaunchFailure Licenses
MaxBBPerAccount MaxBillingPerAccount MaxCpuPerAccount MaxEnergyPerAccount MaxGRESPerAccount MaxJobsPerAccount
MaxLicensePerAccount MaxMemPerLimit MaxMemoryPerAccount MaxNodePerAccount MaxPoweredUpNodes
MaxSubmitJobsPerAccount MaxUnknownPerAccount MpiPortsBusy NodeDown NonZeroExitCode None OutOfMemory
PartitionConfig PartitionDown PartitionInactive PartitionNodeLimit PartitionTimeLimit PowerNotAvail
PowerReserved Priority Prolog QOSGrpBB QOSGrpBBMinutes QOSGrpBBRunMinutes QOSGrpBilling QOSGrpBillingMinutes
QOSGrpBillingRunMinutes QOSGrpCPUMinutesLimit QOSGrpCPURunMinutesLimit QOSGrpCpuLimit QOSGrpEnergy
QOSGrpEnergyMinutes QOSGrpEnergyRunMinutes QOSGrpGRES QOSGrpGRESMinutes QOSGrpGRESRunMinutes QOSGrpJobsLimit
QOSGrpLicense QOSGrpLicenseMinutes QOSGrpLicenseRunMinutes QOSGrpMemLimit QOSGrpMemoryMinutes
QOSGrpMemoryRunMinutes QOSGrpNodeLimit QOSGrpNodeMinutes QOSGrpNodeRunMinutes QOSGrpSubmitJobsLimit
QOSGrpUnknown QOSGrpUnknownMinutes QOSGrpUnknownRunMinutes QOSGrpWallLimit QOSJobLimit QOSMaxBBPerJob
QOSMaxBBPerNode QOSMaxBBPerUser QOSMaxBillingMinutesPerJob QOSMaxBillingPerJob QOSMaxBillingPerNode
QOSMaxBillingPerUser QOSMaxCpuMinutesPerJobLimit QOSMaxCpuPerJobLimit QOSMaxCpuPerNode QOSMaxCpuPerUserLimit
QOSMaxEnergyMinutesPerJob QOSMaxEnergyPerJob QOSMaxEnergyPerNode QOSMaxEnergyPerUser QOSMaxGRESMinutesPerJob
QOSMaxGRESPerJob QOSMaxGRESPerNode QOSMaxGRESPerUser QOSMaxJobsPerUserLimit QOSMaxLicenseMinutesPerJob
QOSMaxLicensePerJob QOSMaxLicensePerUser QOSMaxMemoryMinutesPerJob QOSMaxMemoryPerJob QOSMaxMemoryPerNode
QOSMaxMemoryPerUser QOSMaxNodeMinutesPerJob QOSMaxNodePerJobLimit QOSMaxNodePerUserLimit
QOSMaxSubmitJobPerUserLimit QOSMaxUnknownMinutesPerJob QOSMaxUnknownPerJob QOSMaxUnknownPerNode
QOSMaxUnknownPerUser QOSMaxWallDurationPerJobLimit QOSMinBB QOSMinBilling QOSMinCpuNotSatisfied QOSMinEnergy
QOSMinGRES QOSMinLicense QOSMinMemory QOSMinNode QOSMinUnknown QOSNotAllowed QOSResourceLimit QOSTimeLimit
QOSUsageThreshold RaisedSignal ReqNodeNotAvail Reservation ReservationDeleted ReservationInvalid Resources
SchedDefer SystemFailure TimeLimit WaitingForScheduling
"""
"""All that Slurm 22.05 to 24.11 can give."""


def wait(reason: str, **fields: object) -> Wait:
    values = {"job": "7", "partition": "batch", "qos": "high", "account": "lab", "start": 5.0} | fields
    return wait_of(JobRow(task="", name="j.0", comment="j", state="PENDING", reason=reason, **values))  # type: ignore[arg-type]


@pytest.mark.parametrize("reason", REASONS.split())
def test_each_reason_is_known_and_ends_in_an_action(reason: str) -> None:
    found = wait(reason)
    assert found.code == reason
    assert found.text
    assert not found.text.startswith("Slurm gives the reason")
    assert found.remedy
    assert not {*"{}"} & {*found.text, *found.remedy, *found.command}


def test_the_expected_start_is_handed_on() -> None:
    assert wait("Priority").start == 5.0


def test_a_reason_that_we_do_not_know_is_told_with_where_to_look() -> None:
    found = wait("MoonPhase")
    assert found.text == "Slurm gives the reason MoonPhase"
    assert found.command == "scontrol show job 7"


def test_a_held_job_is_released() -> None:
    assert wait("JobHeldUser").command == "scontrol release 7"


def test_nodes_that_are_away_are_named() -> None:
    found = wait("ReqNodeNotAvail, UnavailableNodes:a[1-2],b7")
    assert "a[1-2],b7" in found.text
    assert found.command == "sinfo --list-reasons --nodes='a[1-2],b7'"


def test_maintenance_is_told_as_such() -> None:
    found = wait("ReqNodeNotAvail, Reserved for maintenance")
    assert "maintenance" in found.text
    assert "time_limit" in found.remedy


@pytest.mark.parametrize(
    "reason",
    [
        "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions",
        "Nodes_required_for_job_are_DOWN,_DRAINED_or_reserved_for_jobs_in_higher_priority_partitions",
    ],
)
def test_a_sentence_of_slurms_is_understood_with_blanks_and_without(reason: str) -> None:
    assert "down, drained" in wait(reason).text


def test_a_start_that_failed_is_told_in_slurms_words() -> None:
    found = wait("launch failed requeued held")
    assert "launch failed" in found.text
    assert found.command == "scontrol release 7"


@pytest.mark.parametrize(
    ("reason", "text", "remedy"),
    [
        (
            "QOSGrpGRES",
            "the jobs of QOS high together hold all the GPUs",
            "sacctmgr modify qos high set GrpTRES=gres/gpu=",
        ),
        ("QOSMaxJobsPerUserLimit", "as many jobs of its user run", "sacctmgr modify qos high set MaxJobsPerUser="),
        ("QOSMaxWallDurationPerJobLimit", "its time limit is longer than QOS high", "a shorter time_limit"),
        ("QOSMaxMemoryPerNode", "more memory than QOS high gives on one node", "MaxTRESPerNode=mem="),
        ("QOSMinGRES", "less than QOS high demands", "more or larger workers"),
        (
            "AssocGrpCpuLimit",
            "the jobs of account lab together hold all the cores",
            "modify account lab set GrpTRES=cpu=",
        ),
        ("AssocGrpGRESMinutes", "account lab has used up", "wait until its usage has decayed"),
        ("AssocMaxJobsLimit", "one user may have at a time in account lab", "modify account lab set MaxJobs="),
        (
            "MaxGRESPerAccount",
            "its account (lab) holds all the GPUs",
            "modify qos high set MaxTRESPerAccount=gres/gpu=",
        ),
    ],
)
def test_a_limit_says_whose_it_is_of_what_and_what_changes_it(reason: str, text: str, remedy: str) -> None:
    found = wait(reason)
    assert text in found.text
    assert remedy in found.remedy
    assert found.command.startswith("sacctmgr show")


def test_names_from_slurm_stay_inert_in_commands() -> None:
    found = wait("PartitionDown", partition="x; rm -rf ~")
    assert found.command == "scontrol update PartitionName='x; rm -rf ~' State=UP"


def test_braces_and_escapes_in_a_reason_are_only_text() -> None:
    found = wait("{job} \x1b[31mred {0}")
    assert found.code == "{job} red {0}"
    assert found.text == "Slurm gives the reason {job} red {0}"


def test_a_job_whose_nodes_boot_says_so() -> None:
    row = JobRow("7", "", "j.0", "j", "CONFIGURING", nodes=("n1", "n2"))
    assert "n1, n2" in wait_of(row).text


@pytest.mark.parametrize("state", ["REQUEUE_HOLD", "SPECIAL_EXIT"])
def test_what_slurm_has_put_back_and_holds_is_released(state: str) -> None:
    assert wait_of(JobRow("7", "", "j.0", "j", state)).command == "scontrol release 7"

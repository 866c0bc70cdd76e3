"""Slurm's own reasons for letting a job wait, in words that end in what would help."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from orchestrator.backends.protocol import Wait
from orchestrator.backends.slurm.limitreasons import limit_reached
from orchestrator.backends.slurm.tables import JobRow
from orchestrator.base.text import one_line

_LESS = "submit it anew with fewer or smaller workers (resources)"
_LOOK = "scontrol show job {job}"

_REASONS: Mapping[str, tuple[str, str, str]] = {
    "None": ("Slurm has not looked at it yet", "wait: its scheduler does so within a minute or two", ""),
    "Configuring": ("Slurm has nodes for it ({nodes}), and makes them ready", "wait until they have booted", ""),
    "Prolog": ("the prolog, which makes its nodes ready, still runs", "wait until it is through", ""),
    "Resources": (
        "it is its turn, and too little is free in partition {partition}",
        f"wait until other jobs end there, or {_LESS}",
        "",
    ),
    "Priority": (
        "jobs of a higher priority come first in partition {partition}",
        "wait, or raise its priority: orchestrator priority",
        "",
    ),
    "Nodes required": (
        "the nodes that it needs in partition {partition} are down, drained, or kept for jobs that come first",
        "wait; see which are down, and why",
        "sinfo --list-reasons --partition={partition}",
    ),
    "ReqNodeNotAvail": (
        "nodes that it needs cannot be had now",
        "wait, or see what keeps them: a reservation, or a fault",
        "scontrol show reservation",
    ),
    "UnavailableNodes": (
        "nodes that it needs cannot be had now: {more}",
        "wait, or have them repaired and resumed: scontrol update NodeName={more} State=RESUME",
        "sinfo --list-reasons --nodes={more}",
    ),
    "Maintenance": (
        "maintenance is planned on nodes that it needs, before its time limit ends",
        "wait until that is over, or submit it anew with a time_limit that ends before",
        "scontrol show reservation",
    ),
    "Reserved": ("nodes that it needs are kept for other jobs", "wait until those have had them", ""),
    "Reservation": (
        "the reservation that it names has not begun, or is full",
        "wait until it begins",
        "scontrol show reservation",
    ),
    "ReservationDeleted": (
        "the reservation that it names is gone, and Slurm holds it",
        "take it out of the reservation, and release it",
        "scontrol update JobId={job} ReservationName= && scontrol release {job}",
    ),
    "NodeDown": ("a node that it needs is down", "have it repaired; see which", "sinfo --list-reasons"),
    "FrontEndDown": ("no front end is up to start it", "have one brought up", "scontrol show frontend"),
    "PartitionDown": (
        "partition {partition} starts no jobs",
        "have an operator open it, or take another (slurm.partition in the profile)",
        "scontrol update PartitionName={partition} State=UP",
    ),
    "PartitionNodeLimit": (
        "it needs more nodes than partition {partition} gives to one job, or has in working order",
        f"{_LESS}, or take another partition (slurm.partition in the profile)",
        "scontrol show partition {partition}",
    ),
    "PartitionTimeLimit": (
        "its time limit is longer than partition {partition} allows",
        "give it a shorter one, or submit it anew with a shorter time_limit",
        "scontrol show partition {partition}",
    ),
    "PartitionConfig": (
        "partition {partition} can never hold it as it is set up: it has fewer nodes, cores or memory",
        f"{_LESS}, or take another partition (slurm.partition in the profile)",
        "scontrol show partition {partition}",
    ),
    "BadConstraints": (
        "no node of partition {partition} is as it asks: GPU type, features, memory or cores",
        "submit it anew without a gpu_type, not_on or constraint, or with smaller workers",
        "sinfo --partition={partition} --Node --Format=NodeList,Features,Gres,CPUs,Memory",
    ),
    "JobHeldUser": ("it is held in Slurm", "release it", "scontrol release {job}"),
    "JobHeldAdmin": ("an operator holds it in Slurm", "ask an operator to release it", "scontrol release {job}"),
    "JobHoldMaxRequeue": (
        "Slurm has put it back into its queue too often, and holds it",
        "see why its starts failed, and release it",
        "scontrol release {job}",
    ),
    "LaunchFailed": (
        "Slurm could not start it, and holds it: {more}",
        "see the log of slurmd on the node that it had, and release it",
        "scontrol release {job}",
    ),
    "BeginTime": (
        "it may not start before a certain time",
        "wait, or let it start now",
        "scontrol update JobId={job} StartTime=now",
    ),
    "Dependency": (
        "somebody has told Slurm to let it wait for another job",
        "wait, or drop that",
        "scontrol update JobId={job} Dependency=",
    ),
    "DependencyNeverSatisfied": (
        "somebody has told Slurm to let it wait for a job that can no longer succeed",
        "drop that",
        "scontrol update JobId={job} Dependency=",
    ),
    "Licenses": ("too few licenses are free", "wait until other jobs give theirs back", "scontrol show licenses"),
    "InvalidAccount": (
        "Slurm does not know its account {account}, or not for this user",
        "name another (slurm.account, slurm.accounts in the profile), or have it added",
        "sacctmgr show associations user=$USER",
    ),
    "InvalidQOS": (
        "QOS {qos} does not exist, or is not for account {account}",
        "name another (slurm.qos, slurm.priorities in the profile), or have it added",
        "sacctmgr show qos",
    ),
    "QOSNotAllowed": (
        "QOS {qos} is not allowed in partition {partition}",
        "name another of either in the profile (slurm.qos, slurm.partition)",
        "scontrol show partition {partition}",
    ),
    "AccountNotAllowed": (
        "account {account} is not allowed in partition {partition}",
        "name another of either in the profile (slurm.accounts, slurm.partition)",
        "scontrol show partition {partition}",
    ),
    "QOSUsageThreshold": (
        "account {account} has used more than QOS {qos} lets it",
        "wait until its usage has decayed, or name another QOS (slurm.qos in the profile)",
        "sshare --accounts={account}",
    ),
    "AccountingPolicy": (
        "a limit in Slurm's accounting keeps it back",
        "wait until other jobs end, or have the limit raised",
        "sacctmgr show associations account={account}",
    ),
    "MaxMemPerLimit": (
        "it asks for more memory than partition {partition} gives for each core or node",
        "submit it anew with a smaller resources.memory_per_worker, or with more cpus_per_worker",
        "scontrol show partition {partition}",
    ),
    "Cleaning": ("Slurm still cleans up behind its last start", "wait until that is done", ""),
    "JobArrayTaskLimit": ("as many tasks of its array run as may at a time", "wait until some of them end", ""),
    "BurstBufferResources": ("the burst buffer is full", "wait until other jobs give theirs back", "scontrol show bb"),
    "BurstBufferStageIn": ("its files are being copied to the burst buffer", "wait until they are there", ""),
    "BurstBufferOperation": ("the burst buffer failed", "have an operator look at it", "scontrol show bb"),
    "PowerNotAvail": ("the power that it would draw is not to be had now", "wait until other jobs end", ""),
    "MaxPoweredUpNodes": ("as many nodes are powered up as may be", "wait until other jobs end", ""),
    "MpiPortsBusy": ("the ports that its steps need are taken", "wait until other jobs end", ""),
    "FedJobLock": ("the clusters of the federation have not agreed on it yet", "wait until they have", ""),
    "DeadLine": (
        "it cannot be over by its deadline",
        "drop the deadline, or cancel it: orchestrator cancel",
        "scontrol update JobId={job} Deadline=",
    ),
    "SystemFailure": ("a fault in Slurm keeps it back", "have an operator look at slurmctld's log", _LOOK),
}

_SAME_AS = {
    "": "None",
    "WaitingForScheduling": "None",
    "SchedDefer": "None",
    "PartitionInactive": "PartitionDown",
    "Constraints": "BadConstraints",
    "PowerReserved": "PowerNotAvail",
    "ReservationInvalid": "ReservationDeleted",
    "QOSJobLimit": "AccountingPolicy",
    "QOSResourceLimit": "AccountingPolicy",
    "QOSTimeLimit": "AccountingPolicy",
    "AssociationJobLimit": "AccountingPolicy",
    "AssociationResourceLimit": "AccountingPolicy",
    "AssociationTimeLimit": "AccountingPolicy",
}
_SENTENCES = (
    (re.compile(r"ReqNodeNotAvail.*UnavailableNodes:(?P<more>[^\s()]+)"), "UnavailableNodes"),
    (re.compile(r"ReqNodeNotAvail.*Reserved for maintenance"), "Maintenance"),
    (re.compile(r"ReqNodeNotAvail.*reserved for other job", re.IGNORECASE), "Reserved"),
    (re.compile(r"Nodes required for job are"), "Nodes required"),
    (re.compile(r"(?P<more>.*\b(failed|failure)\b.*\b(requeued|held)\b.*)", re.IGNORECASE), "LaunchFailed"),
    (re.compile(r"job requeued in held state"), "JobHoldMaxRequeue"),
    (
        re.compile(r"^(?P<more>JobLaunchFailure|NonZeroExitCode|RaisedSignal.*|OutOfMemory|TimeLimit|InactiveLimit)"),
        "LaunchFailed",
    ),
)
_HELD_STATES = frozenset({"REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"})
_SHOWN = 300


def wait_of(row: JobRow) -> Wait:
    """Why Slurm lets a job wait."""
    reason = one_line(row.reason.replace("_", " ") if " " not in row.reason else row.reason, _SHOWN)
    name, more = _named(row, reason)
    values = {
        "job": row.job,
        "partition": row.partition or "?",
        "account": row.account or "?",
        "qos": row.qos or "?",
        "nodes": ", ".join(row.nodes),
        "more": more,
    }
    if name in _REASONS:
        text, remedy, command = _REASONS[name]
    elif (found := limit_reached(reason)) is not None:
        text, remedy, command = found
    else:
        text, remedy, command = "Slurm gives the reason {more}", "see what else it says of the job", _LOOK
    pasted = {key: shlex.quote(value) for key, value in values.items()}
    return Wait(reason, text.format_map(values), remedy.format_map(values), command.format_map(pasted), row.start)


def _named(row: JobRow, reason: str) -> tuple[str, str]:
    """The name of a reason in our table, and what it says beside; the reason itself where we have no name for it."""
    if row.state == "CONFIGURING":
        return "Configuring", ""
    if row.state in _HELD_STATES and reason in {"None", ""}:
        return "JobHoldMaxRequeue", ""
    for pattern, name in _SENTENCES:
        if found := pattern.search(reason):
            return name, found.groupdict().get("more") or ""
    head = reason.partition(",")[0].partition("(")[0].strip()
    return _SAME_AS.get(head, head), reason

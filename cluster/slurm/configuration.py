"""The texts of slurm.conf, gres.conf and slurmdbd.conf, and how they are written."""

from __future__ import annotations

import os
import pwd
import socket
from pathlib import Path

from layout import Cluster

ACCOUNTS = ("lab", "vision", "video")
CLUSTER_NAME = "dev"
DATABASE_NAME = "slurm_acct_db"

_SCHEDULER = {
    "batch_sched_delay": 0,
    "sched_interval": 2,
    "sched_min_interval": 0,
    "default_queue_depth": 2000,
    "bf_interval": 1,
    "bf_resolution": 1,
    "bf_window": 2880,
    "bf_max_job_test": 2000,
}

# Short intervals throughout: a lost node is noticed, a job started and a preemption done within seconds.
_SLURM_CONF = """\
ClusterName={name}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={munge_socket},cred_expire=30
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={runtime}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
SlurmctldDebug=info
SlurmdDebug=info

# What a container can do without privileges.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobContainerType=job_container/none
SwitchType=switch/none
MpiDefault=none
SlurmdParameters=config_overrides
ReturnToService=2

SlurmctldTimeout=10
SlurmdTimeout=10
MessageTimeout=5
TCPTimeout=2
KillWait=3
UnkillableStepTimeout=60
InactiveLimit=0
MinJobAge=300
WaitTime=0
MaxJobCount=20000
MaxArraySize=20001
JobRequeue=1

SchedulerType=sched/backfill
SchedulerParameters={scheduler}
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU={memory_per_cpu}

PriorityType=priority/multifactor
PriorityDecayHalfLife=7-0
PriorityCalcPeriod=1
PriorityMaxAge=1-0
PriorityWeightAge=1000
PriorityWeightFairshare=10000
PriorityWeightPartition=10000
PriorityWeightQOS=100000

PreemptType=preempt/partition_prio
PreemptMode=REQUEUE

AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={accounting_port}
AccountingStoragePass={munge_socket}
AccountingStorageEnforce=associations,qos
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
JobCompType=jobcomp/none

GresTypes=gpu
{nodes}
PartitionName=DEFAULT Nodes=ALL MaxTime=7-0 DefaultTime=1:00:00
PartitionName=batch Default=YES PriorityTier=10 PriorityJobFactor=10 PreemptMode=OFF
PartitionName=spare Default=NO PriorityTier=1 PriorityJobFactor=1 PreemptMode=REQUEUE GraceTime=5
"""

_SLURMDBD_CONF = """\
AuthType=auth/munge
AuthInfo=socket={munge_socket}
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={accounting_port}
SlurmUser={user}
PidFile={folder}/run/slurmdbd.pid
LogFile={folder}/log/slurmdbd.log
DebugLevel=info
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser={user}
StorageLoc={database}
CommitDelay=1
"""


def user_name() -> str:
    """Who runs the daemons: whoever brings the cluster up."""
    return pwd.getpwuid(os.getuid()).pw_name


def slurm_conf(cluster: Cluster) -> str:
    """The text of slurm.conf."""
    return _SLURM_CONF.format(
        name=CLUSTER_NAME,
        host=socket.gethostname().partition(".")[0],
        controller_port=cluster.controller_port,
        accounting_port=cluster.accounting_port,
        user=user_name(),
        munge_socket=cluster.munge_socket,
        folder=cluster.folder,
        runtime=cluster.runtime,
        scheduler=",".join(("bf_continue", *(f"{name}={value}" for name, value in _SCHEDULER.items()))),
        memory_per_cpu=cluster.size.memory // cluster.size.cpus,
        nodes="\n".join(_node_line(cluster, node) for node in cluster.nodes),
    )


def _node_line(cluster: Cluster, node: str) -> str:
    size = cluster.size
    gres = f" Gres=gpu:{size.gpus}" if size.gpus else ""
    return (
        f"NodeName={node} NodeHostname=localhost NodeAddr=127.0.0.1 Port={cluster.node_port(node)}"
        f" CPUs={size.cpus} RealMemory={size.memory}{gres} State=UNKNOWN"
    )


def gres_conf(cluster: Cluster) -> str:
    """The text of gres.conf: a count is believed only where each GPU has a file.

    Only a character device (a link to one will do) makes Slurm set CUDA_VISIBLE_DEVICES, with the number in its name.
    """
    if not cluster.size.gpus:
        return ""
    return f"Name=gpu File={cluster.folder}/gpus/gpu[0-{cluster.size.gpus - 1}]\n"


def slurmdbd_conf(cluster: Cluster) -> str:
    """The text of slurmdbd.conf."""
    return _SLURMDBD_CONF.format(
        munge_socket=cluster.munge_socket,
        accounting_port=cluster.accounting_port,
        user=user_name(),
        folder=cluster.folder,
        database=DATABASE_NAME,
    )


def write(cluster: Cluster) -> None:
    """All folders and files that the daemons read."""
    for name in ("etc", "log", "run", "state", "gpus"):
        (cluster.folder / name).mkdir(exist_ok=True)
    for node in cluster.nodes:
        (cluster.runtime / "spool" / node).mkdir(parents=True, exist_ok=True)
    for number in range(cluster.size.gpus):
        device = cluster.folder / "gpus" / f"gpu{number}"
        if not device.is_symlink():
            device.symlink_to("/dev/null")
    etc = cluster.slurm_conf.parent
    _write_once(cluster.slurm_conf, slurm_conf(cluster))
    _write_once(etc / "gres.conf", gres_conf(cluster))
    _write_once(etc / "slurmdbd.conf", slurmdbd_conf(cluster))


def _write_once(path: Path, text: str) -> None:
    """Daemons that run already, and what a user has changed, keep their file; slurmdbd insists on its mode."""
    if not path.exists():
        path.touch(mode=0o600 if path.name == "slurmdbd.conf" else 0o644)
        path.write_text(text)

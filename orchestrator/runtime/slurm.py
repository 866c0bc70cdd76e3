"""What the processes of an allocation on Slurm read of Slurm: its variables, its programs, the address of a node."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Mapping

from orchestrator.base.errors import BackendError
from orchestrator.rundir.batch import Batch
from orchestrator.rundir.launch import for_jobs

JOB_ID = "SLURM_JOB_ID"
ARRAY_JOB = "SLURM_ARRAY_JOB_ID"
JOB_NODES = "SLURM_JOB_NUM_NODES"
STEP_NODES = "SLURM_STEP_NUM_NODES"
NODE_ID = "SLURM_NODEID"
NODE_NAME = "SLURMD_NODENAME"
RESTARTS = "SLURM_RESTART_COUNT"
DEVICES = "CUDA_VISIBLE_DEVICES"
_OURS = ("SLURM", "SRUN_", "SBATCH_", "SUBMITIT_", "PMI_", "PMIX_")
_DEVICE_NAMES = (DEVICES, "GPU_DEVICE_ORDINAL", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")
_FOR_RANKS = frozenset(
    {
        JOB_ID,
        NODE_NAME,
        "SLURM_CLUSTER_NAME",
        "SLURM_CONF",
        "SLURM_JOB_ACCOUNT",
        "SLURM_JOB_NODELIST",
        "SLURM_JOB_NUM_NODES",
        "SLURM_JOB_PARTITION",
        "SLURM_TMPDIR",
    }
)
_ELSEWHERE = "192.0.2.1"
"""An address that no machine has (RFC 5737)."""
_ANSWER_SECONDS = 60.0
_PROBE_SECONDS = 3.0


def program(batch: Batch, name: str) -> str:
    """One of Slurm's programs, to be executed."""
    return os.path.join(batch.commands, name) if batch.commands else name


def for_srun(environment: Mapping[str, str], batch: Batch) -> dict[str, str]:
    """The environment of `srun` in the batch step.

    Slurm's own variables would change what is asked for (SLURM_NTASKS, SLURM_CPUS_PER_TASK, SLURM_EXPORT_ENV, ...): the
    step gets the whole allocation, and its tasks get their own variables from Slurm.
    """
    left_out = (*_OURS, *_DEVICE_NAMES)
    kept = {name: value for name, value in for_jobs(environment).items() if not name.startswith(left_out)}
    return kept | _known(environment, batch)


def for_ranks(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment that ranks inherit: a library that finds the variables of a step would take it for its own."""
    left_out = (*_OURS, "GPU_DEVICE_ORDINAL")
    return {name: value for name, value in environment.items() if name in _FOR_RANKS or not name.startswith(left_out)}


def ask(batch: Batch, *command: str) -> str:
    """What one of Slurm's programs prints.

    Raises:
        BackendError: it failed, or did not answer.
    """
    argv = [program(batch, command[0]), *command[1:]]
    environment = dict(os.environ) | _known(os.environ, batch) | {"LC_ALL": "C"}
    try:
        done = subprocess.run(
            argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_ANSWER_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BackendError(f"{argv[0]} cannot be used on {os.uname().nodename}: {error}") from error
    if done.returncode != 0:
        raise BackendError(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr.strip()[:500]}")
    return done.stdout


def address_of(batch: Batch, node: str) -> str:
    """The IPv4 address by which other nodes reach this one: what Slurm itself uses.

    Raises:
        BackendError: Slurm does not say, or the name has no address here.
    """
    name = _name_of(batch, node)
    try:
        address = socket.gethostbyname(name)
        own_name_only = address.startswith("127.") and not name.startswith(("127.", "localhost"))
        return _routed() or address if own_name_only else address
    except OSError as error:
        raise BackendError(
            f"node {node}: its address {name!r} cannot be resolved on it: {error}",
            hint="NodeAddr in slurm.conf, and the resolver of the node, say where others reach it",
        ) from error


def _name_of(batch: Batch, node: str) -> str:
    """What stands for its address: Slurm's own word; where Slurm hides nodes from its users, a name that resolves."""
    try:
        text = ask(batch, "scontrol", "--oneliner", "show", "node", node)
    except BackendError as error:
        if "permission denied" not in error.message.lower():
            raise
        return next(filter(_resolves, (node, os.uname().nodename)), node)
    found = re.search(r"\bNodeAddr=(\S+)", text)
    return found.group(1) if found else node


def _resolves(name: str) -> bool:
    try:
        return bool(socket.gethostbyname(name))
    except OSError:
        return False


def _routed() -> str:
    """This machine's address on its way to others, where its hosts file says loopback; empty where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((_ELSEWHERE, 9))  # sends nothing
        except OSError:
            return ""
        return str(probe.getsockname()[0])


def srun_lives(environment: Mapping[str, str]) -> bool:
    """Whether the `srun` that started this task still listens; without it the batch step is gone, and its node."""
    host, port = environment.get("SLURM_SRUN_COMM_HOST", ""), environment.get("SLURM_SRUN_COMM_PORT", "")
    if not host or not port.isdigit():
        return True
    try:
        socket.create_connection((host, int(port)), _PROBE_SECONDS).close()
    except OSError:
        return False
    return True


def _known(environment: Mapping[str, str], batch: Batch) -> dict[str, str]:
    """By what Slurm's programs find the cluster and the job."""
    conf = batch.conf or environment.get("SLURM_CONF", "")
    job = environment.get(JOB_ID, "")
    return {name: value for name, value in (("SLURM_CONF", conf), (JOB_ID, job)) if value}

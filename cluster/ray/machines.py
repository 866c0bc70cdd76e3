"""The machines of a cluster: what Ray is started with on the head and on each node, and what keeps it running."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import autoscaling
import processes
from common.console import ClusterError
from layout import HEAD, Cluster

_OBJECT_STORE_BYTES = 80 * 2**20
_KEPT = ("HOME", "LANG", "LC_ALL", "TZ", "USER", "OMP_NUM_THREADS")
PATIENCE = 150.0
_SETTINGS = {
    "PYTHONUNBUFFERED": "1",
    "RAY_AUTH_MODE": "token",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",  # on Linux: otherwise nodes on loopback are refused
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_health_check_period_ms": "1000",  # a lost node is noticed after 3 s instead of 15 s
    "RAY_health_check_failure_threshold": "3",
}
# Ray's command line would import all of Ray Serve for commands that are not used here: half the time of a start.
_RAY = """import sys
sys.modules.update(dict.fromkeys(("ray.serve.scripts", "ray.dashboard.modules.job.cli", "ray.util.state.state_cli")))
from ray.scripts.scripts import main
main()"""
_ANY_PORT = (
    "min-worker-port",
    "max-worker-port",
    "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port",
    "runtime-env-agent-port",
    "metrics-export-port",
)


def python_with_ray() -> str | None:
    """An interpreter that has Ray: this one, the repository's, or the one of the `ray` that $PATH finds."""
    repository = Path(__file__).resolve().parents[2] / ".venv" / "bin" / "python"
    places = (Path(folder) / "python" for folder in os.environ.get("PATH", "").split(os.pathsep))
    found = [Path(sys.executable), repository, *(place for place in places if place.with_name("ray").exists())]
    return next((str(python) for python in found if _has_ray(python)), None)


def _has_ray(python: Path) -> bool:
    question = "import importlib.util as u, sys; sys.exit(u.find_spec('ray') is None)"
    return python.exists() and subprocess.run([python, "-c", question], stderr=subprocess.DEVNULL).returncode == 0


def ray(cluster: Cluster, *arguments: str) -> tuple[str, ...]:
    """The command `ray ARGUMENTS`."""
    return (cluster.python, "-c", _RAY, *arguments)


def environment(cluster: Cluster) -> dict[str, str]:
    """For Ray and its commands on every machine of the cluster."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    path = os.pathsep.join((str(Path(cluster.python).parent), os.environ.get("PATH", os.defpath)))
    return {**kept, **_SETTINGS, "PATH": path, "RAY_AUTH_TOKEN_PATH": str(cluster.token_file)}


def _start_command(cluster: Cluster, name: str) -> tuple[str, ...]:
    options = {
        "node-name": name,
        "node-ip-address": cluster.address(name),
        "temp-dir": str(cluster.session(name)),
        "object-store-memory": str(_OBJECT_STORE_BYTES),
        **dict.fromkeys(_ANY_PORT, "0"),
        **(_of_head(cluster) if name == HEAD else _of_node(cluster, name)),
    }
    first = ("--head",) if name == HEAD else (f"--address={cluster.gcs}",)
    return ray(cluster, "start", *first, *(f"--{option}={value}" for option, value in options.items()))


def _of_head(cluster: Cluster) -> dict[str, str]:
    port, dashboard = str(cluster.first_port), str(cluster.dashboard_port)
    host = cluster.address(HEAD)
    grows = {"autoscaling-config": str(autoscaling.write(cluster))} if cluster.size.most_nodes else {}
    return {
        "num-cpus": "0",
        "num-gpus": "0",
        "port": port,
        "dashboard-host": host,
        "dashboard-port": dashboard,
        **grows,
    }


def _of_node(cluster: Cluster, name: str) -> dict[str, str]:
    node = cluster.node(name)
    labels = ",".join(f"{label}={value}" for label, value in node.labels.items())
    return {"num-cpus": str(node.cpus), "num-gpus": str(node.gpus), "labels": labels}


def _identity(cluster: Cluster, name: str) -> dict[str, str]:
    """By which an autoscaler knows a machine, where there is one."""
    figures = {"AUTOSCALER_METRIC_PORT": str(cluster.first_port + 2)}  # the head's monitor has one in any case
    if not cluster.size.most_nodes:
        return figures
    if name == HEAD:
        return {**autoscaling.ENVIRONMENT, **figures, "RAY_CLOUD_INSTANCE_ID": HEAD, "RAY_NODE_TYPE_NAME": HEAD}
    return {"RAY_CLOUD_INSTANCE_ID": name, "RAY_NODE_TYPE_NAME": autoscaling.NODE_TYPE}


def log(cluster: Cluster, name: str) -> Path:
    """What was said as Ray began there."""
    return cluster.logs / f"{name}.out"


def switch_on(cluster: Cluster, name: str) -> subprocess.Popen[bytes]:
    """Start what keeps Ray running on the head or on a node."""
    (cluster.session(name) / "ray_current_cluster").unlink(missing_ok=True)  # of a head that was killed
    here = Path(__file__).resolve().parent
    marks = {processes.MARK: str(cluster.folder), processes.ROLE: name, processes.KEEPER: "1"}
    with log(cluster, name).open("ab") as output:
        return subprocess.Popen(
            (
                sys.executable,
                "-B",
                str(here / "keeper"),
                "-" if name == HEAD else cluster.gcs,
                *_start_command(cluster, name),
            ),
            env={**environment(cluster), **_identity(cluster, name), **marks},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def await_ready(cluster: Cluster, started: dict[str, subprocess.Popen[bytes]], ready: Callable[[str], bool]) -> None:
    """Wait until each of these machines is ready.

    Raises:
        ClusterError: Its keeper ended instead, or it was not in time.
    """
    until = time.monotonic() + PATIENCE
    waiting = dict(started)
    while waiting:
        for name, keeper in tuple(waiting.items()):
            if keeper.poll() is not None:
                raise ClusterError(f"{name} ended with {keeper.returncode} as it began", log(cluster, name))
            if ready(name):
                del waiting[name]
        if waiting and time.monotonic() > until:
            late = " ".join(waiting)
            raise ClusterError(f"{late} did not come up within {PATIENCE:.0f} s", log(cluster, next(iter(waiting))))
        time.sleep(0.1)

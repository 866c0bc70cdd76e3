"""A development Ray cluster, a server of ours for it, and how each side is told to run something there."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from orchestrator.api.endpoint import read_endpoint
from orchestrator.client import Client, HttpTransport
from orchestrator.spec.messages import JobView, SubmitRequest
from orchestrator.testing.ray_cluster import RayCluster, RayClusterError

BENCHMARKS = Path(__file__).parents[1]
LOOK = 0.25
"""Seconds between two looks at whether a job is over, on both sides."""
PATIENCE = 1800.0
_START_PATIENCE = 60.0


@dataclass(frozen=True)
class Place:
    """Where both sides run.

    Attributes:
        folder: of everything; it goes in the end.
        cluster: Ray.
        client: of the server.
    """

    folder: Path
    cluster: RayCluster
    client: Client

    def settle(self) -> None:
        """Wait until Ray says that nothing is used: it writes that down every 5 s, and a server of ours believes it."""
        wait_for(self._is_free, "Ray says that its nodes are free")

    def _is_free(self) -> bool:
        report = self.cluster.get("/api/cluster_status")["data"]["clusterStatus"]["loadMetricsReport"]
        return not any(usage.get("CPU", [0])[0] for usage in report["usageByNode"].values())

    def submit(self, document: Mapping[str, Any]) -> JobView:
        """Queue a workload."""
        request = SubmitRequest(source=yaml.safe_dump(dict(document)), workdir=str(self.folder))
        return self.client.submit(request).job

    def finish(self, job: str) -> None:
        """Wait for a workload's end.

        Raises:
            SystemExit: it did not succeed.
        """
        wait_for(lambda: self.client.job(job).terminal, f"{job} is over")
        found = self.client.job(job)
        if found.state != "succeeded":
            logs = sorted(Path(found.directory).glob("runs/*/logs/*.log"))
            words = "\n".join(f"{path.name}:\n{path.read_text(errors='replace')[-3000:]}" for path in logs)
            raise SystemExit(f"{words}\n{job} {found.state}: {found.reason}")

    def submit_plain(self, script: str, *arguments: str) -> str:
        """What `ray job submit` sends, for a script that lies beside this file."""
        argv = [sys.executable, str(Path(__file__).with_name(script)), *arguments]
        return str(self.cluster.get("/api/jobs/", {"entrypoint": shlex.join(argv)})["submission_id"])

    def finish_plain(self, job: str) -> None:
        """Wait for the end of such a job.

        Raises:
            SystemExit: it did not succeed.
        """

        def status() -> str:
            return str(self.cluster.get(f"/api/jobs/{job}")["status"])

        wait_for(lambda: status() not in {"PENDING", "RUNNING"}, f"Ray's job {job} is over")
        if status() != "SUCCEEDED":
            raise SystemExit(f"{self.cluster.get(f'/api/jobs/{job}/logs')['logs'][-3000:]}\nRay's job {job} failed")


@contextlib.contextmanager
def place(nodes: int, cpus: int) -> Iterator[Place]:
    """Bring all of it up, and take it down again whatever happens.

    Args:
        nodes: of the cluster, beside its head.
        cpus: of each.

    Raises:
        SystemExit: Ray does not come up; with one message where it is missing.
    """
    with tempfile.TemporaryDirectory(prefix="orch-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        cluster = RayCluster(folder / "ray")
        note(f"bringing up Ray: a head and {nodes} nodes of {cpus} CPUs")
        try:
            cluster.up(nodes=nodes, cpus=cpus, gpus=0)
        except RayClusterError as error:  # it has taken down what it had
            print(error, file=sys.stderr)
            raise SystemExit(error.code) from None
        try:
            with _server(folder, cluster) as client:
                yield Place(folder, cluster, client)
        finally:
            cluster.down()


@contextlib.contextmanager
def _server(folder: Path, cluster: RayCluster) -> Iterator[Client]:
    profile, state = folder / "bench.yaml", folder / "state"
    section = {"address": cluster.address, "token_file": str(cluster.token_file)}
    profile.write_text(yaml.safe_dump({"name": "bench", "backend": "ray", "ray": section}))
    os.environ["ORCHESTRATOR_STATE_DIR"] = str(state)
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "rayjobs.serve", "serve", "--profile", str(profile)],
            cwd=BENCHMARKS,
            env=cluster.environment,
            stdout=log,
            stderr=log,
        )
    try:
        wait_for(
            lambda: read_endpoint() is not None or server.poll() is not None, "the server answers", _START_PATIENCE
        )
        endpoint = read_endpoint()
        if endpoint is None:
            raise SystemExit((folder / "server.log").read_text(errors="replace")[-3000:])
        yield Client(HttpTransport(endpoint.url, timeout=300.0), endpoint.token)
    finally:
        server.terminate()
        server.wait(60)


def wait_for(condition: Callable[[], object], what: str, seconds: float = PATIENCE, look: float = LOOK) -> None:
    """Wait until something holds.

    Raises:
        SystemExit: it does not.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"gave up after {seconds:g} s of waiting until {what}")
        time.sleep(look)


def note(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)

"""`orchestrator mlflow`: MLflow's pages on what was tracked."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys

import click

from orchestrator.base.errors import UsageError
from orchestrator.cli.options import json_option
from orchestrator.cli.output import emit, note
from orchestrator.spec.tracking import default_artifact_root, default_tracking_uri

_LOOPBACK = "127.0.0.1"
_QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
"""Nothing leaves the machine, and no process of MLflow's own job runner outlives its pages."""


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=5000, show_default=True, help="0: any free one.")
@json_option
def command(port: int, as_json: bool) -> None:
    """Serve MLflow's pages on loopback, in the foreground; where a tracking server is configured, say where it is."""
    uri = default_tracking_uri()
    if uri.startswith(("http://", "https://")):
        emit(as_json, {"url": uri, "tracking_uri": uri}, lambda: uri)
        note("this tracking server is configured by MLFLOW_TRACKING_URI; open it in a browser")
        return
    if importlib.util.find_spec("mlflow") is None:
        raise UsageError("MLflow is not installed", hint="pip install 'orchestrator[tracking]'")
    chosen = _free_port(port)
    url = f"http://{_LOOPBACK}:{chosen}"
    default_artifact_root().mkdir(parents=True, exist_ok=True)
    emit(as_json, {"url": url, "tracking_uri": uri}, lambda: url)
    note(f"MLflow's pages on {uri}; Ctrl-C ends them")
    sys.stdout.flush()
    os.dup2(sys.stderr.fileno(), 1)  # stdout holds our result alone; what MLflow says goes to stderr
    os.execve(sys.executable, server_command(uri, chosen), os.environ | _QUIET)


def server_command(uri: str, port: int) -> list[str]:
    """The argument vector of MLflow's server."""
    options = {"--backend-store-uri": uri, "--host": _LOOPBACK, "--port": str(port), "--workers": "1"}
    return [sys.executable, "-P", "-m", "mlflow", "server", *(part for pair in options.items() for part in pair)]


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe:
            try:
                probe.bind((_LOOPBACK, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise UsageError("no port of loopback is free", hint="give --port")

"""`orchestrator serve`: the server in the foreground."""

from __future__ import annotations

import os
from pathlib import Path

import click

from orchestrator.api.binding import ServeOptions, check_binding
from orchestrator.api.endpoint import Endpoint, hold
from orchestrator.base.errors import UsageError
from orchestrator.cli.connect import TOKEN_VARIABLE
from orchestrator.cli.options import json_option
from orchestrator.cli.output import emit, note

_SHORTEST_TOKEN = 16


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; beyond loopback needs tokens.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Default: any free one.")
@click.option("--profile", help="The cluster, by name or path.  [default: the one that was served last, else local]")
@click.option("--tokens", type=click.Path(path_type=Path, dir_okay=False), help="The team's tokens (JSON, mode 600).")
@click.option("--stop", is_flag=True, help="End the server that runs instead; its jobs go on.")
@json_option
def command(host: str, port: int, profile: str | None, tokens: Path | None, stop: bool, as_json: bool) -> None:
    """Run the server in the foreground; without it, the first command starts one by itself."""
    if stop:
        _stop(as_json)
        return
    with hold("lock"):  # another one that runs is told, and is waited for by commands, before anything large is loaded
        options = _options(host, port, _profile(profile), tokens)
        check_binding(options)
        _serve(options, as_json)


def _serve(options: ServeOptions, as_json: bool) -> None:
    """Serve; the lock is held."""
    import logging

    from orchestrator.api.server import serve

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")

    def ready(endpoint: Endpoint) -> None:
        data = {"url": endpoint.url, "pid": endpoint.pid, "profile": endpoint.profile}
        emit(as_json, data, lambda: endpoint.url)
        note(f"serving cluster {endpoint.profile}; Ctrl-C ends the server, and its jobs go on")

    serve(options, ready=ready, locked=True)


def _profile(named: str | None) -> str:
    """What to serve; a wrong profile is refused before anything else is loaded."""
    from orchestrator.api.served import profile_to_serve
    from orchestrator.spec.load import load_served_profile

    profile = named or profile_to_serve()
    load_served_profile(profile)
    return profile


def _options(host: str, port: int, profile: str, tokens: Path | None) -> ServeOptions:
    token = os.environ.get(TOKEN_VARIABLE) or None
    if token is not None and len(token) < _SHORTEST_TOKEN:
        raise UsageError(f"{TOKEN_VARIABLE} is shorter than {_SHORTEST_TOKEN} characters", hint="take a random text")
    return ServeOptions(profile, host, port, tokens, token)


def _stop(as_json: bool) -> None:
    from orchestrator.cli.start import stop_running

    ended = stop_running()
    data = {"stopped": ended is not None, "pid": None if ended is None else ended.pid}
    emit(as_json, data, lambda: "no server runs" if ended is None else f"the server (process {ended.pid}) has ended")

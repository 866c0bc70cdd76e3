"""`orchestrator plan`: what a workload would do and cost, without a server and without starting anything."""

from __future__ import annotations

import getpass
from pathlib import Path

import click

from orchestrator.cli.options import WORKLOAD, json_option, set_option
from orchestrator.cli.output import emit


@click.command()
@click.argument("file", type=WORKLOAD)
@set_option
@click.option("--cluster", metavar="NAME", default="local", show_default=True, help="A cluster profile.")
@json_option
def command(file: str, overrides: tuple[str, ...], cluster: str, as_json: bool) -> None:
    """Say what the workload in FILE (`-`: standard input) would sample, compute and launch."""
    from orchestrator.backends.local import LocalBackend
    from orchestrator.base.paths import state_dir
    from orchestrator.cli.source import read_source
    from orchestrator.planning.history import local_history
    from orchestrator.planning.plan import make_plan
    from orchestrator.spec.load import load_profile, parse_workload

    source = read_source(file)
    workload = parse_workload(source.content, source.filename, overrides)
    profile = load_profile(cluster)
    history = local_history(state_dir(), name=workload.name)
    plan = make_plan(
        workload, profile, LocalBackend(profile), workdir=Path.cwd(), history=history, owner=getpass.getuser()
    )
    emit(as_json, plan, plan.render)

"""Options and argument types that several commands share, with what a shell completes for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from orchestrator.base.errors import OrchestratorError

F = TypeVar("F", bound=Callable[..., Any])


class JobType(click.ParamType):  # type: ignore[type-arg]
    """A job: its identifier, a unique prefix of it, or its name."""

    name = "job"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Jobs of the server, where one runs; never starts one."""
        from orchestrator.cli.connect import connect_to_running

        try:
            client = connect_to_running(timeout=0.5)
            jobs = client.jobs(limit=200) if client is not None else []
        except OrchestratorError:
            return []
        return [CompletionItem(j.id, help=f"{j.name} {j.state}") for j in jobs if j.id.startswith(incomplete)]


class WorkloadType(click.ParamType):  # type: ignore[type-arg]
    """A workload's file; `-` is standard input."""

    name = "file"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Folders and YAML files."""
        from pathlib import Path

        folder = Path(incomplete) if incomplete.endswith("/") else Path(incomplete).parent
        start = "" if incomplete.endswith("/") else Path(incomplete).name
        try:
            entries = sorted(e for e in folder.iterdir() if e.name.startswith(start) and not e.name.startswith("."))
        except OSError:
            return []
        found = [f"{e}/" if e.is_dir() else str(e) for e in entries if e.is_dir() or e.suffix in {".yaml", ".yml"}]
        return [CompletionItem(path) for path in found]


class NodeType(click.ParamType):  # type: ignore[type-arg]
    """A node of the cluster."""

    name = "node"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Nodes of the server's cluster, where one runs; never starts one."""
        from orchestrator.cli.connect import connect_to_running

        try:
            client = connect_to_running(timeout=0.5)
            nodes = client.nodes() if client is not None else []
        except OrchestratorError:
            return []
        return [CompletionItem(node.name, help=node.state) for node in nodes if node.name.startswith(incomplete)]


JOB = JobType()
NODE = NodeType()
WORKLOAD = WorkloadType()


def json_option(command: F) -> F:
    """`--json`: print the envelope instead of text."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(command)


def set_option(command: F) -> F:
    """`--set key=value`: change a workload from the command line."""
    return click.option(
        "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change the workload, e.g. --set optim.lr=0.1."
    )(command)

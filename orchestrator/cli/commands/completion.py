"""`orchestrator completion`: what makes a shell complete commands, job ids and workload paths."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from orchestrator.cli.options import json_option
from orchestrator.cli.output import emit, note

_INSTALL = {
    "bash": 'eval "$(orchestrator completion bash)"      # into ~/.bashrc',
    "zsh": 'eval "$(orchestrator completion zsh)"       # into ~/.zshrc',
    "fish": "orchestrator completion fish | source       # into ~/.config/fish/config.fish",
}


@click.command()
@click.argument("shell", type=click.Choice(tuple(_INSTALL)))
@json_option
@click.pass_context
def command(context: click.Context, shell: str, as_json: bool) -> None:
    """Print the completion script for SHELL."""
    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(context.find_root().command, {}, "orchestrator", "_ORCHESTRATOR_COMPLETE").source()
    emit(as_json, {"shell": shell, "script": script, "install": _INSTALL[shell]}, lambda: script)
    note(f"# {_INSTALL[shell]}")

"""A click group that knows its commands by name and one line, and imports a command only to run it."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Mapping
from typing import ClassVar, NamedTuple

import click
from click.shell_completion import CompletionItem

from orchestrator.base.errors import UsageError


class Entry(NamedTuple):
    """Where a command lives (a module with an attribute `command`), and what it is for."""

    module: str
    help: str
    group: bool = False


class LazyGroup(click.Group):
    """Help and completion come from the table alone."""

    entries: ClassVar[Mapping[str, Entry]] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order of the table."""
        return list(self.entries)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import the command."""
        entry = self.entries.get(name)
        if entry is None:
            return None
        command = importlib.import_module(entry.module).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands in `--help`."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in self.entries.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one was probably meant.

        Raises:
            UsageError: there is no such command.
        """
        name = args[0]
        if name not in self.entries and not name.startswith("-") and not ctx.resilient_parsing:
            raise UsageError(f"there is no command {name!r}", hint=self._elsewhere(ctx, name))
        return super().resolve_command(ctx, args)

    def _elsewhere(self, ctx: click.Context, name: str) -> str:
        """The groups that have a command of this name, or else the closest names."""
        groups = [(key, self.get_command(ctx, key)) for key, entry in self.entries.items() if entry.group]
        within = [key for key, group in groups if isinstance(group, LazyGroup) and name in group.entries]
        found = ", ".join(f"{ctx.command_path} {key} {name}" for key in within)
        return f"did you mean: {found}?" if found else did_you_mean(name, self.entries)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names of commands and options."""
        names = [CompletionItem(n, help=e.help) for n, e in self.entries.items() if n.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint that names the closest words, or where to find them all."""
    close = difflib.get_close_matches(word, list(known), n=3, cutoff=0.6)
    return f"did you mean: {', '.join(close)}?" if close else "`orchestrator --help` lists the commands"

"""`orchestrator verify`: prove that results do not depend on what happens to the workers, without a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import click

from orchestrator.cli.group import Entry, LazyGroup

_HERE = "orchestrator.cli.commands.verify."


class VerifyGroup(LazyGroup):
    """The commands that prove."""

    entries: ClassVar[Mapping[str, Entry]] = {
        "elastic": Entry(_HERE + "elastic", "Train in a storm of lost and new workers; compare bit for bit."),
        "twin": Entry(_HERE + "twin", "Compare two runs step by step; name the first difference."),
    }


@click.command(cls=VerifyGroup)
def command() -> None:
    """Prove that results do not depend on what happens to the workers."""

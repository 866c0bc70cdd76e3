"""`orchestrator data`: build, verify and look into datasets, without a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import click

from orchestrator.cli.group import Entry, LazyGroup

_HERE = "orchestrator.cli.commands.data."


class DataGroup(LazyGroup):
    """The commands on datasets."""

    entries: ClassVar[Mapping[str, Entry]] = {
        "build": Entry(_HERE + "build", "Make a dataset's shards from its card."),
        "verify": Entry(_HERE + "verify", "Check every byte of a dataset."),
        "publish": Entry(_HERE + "publish", "Upload a dataset to a URL."),
        "info": Entry(_HERE + "info", "Describe a dataset."),
        "head": Entry(_HERE + "head", "Show the first rows of a dataset, as a contact sheet too."),
        "stats": Entry(_HERE + "stats", "Measure a dataset: classes, image sizes, pixels."),
        "order": Entry(_HERE + "order", "Say where a sample falls in an epoch, for any world size."),
    }


@click.command(cls=DataGroup)
def command() -> None:
    """Build, verify and look into datasets."""

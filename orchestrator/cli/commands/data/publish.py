"""`orchestrator data publish`: put a built dataset into a remote store."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.base.errors import UsageError
from orchestrator.cli.commands.data.locate import built_dataset, reach
from orchestrator.cli.options import WORKLOAD, json_option
from orchestrator.cli.output import emit


@click.command()
@click.argument("dataset", type=WORKLOAD)
@click.argument("url")
@json_option
def command(dataset: str, url: str, as_json: bool) -> None:
    """Upload DATASET (a folder, or a card's name or path) to URL, such as s3://bucket/data/cifar10.

    Its index comes last: nobody reads half of it. Interrupted, the same command goes on with what is missing.
    """
    root = built_dataset(dataset)
    if not isinstance(root, Path):
        raise UsageError(f"{dataset} is remote already", hint="name a dataset that is built on this machine")
    reach(url)
    from orchestrator.cli.progress import counter
    from orchestrator.data.index import DatasetIndex
    from orchestrator.data.remote.upload import publish

    with counter("publishing", "bytes") as progress:
        uploaded = publish(root, url, progress)
    version = DatasetIndex.open(root).version
    emit(as_json, {"url": url, "version": version, "uploaded": uploaded}, lambda: _text(version, url, uploaded))


def _text(version: str, url: str, uploaded: int) -> str:
    if not uploaded:
        return f"version {version[:16]} is at {url} already: nothing uploaded"
    return f"published version {version[:16]} to {url}: {uploaded:,} files uploaded"

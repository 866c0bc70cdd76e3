"""`orchestrator schema`: the JSON Schema of a document, for editors."""

from __future__ import annotations

import json
from typing import Literal

import click

from orchestrator.cli.options import json_option
from orchestrator.cli.output import emit


@click.command()
@click.argument("kind", type=click.Choice(["workload", "profile", "policy", "card"]))
@json_option
def command(kind: Literal["workload", "profile", "policy", "card"], as_json: bool) -> None:
    """Print the JSON Schema of a workload, a cluster profile, a policy or a dataset card."""
    from orchestrator.spec.schema import json_schema

    schema = json_schema(kind)
    emit(as_json, schema, lambda: json.dumps(schema, indent=2))

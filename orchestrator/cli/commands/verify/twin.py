"""`orchestrator verify twin`: two runs side by side, step by step."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from orchestrator.base.errors import NotFound
from orchestrator.base.text import counted
from orchestrator.cli.commands.data.locate import jsonable
from orchestrator.cli.options import json_option
from orchestrator.cli.output import CommandFailed, emit


@click.command()
@click.argument("first", metavar="RUN_A")
@click.argument("second", metavar="RUN_B")
@json_option
def command(first: str, second: str, as_json: bool) -> None:
    """Compare RUN_A with RUN_B: ids of jobs or runs on this machine, or their directories.

    Both need an audit trail: --set elastic.audit=true. Exit code 1: they differ.
    """
    from orchestrator.verification.trail import read_trail
    from orchestrator.verification.twin import compare

    one, other = read_trail(_located(first)), read_trail(_located(second))
    found = compare(one, other)
    document = jsonable(asdict(found)) | {"equal": found.equal}
    if found.difference is not None:
        raise CommandFailed(
            f"{one.name} and {other.name} differ: first {found.difference}",
            hint="compare what each was given: orchestrator plan, and the fingerprints in their summaries",
            data=document,
            code="differs",
            exit_code=1,
        )
    alone = [
        f"{name} alone has {count} more"
        for name, count in zip((one.name, other.name), found.only, strict=True)
        if count
    ]
    text = "; ".join([f"{counted(found.steps, 'step')} equal bit for bit: samples, gradients, parameters", *alone])
    emit(as_json, document, lambda: text)


def _located(name: str) -> Path:
    """The directory of a job or a run.

    Raises:
        NotFound: there is none.
    """
    from orchestrator.base.paths import state_dir
    from orchestrator.spec.load import load_profile

    if Path(name).is_dir():
        return Path(name).absolute()
    root = load_profile("local").runs_dir or state_dir() / "runs"
    job = Path(root) / "jobs" / name.rpartition("-r")[0]
    for path in (Path(root) / "jobs" / name, job / "runs" / name):
        if path.is_dir():
            return path
    raise NotFound(f"there is no job or run {name} on this machine", hint="see: orchestrator jobs --all")

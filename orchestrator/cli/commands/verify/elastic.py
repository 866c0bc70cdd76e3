"""`orchestrator verify elastic`: a few dozen steps undisturbed and in a storm, compared bit for bit."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.commands.data.locate import jsonable
from orchestrator.cli.human import size
from orchestrator.cli.options import WORKLOAD, json_option, set_option
from orchestrator.cli.output import CommandFailed, emit, note

if TYPE_CHECKING:
    from orchestrator.verification.elastic import Verdict


@click.command()
@click.argument("file", type=WORKLOAD)
@set_option
@click.option("--workers", type=click.IntRange(min=2), help="The most there are. [default: up to 4]")
@click.option("--ordinary/--no-ordinary", default=True, help="Also show that an ordinary sum differs.")
@click.option("--keep", type=click.Path(path_type=Path), metavar="DIR", help="Keep all that was written there.")
@json_option
def command(
    file: str, overrides: tuple[str, ...], workers: int | None, ordinary: bool, keep: Path | None, as_json: bool
) -> None:
    """Train the workload in FILE for a few dozen steps, undisturbed and in a storm, and compare the parameters.

    The storm shrinks and grows the run, kills a worker and its leader in the middle of a step, stops another, pauses
    the run and kills all of it. Exit code 1: the parameters differ, or the storm did not hit.
    """
    from orchestrator.cli.source import read_source
    from orchestrator.spec.load import parse_workload
    from orchestrator.verification.elastic import verify_elastic

    source = read_source(file)
    workload = parse_workload(source.content, source.filename, overrides)
    with tempfile.TemporaryDirectory(prefix="orchestrator-verify-") as temporary:
        folder = (keep or Path(temporary)).absolute()
        verdict = verify_elastic(
            workload, folder, workdir=Path.cwd(), workers=workers, ordinary=ordinary, say=lambda text: note(f"  {text}")
        )
    document = jsonable(asdict(verdict)) | {"holds": verdict.holds}
    if not verdict.holds:
        hint = f"everything is under {folder}" if keep else "--keep DIR keeps what was written"
        raise CommandFailed(_text(verdict), hint=hint, data=document, code="differs", exit_code=1)
    emit(as_json, document, lambda: _text(verdict))


def _text(verdict: Verdict) -> str:
    proof, found = verdict.proof, verdict.comparison
    if found.difference is not None:
        head = f"the parameters differ: first {found.difference}"
    else:
        head = (
            f"equal bit for bit: samples, gradients and parameters of {found.steps} steps, undisturbed and in the storm"
        )
    lines = [
        head,
        f"  virtual workers     {verdict.virtual_workers}",
        f"  worlds in the storm {' '.join(map(str, proof.worlds))}",
        f"  kept processes      {proof.kept} went through a planned change of workers",
        f"  hits inside a step  {proof.hits}; steps done again, equally: {proof.redone}",
    ]
    if proof.sent is not None:
        lines.append(f"  sent per worker     {size(int(proof.sent))} a step")
    if proof.missed:
        lines.append(f"  did not happen      {'; '.join(proof.missed)}: the storm proves nothing there")
    if verdict.ordinary is not None:
        ordinary = verdict.ordinary.difference
        text = (
            "equal, too: this workload cannot show a difference" if ordinary is None else f"differs: first {ordinary}"
        )
        lines.append(f"  an ordinary sum     {text}")
    return "\n".join(lines)

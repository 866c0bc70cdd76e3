"""`orchestrator verify elastic`: a few dozen steps undisturbed and in a storm, compared bit for bit."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.base.errors import TimedOut, UsageError
from orchestrator.base.text import counted
from orchestrator.cli.commands.data.locate import jsonable
from orchestrator.cli.human import size
from orchestrator.cli.options import WORKLOAD, json_option, set_option
from orchestrator.cli.output import CommandFailed, emit, note

if TYPE_CHECKING:
    from orchestrator.verification.elastic import Verdict
    from orchestrator.verification.twin import Comparison


@click.command()
@click.argument("file", type=WORKLOAD)
@set_option
@click.option("--workers", type=click.IntRange(min=2), help="The most there are. [default: up to 4]")
@click.option("--ordinary/--no-ordinary", default=True, help="Also show that an ordinary sum differs.")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write to this empty folder and keep it. [default: a temporary one, kept where something went wrong]",
)
@json_option
def command(
    file: str, overrides: tuple[str, ...], workers: int | None, ordinary: bool, keep: Path | None, as_json: bool
) -> None:
    """Train the workload in FILE for a few dozen steps, undisturbed and in a storm, and compare the parameters.

    The storm shrinks and grows the run, kills a worker and its leader in the middle of a step, stops another, pauses
    the run and kills all of it. On two quiet cores that takes some minutes, half of them with --no-ordinary. Exit code
    1: the trainings differ, or something of the storm did not happen.
    """
    from orchestrator.cli.source import read_source
    from orchestrator.spec.load import parse_workload
    from orchestrator.verification.elastic import verify_elastic

    source = read_source(file)
    workload = parse_workload(source.content, source.filename, overrides)
    # Told to end, it ends as by Ctrl-C: no agent is left behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _folder(keep) as folder:
        verdict = verify_elastic(
            workload, folder, workdir=Path.cwd(), workers=workers, ordinary=ordinary, say=lambda text: note(f"  {text}")
        )
        document = jsonable(asdict(verdict)) | {"holds": verdict.holds}
        if not verdict.holds:
            raise CommandFailed(
                _text(verdict), hint=f"everything is under {folder}", data=document, code="differs", exit_code=1
            )
    emit(as_json, document, lambda: _text(verdict))


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Where everything is written. A temporary folder stays where a training failed, or the proof did.

    Raises:
        UsageError: there is something in the folder to keep.
    """
    from orchestrator.verification.rehearsal import RehearsalFailed

    if keep is not None:
        if keep.is_dir() and any(keep.iterdir()):
            raise UsageError(f"{keep} is not empty", hint="give a new folder, or empty this one")
        yield keep.absolute()
        return
    folder = Path(tempfile.mkdtemp(prefix="orchestrator-verify-"))
    try:
        yield folder
    except (RehearsalFailed, TimedOut, CommandFailed):
        raise
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


def _text(verdict: Verdict) -> str:
    proof, found = verdict.proof, verdict.comparison
    lines = [
        _head(found),
        f"  virtual workers     {verdict.virtual_workers}",
        f"  worlds in the storm {' '.join(map(str, proof.worlds))}",
        f"  kept processes      {proof.kept} went through a planned change of workers",
        f"  hits inside a step  {proof.hits}; {counted(proof.redone, 'step')} done again",
        f"  sent per worker     {'not known' if proof.sent is None else size(int(proof.sent)) + ' a step'}",
    ]
    if proof.missed:
        lines.append(f"  not proven          {'; '.join(proof.missed)}")
    if verdict.ordinary is not None:
        ordinary = verdict.ordinary.difference
        text = (
            "equal, too: this workload cannot show a difference" if ordinary is None else f"differs: first {ordinary}"
        )
        lines.append(f"  an ordinary sum     {text}")
    return "\n".join(lines)


def _head(found: Comparison) -> str:
    if found.difference is not None:
        return f"the trainings differ: first {found.difference}"
    if any(found.only):
        calm, storm = found.only
        return f"no proof: {counted(calm, 'step')} of the undisturbed training and {storm} of the storm have no partner"
    what = f"samples, gradients and parameters of {counted(found.steps, 'step')}"
    return f"equal bit for bit: {what}, undisturbed and in the storm"

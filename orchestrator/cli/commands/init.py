"""`orchestrator init`: lay out what people edit, without touching what is there."""

from __future__ import annotations

import os
from pathlib import Path

import click

from orchestrator.base.errors import UsageError
from orchestrator.base.files import create_exclusive
from orchestrator.base.paths import bundled
from orchestrator.cli.options import json_option
from orchestrator.cli.output import emit, note

FOLDERS = ("workloads", "cluster", "datasets")


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), default=Path())
@json_option
def command(directory: Path, as_json: bool) -> None:
    """Lay out workloads/, cluster/ and datasets/ in DIRECTORY (default: here); files that exist are kept."""
    written: list[str] = []
    kept: list[str] = []
    for folder in FOLDERS:
        for source in sorted(p for p in bundled(folder).rglob("*") if p.is_file() and p.suffix != ".pyc"):
            target = directory / folder / source.relative_to(bundled(folder))
            (written if _copy(source, target) else kept).append(str(target))
    data = {"directory": str(directory.absolute()), "written": written, "kept": kept}
    emit(as_json, data, lambda: "\n".join([*(f"wrote {w}" for w in written), *(f"kept  {k}" for k in kept)]))
    first = directory / "workloads" / "regnet_sweep.yaml"
    note(f"next: orchestrator plan {first}")


def _copy(source: Path, target: Path) -> bool:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = 0o755 if os.access(source, os.X_OK) else 0o644
        return create_exclusive(target, source.read_bytes(), mode=mode)
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror}", hint="choose another directory") from None

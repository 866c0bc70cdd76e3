"""`orchestrator data build`: make a dataset's shards from its card."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.base.paths import state_dir
from orchestrator.base.text import one_line
from orchestrator.cli.commands.data.locate import jsonable, require_data_plane
from orchestrator.cli.entry import INTERRUPTED
from orchestrator.cli.human import size
from orchestrator.cli.options import WORKLOAD, json_option
from orchestrator.cli.output import CommandFailed, emit, note

if TYPE_CHECKING:
    from orchestrator.data.build import BuildReport
    from orchestrator.spec.card import DatasetCard

_REASONS = 8
_EXAMPLES = 3


@click.command()
@click.argument("card", type=WORKLOAD)
@click.option("--source", type=click.Path(path_type=Path), help="Where the inputs are.")
@click.option("--out", help="A new folder or URL (s3://…); default: in the state directory.")
@click.option("--processes", type=click.IntRange(1, 1024), help="Default: as many as there are cores.")
@json_option
def command(card: str, source: Path | None, out: str | None, processes: int | None, as_json: bool) -> None:
    """Make the shards of CARD (a dataset card's name or path).

    A build that was interrupted goes on where it was when it is started again; the same input gives the same bytes,
    and is not built twice. To a URL it is built in the state directory first, then published.
    """
    require_data_plane()
    from orchestrator.spec.load import load_card
    from orchestrator.spec.place import parse_location
    from orchestrator.spec.placement import dataset_root

    loaded = load_card(card)
    place = dataset_root(loaded, state_dir()) if out is None else parse_location(out)
    url = None if isinstance(place, Path) else place.url
    root = place.expanduser().absolute() if isinstance(place, Path) else dataset_root(loaded, state_dir())
    report = _build(loaded, source, root, processes)
    if url is not None:
        _publish(root, url)
    emit(as_json, _document(report, url), lambda: _text(report, url or str(root)))
    if loaded.statistics is None and any(column.type == "image" for column in loaded.columns.values()):
        named = card if out is None else out
        note(f"no mean and std are stated; for data.mean and data.std of a workload: orchestrator data stats {named}")


def _build(card: DatasetCard, source: Path | None, root: Path, processes: int | None) -> BuildReport:
    from orchestrator.cli.progress import LISTING, counter
    from orchestrator.data.build import build
    from orchestrator.data.rebuild import already_built

    try:
        with counter(f"building {card.name}", "samples") as progress:

            def listed(seen: int) -> None:
                progress(seen, LISTING)

            found = already_built(card, source, root, listed)
            report = found or build(card, source, root, progress, processes=processes, listed=listed)
    except KeyboardInterrupt as stopped:
        raise CommandFailed(
            str(stopped) or "no shard was begun: the source was still being listed",
            hint="the same command goes on from there",
            code="interrupted",
            exit_code=INTERRUPTED,
        ) from None
    if found is not None:
        note(f"{root} is built already: delete it to build it anew, or build elsewhere with --out")
    else:
        _tell(report)
    return report


def _publish(root: Path, url: str) -> None:
    from orchestrator.cli.progress import counter
    from orchestrator.data.remote.upload import publish

    with counter(f"publishing to {one_line(url)}", "bytes") as progress:
        publish(root, url, progress)


def _tell(report: BuildReport) -> None:
    """What a person should know of a build beyond its result: what was kept, left out, and odd."""
    from orchestrator.data.build import SKIPPED_FILE

    if report.kept:
        note(f"kept {report.kept:,} of {report.shards:,} shards that an interrupted build had finished")
    examples: dict[str, list[str]] = defaultdict(list)
    parts = {skipped.reason for skipped in report.skipped if skipped.annotation}
    for skipped in report.skipped:
        if len(examples[skipped.reason]) < _EXAMPLES:
            examples[skipped.reason].append(one_line(skipped.name, 60))
    reasons = report.skipped_by_reason
    for reason, count in list(reasons.items())[:_REASONS]:
        named = ", ".join(examples[reason]) + (", …" if count > _EXAMPLES else "")
        what = f" annotation{'s' * (count != 1)}" * (reason in parts)
        note(f"left out {count:,}{what}: {one_line(reason)}: {named}")
    if len(reasons) > _REASONS:
        note(f"left out for {len(reasons) - _REASONS} more reasons: {sum(list(reasons.values())[_REASONS:]):,}")
    if reasons:
        note(f"all that was left out is listed in {report.root / SKIPPED_FILE}")
    for warning in report.warnings:
        note(f"warning: {one_line(warning, 300)}")


def _document(report: BuildReport, url: str | None) -> dict[str, object]:
    document: dict[str, object] = jsonable(report)
    return document | {"skipped_by_reason": report.skipped_by_reason} | ({"url": url} if url else {})


def _text(report: BuildReport, place: str) -> str:
    rows = ", ".join(f"{split} {count:,}" for split, count in report.rows.items())
    left_out = f", {report.left_out:,} left out" if report.left_out else ""
    if report.annotations_left_out:
        left_out += f", {report.annotations_left_out:,} annotation{'s' * (report.annotations_left_out != 1)} left out"
    shards = f"{size(report.bytes)} in {report.shards:,} shard{'s' * (report.shards != 1)}"
    return f"{report.name} {report.version[:16]}: {rows}; {shards}{left_out}\n{place}"

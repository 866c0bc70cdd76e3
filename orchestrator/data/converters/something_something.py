"""Something-Something V2: JSON label lists with templates, and videos `<id>.webm`.

Lists are JSON arrays of {id, label, template, placeholders}; a template without its brackets is a class of
`labels.json`, {"<template>": "<number>"}. Test lists have identifiers only; their labels come from `test-answers.csv`
(`<id>;<template>`) beside the list, where it is there.

Defaults of the layout: `tables: labels/*{split}.json` and `labels: labels/*labels.json` (older releases call them
`something-something-v2-train.json` and so on), `images: 20bn-something-something-v2`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestrator.base.errors import DataError
from orchestrator.data.converters.listing import Listing
from orchestrator.data.converters.places import matching, source_folder, tables_of
from orchestrator.data.converters.values import UNKNOWN
from orchestrator.data.converters.video_lists import ListedVideo, VideoColumns, find_videos
from orchestrator.data.source import Source
from orchestrator.spec.card import DatasetCard

_TABLES = "labels/*{split}.json"
_LABELS = "labels/*labels.json"
_IMAGES = "20bn-something-something-v2"
_ANSWERS = "test-answers.csv"
_FIELDS = ("id", "label", "template", "placeholders")

_Row = Mapping[str, Any]


def scan(card: DatasetCard, source: Path | None, listing: Listing | None = None) -> Source:
    """Find the video of every row of the label lists; the classes are those of labels.json, in its order.

    Rows whose video is not on disk, rows of no class, and videos in no list are listed as skipped.

    Raises:
        UsageError: no source was given.
        NotFound: the source, a label list, labels.json or the folder of videos is absent.
        DataError: a file is not what it should be, or no video of the lists is there.
    """
    root, listing = source_folder(card, source), listing or Listing()
    columns = VideoColumns.of(card, root, _FIELDS)
    classes = _classes(matching(root, card.layout.labels or _LABELS, listing)[0])
    lists: dict[str, list[ListedVideo]] = {}
    for split, paths in tables_of(card, root, _TABLES, listing).items():
        rows = (row for path in paths for row in _rows(path, listing))
        lists[split] = list(_listed(rows, split, classes, listing))
    folders = {split: (card.layout.images or _IMAGES).replace("{split}", split) for split in lists}
    return listing.source(classes, find_videos(root, folders, lists, columns, listing))


def _listed(rows: Iterable[_Row], split: str, classes: tuple[str, ...], listing: Listing) -> Iterator[ListedVideo]:
    numbers = {name: number for number, name in enumerate(classes)}
    for row in rows:
        name = str(row["id"])
        template = _plain(str(row.get("template", "")))
        if template and template not in numbers:
            listing.add(f"{split} {name}", f"its template {template!r} is not in labels.json")
        else:
            yield ListedVideo(f"{split} {name}", (name,), (), numbers.get(template, UNKNOWN), row)


def _plain(template: str) -> str:
    """A template as labels.json writes it: without the brackets around `[something]`."""
    return template.replace("[", "").replace("]", "").strip()


def _rows(path: Path, listing: Listing) -> list[_Row]:
    document = _json(path)
    if not isinstance(document, list) or not all(isinstance(row, dict) and "id" in row for row in document):
        raise DataError(f"{path} is no label list", hint="it is a JSON array of {id, label, template, placeholders}")
    listing.uses(path.with_name(_ANSWERS))
    answers = _answers(path.with_name(_ANSWERS))
    return [
        row if "template" in row or str(row["id"]) not in answers else {**row, **answers[str(row["id"])]}
        for row in document
    ]


def _answers(path: Path) -> dict[str, _Row]:
    """What `test-answers.csv` says of each identifier; nothing where there is no such file."""
    if not path.is_file():
        return {}
    answers: dict[str, _Row] = {}
    for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines():
        name, separator, template = line.partition(";")
        if separator:
            answers[name.strip()] = {"template": template.strip(), "label": template.strip()}
    return answers


def _classes(path: Path) -> tuple[str, ...]:
    document = _json(path)
    hint = 'it is {"<template without brackets>": "<number>"}, the numbers from 0 on'
    if not isinstance(document, dict) or not all(str(number).isdecimal() for number in document.values()):
        raise DataError(f"{path} does not list the classes", hint=hint)
    by_number = sorted(document, key=lambda name: int(document[name]))
    if [int(document[name]) for name in by_number] != list(range(len(by_number))):
        raise DataError(f"the classes of {path} are not numbered 0 to {len(by_number) - 1}", hint=hint)
    return tuple(by_number)


def _json(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8-sig")
        if not text.strip():
            raise DataError(f"{path} is empty", hint="fetch it again")
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON file: {error}", hint="fetch it again") from error

"""Videos that label lists name: what a card wants of a list's rows, the files on disk, the samples made of both."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from orchestrator.base.errors import DataError, NotFound
from orchestrator.data.converters.listing import Listing
from orchestrator.data.converters.places import OUTSIDE, contained, is_file, is_folder
from orchestrator.data.converters.values import MediaFolder, Wanted, value_of, wanted_columns
from orchestrator.data.source import BadSample, Record, Sample
from orchestrator.data.video import VIDEO_SUFFIXES
from orchestrator.spec.card import DatasetCard

_DEPTH = 3
_NO_MEDIA = MediaFolder("")
_LAID_OUT = "the card's `layout.images` is the folder of the videos; see how it says the source is laid out"


@dataclass(frozen=True)
class VideoFile:
    """A video on disk: its path, its name in the source, and its size in bytes."""

    path: str
    name: str
    size: int

    @property
    def folder(self) -> str:
        """The name of the folder that it lies in."""
        return os.path.basename(os.path.dirname(self.path))


@dataclass(frozen=True)
class VideoColumns:
    """The columns of a card for videos: one video, one label, and what else its lists hold."""

    video: str
    label: str
    others: tuple[Wanted, ...]

    @classmethod
    def of(cls, card: DatasetCard, root: Path, fields: Iterable[str]) -> VideoColumns:
        """The columns of `card`; `fields` are what the rows of its lists hold.

        Raises:
            DataError: it has not one video and one label, or wants what the lists lack.
        """
        without_file = card.model_copy(update={"layout": card.layout.model_copy(update={"labels": None})})
        wanted = wanted_columns(without_file, root, Listing())
        videos = [one.name for one in wanted if one.kind == "video"]
        labels = [one.name for one in wanted if one.kind == "label"]
        if len(videos) != 1 or len(labels) != 1:
            raise DataError(
                f"the converter {card.converter} makes one video and one label column", hint="mend the card"
            )
        others = tuple(one for one in wanted if one.kind not in ("video", "label"))
        lacking = [one.field for one in others if one.field not in fields]
        if lacking:
            raise DataError(
                f"the label lists have no field {lacking[0]!r}", hint=f"columns' `field` is one of {', '.join(fields)}"
            )
        return cls(videos[0], labels[0], others)

    def sample(self, file: VideoFile, split: str, listed: ListedVideo) -> Sample:
        """The sample of a video and its row; BadSample where the row is no good."""
        values = {one.name: value_of(one, listed.row.get(one.field), _NO_MEDIA) for one in self.others}
        read = partial(_read, file.path, self.video, {self.label: listed.label, **values})
        return Sample(file.name, split, listed.label, file.size, read)


@dataclass(frozen=True)
class ListedVideo:
    """A row of a label list.

    Attributes:
        place: where it stands, for reports.
        stems: what its file may be called, without suffix; the first that is there is taken.
        folders: names of folders that are preferred where several files are called so.
        label: the number of its class.
        row: its cells.
    """

    place: str
    stems: tuple[str, ...]
    folders: tuple[str, ...]
    label: int
    row: Mapping[str, Any]


def find_videos(
    root: Path,
    folders: Mapping[str, str],
    lists: Mapping[str, Iterable[ListedVideo]],
    columns: VideoColumns,
    listing: Listing,
) -> list[Sample]:
    """The samples of all rows whose video is on disk; each video is used once. The others are listed as skipped.

    Args:
        root: the source.
        folders: the folder of the videos of each split, relative to `root`.
        lists: the rows of each split.
        columns: what the card wants.
        listing: takes what is left out, videos that no row names included.

    Raises:
        DataError: a folder leads out of the source, or none of the videos is there.
        NotFound: there is no such folder.
    """
    disk: dict[str, dict[str, list[VideoFile]]] = {}
    used: set[str] = set()
    samples: list[Sample] = []
    rows = 0
    for split, listed in lists.items():
        folder = folders[split]
        if folder not in disk:
            disk[folder] = _videos_on_disk(root, folder, listing)
        for video in listed:
            rows += 1
            try:
                samples.append(columns.sample(_file_of(video, disk[folder], used), split, video))
            except BadSample as error:
                listing.add(video.place, error.message)
    if not samples:
        raise DataError(
            f"none of the {rows:,} videos of the label lists is in {', '.join(disk)} of {root}",
            hint=_LAID_OUT,
        )
    for file in (file for videos in disk.values() for files in videos.values() for file in files):
        if file.path not in used:
            listing.add(file.name, "on disk, but in no label list")
    return samples


def _file_of(video: ListedVideo, videos: Mapping[str, list[VideoFile]], used: set[str]) -> VideoFile:
    found = next((videos[stem] for stem in video.stems if stem in videos), None)
    if found is None:
        raise BadSample("in the label list, but not on disk")
    file = next((one for one in found if one.folder in video.folders), found[0])
    if file.path in used:
        raise BadSample(f"its video {file.name} belongs to an earlier row")
    used.add(file.path)
    return file


def _videos_on_disk(root: Path, folder: str, listing: Listing) -> dict[str, list[VideoFile]]:
    """All videos at or below `folder` (three levels down at most), by name without suffix."""
    try:
        place = contained(str(root), folder)
    except BadSample as error:
        raise DataError(f"the folder of videos {folder!r}: {error.message}") from error
    if not os.path.isdir(place):
        raise NotFound(f"no folder {place}", hint=_LAID_OUT)
    found: dict[str, list[VideoFile]] = {}
    for file in _walk(str(root), place, listing, _DEPTH):
        found.setdefault(os.path.basename(os.path.splitext(file.path)[0]), []).append(file)
    return found


def _walk(root: str, place: str, listing: Listing, depth: int) -> Iterator[VideoFile]:
    with os.scandir(place) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        name = os.path.relpath(entry.path, root)
        if entry.name.startswith("."):
            continue
        if entry.is_symlink() and os.path.commonpath((root, os.path.realpath(entry.path))) != root:
            listing.add(name, OUTSIDE)
        elif is_folder(entry):
            if depth > 1:
                yield from _walk(root, entry.path, listing, depth - 1)
        elif entry.name.lower().endswith(VIDEO_SUFFIXES) and is_file(entry):
            found = entry.stat()
            listing.saw(found)
            yield VideoFile(entry.path, name, found.st_size)


def _read(path: str, video: str, values: Record) -> Record:
    with open(path, "rb") as file:
        return {video: file.read(), **values}

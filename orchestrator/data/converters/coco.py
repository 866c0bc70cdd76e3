"""COCO's layout: images, instances with boxes and masks, panoptic segments; any data set in COCO's JSON.

    <source>/<split>/*.jpg                          `layout.images`
    <source>/annotations/instances_<split>.json     `layout.instances`
    <source>/annotations/panoptic_<split>.json      `layout.panoptic`, and its PNGs in the folder panoptic_<split>/

A row is an image, also one with nothing on it: evaluation counts what is found there. A class's number is the place of
its category among all by rising id; the ids are in the attributes `categories` and `panoptic_categories`. Masks are
COCO's compressed runs of the image's height and width, whatever form the JSON has them in; all numbers are as in the
JSON. Boxes without an area stay, for COCO's evaluation counts them: what is evaluated on the rows is what is evaluated
on the JSON, but for images and annotations that are no good, which are listed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.base.errors import DataError
from orchestrator.data.converters import instances, panoptic
from orchestrator.data.converters.annotated import (
    PICTURE,
    Columns,
    Part,
    annotated_samples,
    check_classes,
    match_columns,
    of_split,
    the_same,
)
from orchestrator.data.converters.coco_json import Categories, Picture, read_categories, read_document, read_pictures
from orchestrator.data.converters.listing import Listing
from orchestrator.data.converters.places import source_folder, split_names
from orchestrator.data.source import Sample, Source
from orchestrator.spec.card import DatasetCard

_INSTANCES = "annotations/instances_{split}.json"
_KEPT = ("supercategory", "isthing")
_NOTHING = instances.Instances.of(())


def scan(card: DatasetCard, source: Path | None, listing: Listing | None = None) -> Source:
    """List the images of every split with what is on them.

    Raises:
        UsageError: no source was given.
        NotFound: the source or an annotation file is absent.
        DataError: the card has columns that COCO has not, an annotation file is damaged, or no image is there.
    """
    reading = _Reading(source_folder(card, source), card, listing or Listing())
    samples = [sample for split in split_names(card) for sample in reading.split(split)]
    if not samples:
        raise DataError(f"{source} has none of the images", hint="see how the card says the source is laid out")
    categories = reading.categories
    attributes: dict[str, Any] = {name: [dict(entry) for entry in found.entries] for name, found in categories.items()}
    for column, wanted in reading.columns:
        if wanted == "segment_labels":
            attributes[f"{column}_names"] = list(categories["panoptic_categories"].names)
    return reading.listing.source(next(iter(categories.values())).names, samples, attributes)


@dataclass
class _Reading:
    """One scan of a source: what the splits before had, and what was left out."""

    root: Path
    card: DatasetCard
    listing: Listing
    categories: dict[str, Categories] = field(default_factory=dict)
    instances_file: str | None = field(init=False)
    columns: Columns = field(init=False)

    def __post_init__(self) -> None:
        layout = self.card.layout
        self.instances_file = layout.instances or (None if layout.panoptic else _INSTANCES)
        offered = dict(PICTURE)
        more = ""
        if self.instances_file:
            offered |= instances.FIELDS
        else:
            more += f"; with layout.instances also {', '.join(instances.FIELDS)}"
        if layout.panoptic:
            offered |= panoptic.FIELDS
        else:
            more += f"; with layout.panoptic also {', '.join(panoptic.FIELDS)}"
        self.columns = match_columns(self.card, offered, more)

    def split(self, split: str) -> list[Sample]:
        """The samples of one split."""
        pictures: dict[int, Picture] = {}
        parts: list[dict[int, Any]] = []
        if self.instances_file:
            pictures, found = self._instances(of_split(self.instances_file, split))
            parts.append({image: found.get(image, _NOTHING) for image in pictures})
        if self.card.layout.panoptic:
            name = of_split(self.card.layout.panoptic, split)
            pictures, segments = self._segments(name, pictures)
            for image in pictures.keys() - segments.keys():
                self.listing.add(pictures[image].name, f"{name} says nothing of it")
            parts.append(segments)
        folder = of_split(self.card.layout.images or "{split}", split)
        return annotated_samples(self.root, folder, split, _joined(pictures, parts), self.columns, self.listing)

    def _instances(self, name: str) -> tuple[dict[int, Picture], dict[int, instances.Instances]]:
        document = read_document(self.root, name, self.listing)
        categories = self._categories(document, name, "categories", "labels")
        pictures = read_pictures(document, name, _file_name, self.listing)
        wanted = {field for _, field in self.columns}
        annotations = document["annotations"]
        found = instances.read_instances(annotations, name, pictures, categories.numbers, wanted, self.listing)
        return pictures, found

    def _segments(
        self, name: str, pictures: dict[int, Picture]
    ) -> tuple[dict[int, Picture], dict[int, panoptic.Segments]]:
        document = read_document(self.root, name, self.listing)
        categories = self._categories(document, name, "panoptic_categories", "segment_labels")
        pictures = pictures or read_pictures(document, name, _file_name, self.listing)
        numbers = categories.numbers
        found = panoptic.read_segments(document["annotations"], name, self.root, pictures, numbers, self.listing)
        return pictures, found

    def _categories(self, document: dict[str, Any], name: str, attribute: str, labels: str) -> Categories:
        found = the_same(self.categories.get(attribute), read_categories(document, name, _KEPT), name)
        check_classes(self.card, labels, found)
        self.categories[attribute] = found
        return found


def _joined(pictures: dict[int, Picture], parts: list[dict[int, Any]]) -> Iterator[tuple[Picture, tuple[Part, ...]]]:
    for image, picture in pictures.items():
        if all(image in part for part in parts):
            yield picture, tuple(part[image] for part in parts)


def _file_name(entry: Any) -> Any:
    return entry.get("file_name")

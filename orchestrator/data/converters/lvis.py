"""LVIS: COCO's images with instances of 1,203 categories, of which each image is checked for some only.

    <source>/{train2017,val2017}/*.jpg       where the JSON's `coco_url` says; `layout.images` is a folder above them
    <source>/<layout.instances>              a JSON for each split; its val images lie in both folders

An image is known to show no instance of its `negative_labels`, is not labelled in full for its `not_exhaustive_labels`,
and says nothing of other categories that have no instance on it. Categories are frequent (f), common (c) or rare (r):
the attribute `frequency_groups` has the class numbers of each group, `categories` how often each is in training.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from orchestrator.base.errors import DataError
from orchestrator.data.arrays import Int64s
from orchestrator.data.converters import instances
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
from orchestrator.data.source import BadSample, Sample, Source
from orchestrator.spec.card import ColumnType, DatasetCard

FIELDS: Mapping[str, tuple[ColumnType, ...]] = {
    "negative_labels": ("int64_list",),
    "not_exhaustive_labels": ("int64_list",),
}
"""What LVIS says of an image beyond its instances: class numbers, rising."""

_INSTANCES = "lvis_v1_{split}.json"
_KEPT = ("synset", "frequency", "image_count", "instance_count")
_FREQUENCIES = ("r", "c", "f")
_SOURCES = {"negative_labels": "neg_category_ids", "not_exhaustive_labels": "not_exhaustive_category_ids"}
_NOTHING = instances.Instances.of(())


@dataclass(frozen=True)
class Federated:
    """The categories that an image was checked for: (n,) without an instance, (m,) not labelled in full."""

    negative: Int64s
    not_exhaustive: Int64s

    @property
    def size(self) -> int:
        """Bytes of the record."""
        return self.negative.nbytes + self.not_exhaustive.nbytes

    def values(self, picture: Picture, wanted: Collection[str]) -> dict[str, Any]:
        """The values of FIELDS."""
        return {"negative_labels": self.negative, "not_exhaustive_labels": self.not_exhaustive}


def scan(card: DatasetCard, source: Path | None, listing: Listing | None = None) -> Source:
    """List the images of every split with what is on them.

    Raises:
        UsageError: no source was given.
        NotFound: the source or an annotation file is absent.
        DataError: the card has columns that LVIS has not, an annotation file is damaged, or no image is there.
    """
    root, listing = source_folder(card, source), listing or Listing()
    offered = (
        dict(PICTURE) | {name: kinds for name, kinds in instances.FIELDS.items() if name != "crowd"} | dict(FIELDS)
    )
    columns = match_columns(card, offered)
    categories: Categories | None = None
    samples: list[Sample] = []
    for split in split_names(card):
        name = of_split(card.layout.instances or _INSTANCES, split)
        document = read_document(root, name, listing)
        categories = the_same(categories, read_categories(document, name, _KEPT), name)
        check_classes(card, "labels", categories)
        annotated = _annotated(document, name, categories.numbers, columns, listing)
        folder = of_split(card.layout.images or "", split)
        samples += annotated_samples(root, folder, split, annotated, columns, listing)
    if not samples or categories is None:
        raise DataError(f"{source} has none of the images", hint="see how the card says the source is laid out")
    attributes = {
        "categories": [dict(entry) for entry in categories.entries],
        "frequency_groups": {
            group: [number for number, entry in enumerate(categories.entries) if entry.get("frequency") == group]
            for group in _FREQUENCIES
        },
    }
    return listing.source(categories.names, samples, attributes)


def _annotated(
    document: dict[str, Any], name: str, numbers: Mapping[int, int], columns: Columns, listing: Listing
) -> Iterator[tuple[Picture, tuple[Part, ...]]]:
    pictures = read_pictures(document, name, _file_of, listing)
    federated = {
        entry["id"]: Federated(*(_labels(entry, key, name, numbers, listing) for key in _SOURCES.values()))
        for entry in document.pop("images")
        if isinstance(entry, dict) and isinstance(entry.get("id"), int | float) and entry["id"] in pictures
    }
    wanted = {field for _, field in columns}
    found = instances.read_instances(document.pop("annotations"), name, pictures, numbers, wanted, listing)
    for image, picture in pictures.items():
        yield picture, (found.get(image, _NOTHING), federated[image])


def _labels(entry: Mapping[str, Any], key: str, name: str, numbers: Mapping[int, int], listing: Listing) -> Int64s:
    labels = set()
    listed = entry.get(key, [])
    for category in listed if isinstance(listed, list) else [listed]:
        try:
            labels.add(instances.class_number(category, numbers))
        except BadSample as error:
            listing.add(f"{name} image {entry['id']} {key} {category}", error.message, annotation=True)
    return np.array(sorted(labels), dtype=np.int64)


def _file_of(entry: Mapping[str, Any]) -> Any:
    """Folder and name of the image: the end of its address at COCO; the file's name where it has no address."""
    address = entry.get("coco_url")
    if not isinstance(address, str):
        return entry.get("file_name")
    return "/".join(urlsplit(address).path.split("/")[-2:])

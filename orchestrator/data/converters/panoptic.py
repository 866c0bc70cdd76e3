"""COCO's panoptic annotations: a PNG whose colours number the segments of an image, and what each segment is."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from orchestrator.data.arrays import AnyArray, Int64s
from orchestrator.data.converters.coco_json import Picture, box_of, entry_of, finite, text_of, whole
from orchestrator.data.converters.instances import class_number, crowd_of
from orchestrator.data.converters.listing import Listing
from orchestrator.data.converters.places import contained
from orchestrator.data.decode import image_size
from orchestrator.data.source import BadSample
from orchestrator.spec.card import ColumnType

FIELDS: Mapping[str, tuple[ColumnType, ...]] = {
    "mask": ("mask",),
    "segment_ids": ("int64_list",),
    "segment_labels": ("int64_list",),
    "segment_areas": ("float64_list", "float32_list"),
    "segment_boxes": ("boxes",),
    "segment_crowd": ("int64_list",),
}
"""What there is of the n segments of an image, in the order of the JSON, and the kinds of columns that hold it."""

_SEGMENT_BYTES = 64


class _Segment(NamedTuple):
    id: int
    label: int
    area: float
    box: tuple[float, ...]
    crowd: int


@dataclass(frozen=True)
class Segments:
    """The segments of one image; a pixel of colour (R, G, B) in the PNG belongs to segment R + 256 G + 65536 B.

    Attributes:
        path: of the PNG.
        size: bytes of the record, about.
        ids: (n,).
        labels: (n,) numbers of the panoptic classes.
        areas: (n,) in pixels, as the JSON has them.
        boxes: (n, 4) x, y, width, height as the JSON has them.
        crowd: (n,) 0 or 1.
    """

    path: str
    size: int
    ids: Int64s
    labels: Int64s
    areas: AnyArray
    boxes: AnyArray
    crowd: Int64s

    def values(self, picture: Picture, wanted: Collection[str]) -> dict[str, Any]:
        """The values of FIELDS; the PNG, as its bytes, only where it is wanted.

        Raises:
            OSError: the PNG cannot be read.
            BadSample: it has another size than its image.
            UndecodableImage: it is no image.
        """
        return {
            "mask": self._mask(picture) if "mask" in wanted else b"",
            "segment_ids": self.ids,
            "segment_labels": self.labels,
            "segment_areas": self.areas,
            "segment_boxes": self.boxes,
            "segment_crowd": self.crowd,
        }

    def _mask(self, picture: Picture) -> bytes:
        with open(self.path, "rb") as file:
            encoded = file.read()
        if image_size(encoded) != (picture.height, picture.width):
            raise BadSample("its panoptic PNG has another size")
        return encoded


def read_segments(
    annotations: list[Any],
    name: str,
    root: Path,
    pictures: Mapping[int, Picture],
    numbers: Mapping[int, int],
    listing: Listing,
) -> dict[int, Segments]:
    """The segments of each image, by the image's id.

    The PNGs lie in a folder beside the JSON that has its name without `.json`.

    Args:
        annotations: of the JSON; taken apart on the way.
        name: the file's in the source.
        root: the source's folder.
        pictures: the images by id.
        numbers: of the panoptic classes, by category id.
        listing: takes the annotations and segments that are left out.
    """
    found: dict[int, Segments] = {}
    for place, annotation in enumerate(annotations):
        annotations[place] = None
        title = f"{name} annotations[{place}]"
        try:
            image = whole(entry_of(annotation).get("image_id"), "image_id")
            title = f"{name} annotation of image {image}"
            if image not in pictures:
                raise BadSample("its image is not listed")
            if image in found:
                raise BadSample("its image has two of them")
            png = os.path.join(name.removesuffix(".json"), text_of(annotation.get("file_name"), "file name"))
            path = contained(str(root), png)
            if not os.path.isfile(path):
                raise BadSample(f"no file {png}")
            listing.uses(path)
            found[image] = _segments_of(annotation, title, path, numbers, listing)
        except BadSample as error:
            listing.add(title, error.message, annotation=True)
    return found


def _segments_of(
    annotation: Mapping[str, Any], title: str, path: str, numbers: Mapping[int, int], listing: Listing
) -> Segments:
    infos = annotation.get("segments_info")
    if not isinstance(infos, list):
        raise BadSample("it has no list of segments")
    segments: dict[int, _Segment] = {}
    for place, info in enumerate(infos):
        try:
            segment = _segment(entry_of(info), numbers)
            if segment.id in segments:
                raise BadSample("another segment has its id")
            segments[segment.id] = segment
        except BadSample as error:
            listing.add(f"{title} segments_info[{place}]", error.message, annotation=True)
    ids, labels, areas, boxes, crowd = zip(*segments.values(), strict=True) if segments else ((),) * 5
    return Segments(
        path,
        os.stat(path).st_size + len(ids) * _SEGMENT_BYTES,
        np.array(ids, np.int64),
        np.array(labels, np.int64),
        np.array(areas, np.float64),
        np.array(boxes, np.float64).reshape(-1, 4),
        np.array(crowd, np.int64),
    )


def _segment(info: Mapping[str, Any], numbers: Mapping[int, int]) -> _Segment:
    return _Segment(
        whole(info.get("id"), "id"),
        class_number(info.get("category_id"), numbers),
        finite(info.get("area"), "area"),
        box_of(info.get("bbox")),
        crowd_of(info),
    )

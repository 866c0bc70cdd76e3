"""The instances of each image in COCO's and LVIS's JSON: boxes, class numbers, masks, areas, crowds."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from orchestrator.data.arrays import AnyArray, Int64s
from orchestrator.data.converters.coco_json import Picture, box_of, entry_of, finite, whole
from orchestrator.data.converters.listing import Listing
from orchestrator.data.converters.rle import Segmentation, checked, encoded
from orchestrator.data.source import BadSample
from orchestrator.spec.card import ColumnType

FIELDS: Mapping[str, tuple[ColumnType, ...]] = {
    "boxes": ("boxes",),
    "labels": ("int64_list",),
    "areas": ("float64_list", "float32_list"),
    "crowd": ("int64_list",),
    "annotation_ids": ("int64_list",),
    "masks": ("masks",),
}
"""What there is of the n instances of an image, in the order of the JSON, and the kinds of columns that hold it."""

_RUNS_BYTES = 100
_INSTANCE_BYTES = 64


class _Instance(NamedTuple):
    id: int
    label: int
    box: tuple[float, ...]
    area: float
    crowd: int
    segmentation: Segmentation


@dataclass(frozen=True)
class Instances:
    """The instances of one image, compact: it travels to the process that makes the record.

    Attributes:
        ids: (n,) of the annotations.
        labels: (n,) numbers of the classes.
        boxes: (n, 4) x, y, width, height as the JSON has them.
        areas: (n,) in pixels, as the JSON has them.
        crowd: (n,) 0 or 1.
        segmentations: n; empty where masks are not wanted.
    """

    ids: Int64s
    labels: Int64s
    boxes: AnyArray
    areas: AnyArray
    crowd: Int64s
    segmentations: tuple[Segmentation, ...]

    @classmethod
    def of(cls, instances: Collection[_Instance]) -> Instances:
        """Those of a list."""
        ids, labels, boxes, areas, crowd, segmentations = zip(*instances, strict=True) if instances else ((),) * 6
        return cls(
            np.array(ids, np.int64),
            np.array(labels, np.int64),
            np.array(boxes, np.float64).reshape(-1, 4),
            np.array(areas, np.float64),
            np.array(crowd, np.int64),
            tuple(segmentations),
        )

    @property
    def size(self) -> int:
        """Bytes of the record, about."""
        return len(self.ids) * _INSTANCE_BYTES + sum(
            len(one) if isinstance(one, bytes) else _RUNS_BYTES for one in self.segmentations
        )

    def values(self, picture: Picture, wanted: Collection[str]) -> dict[str, Any]:
        """The values of FIELDS; masks only where they are wanted."""
        runs = [encoded(one, picture.height, picture.width) for one in self.segmentations] if "masks" in wanted else []
        return {
            "boxes": self.boxes,
            "labels": self.labels,
            "areas": self.areas,
            "crowd": self.crowd,
            "annotation_ids": self.ids,
            "masks": runs,
        }


def read_instances(
    annotations: list[Any],
    name: str,
    pictures: Mapping[int, Picture],
    numbers: Mapping[int, int],
    wanted: Collection[str],
    listing: Listing,
) -> dict[int, Instances]:
    """The instances of each image that has some, by the image's id.

    Args:
        annotations: of the JSON; taken apart on the way, so that memory does not hold them twice.
        name: the file's, for messages.
        pictures: the images by id.
        numbers: of the classes, by category id.
        wanted: the fields that the card has.
        listing: takes the annotations that are left out.
    """
    found: dict[int, list[_Instance]] = {}
    seen: set[int] = set()
    for place, annotation in enumerate(annotations):
        annotations[place] = None
        title = f"{name} annotations[{place}]"
        try:
            number = whole(entry_of(annotation).get("id"), "id")
            title = f"{name} annotation {number}"
            if number in seen:
                raise BadSample("another annotation has its id")
            picture = pictures.get(whole(annotation.get("image_id"), "image_id"))
            if picture is None:
                raise BadSample("its image is not listed")
            found.setdefault(picture.id, []).append(_instance(number, annotation, picture, numbers, wanted))
            seen.add(number)
        except BadSample as error:
            listing.add(title, error.message, annotation=True)
    return {image: Instances.of(instances) for image, instances in found.items()}


def class_number(category: Any, numbers: Mapping[int, int]) -> int:
    """The class number of a category id; BadSample where there is no such category."""
    number = numbers.get(whole(category, "category_id"))
    if number is None:
        raise BadSample("its category is not listed")
    return number


def _instance(
    number: int,
    annotation: Mapping[str, Any],
    picture: Picture,
    numbers: Mapping[int, int],
    wanted: Collection[str],
) -> _Instance:
    box = box_of(annotation.get("bbox"))
    if min(box[2:]) < 0:
        raise BadSample("its box has a negative side")
    return _Instance(
        number,
        class_number(annotation.get("category_id"), numbers),
        box,
        finite(annotation.get("area"), "area") if "areas" in wanted else 0.0,
        crowd_of(annotation),
        checked(annotation.get("segmentation"), picture.height, picture.width) if "masks" in wanted else b"",
    )


def crowd_of(annotation: Mapping[str, Any]) -> int:
    """Whether it is a region of many, 0 or 1; not where the JSON does not say."""
    crowd = whole(annotation.get("iscrowd", 0), "iscrowd")
    if crowd not in (0, 1):
        raise BadSample("its iscrowd is neither 0 nor 1")
    return crowd
